"""Recipes: complete trainings that come with the package, called by a name."""

from __future__ import annotations

from torchreid_adv.config.yaml_files import FOLDER, described, examples
from torchreid_adv.errors import ConfigError, nearest

RECIPES = f"{FOLDER}/recipe"


def recipes() -> dict[str, str]:
    """Return what each recipe is: name -> the first comment of its file, sorted by name."""
    prefix = f"{RECIPES}/"
    return {
        name.removeprefix(prefix).removesuffix(".yaml"): about
        for name, about in described()
        if name.startswith(prefix)
    }


def recipe_file(name: str) -> str:
    """Return the config file of a recipe, which comes with the package.

    Raises:
        ConfigError: there is none of that name; the message lists all.
    """
    known, folder = recipes(), examples()
    if name in known and folder is not None:
        return str(folder / "recipe" / f"{name}.yaml")
    if not known:
        raise ConfigError(
            f"there is no recipe '{name}': the package came without its example configs; name a "
            "file with --config-file"
        )
    near = nearest(name, list(known))
    hint = f"; did you mean '{near}'?" if near else "; these are there:"
    lines = [f"  {recipe}: {about}" for recipe, about in known.items()]
    raise ConfigError("\n".join([f"there is no recipe '{name}'{hint}", *lines]))
