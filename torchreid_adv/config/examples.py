"""The example configs, and the recipes among them, which are called by a name."""

from __future__ import annotations

import sys
from pathlib import Path

from torchreid_adv.core.files import near_path
from torchreid_adv.errors import ConfigError, nearest

FOLDER = "configs"


def examples() -> Path | None:
    """Return the folder of the example configs; None where the package came without them."""
    package = Path(__file__).parents[1]
    if (package / FOLDER).is_dir():  # installed
        return package / FOLDER
    clone = package.parent
    return clone / FOLDER if (clone / "pyproject.toml").is_file() else None


def near_example(path: Path) -> str:
    """Return a hint for a missing config file: a similar name, also among the example configs."""
    if path.exists():
        return ""
    examples_near = nearest(path.as_posix(), [name for name, _ in described()])
    hint = near_path(path) or (f"; did you mean '{examples_near}'?" if examples_near else "")
    return hint or "; torchreid-adv list configs shows the example configs"


def found(name: str | Path) -> Path:
    """Return the file that a config's name means.

    A file that exists is used. A name ``configs/...`` that does not exist in the current folder
    means the example of that name; the path of the file is printed to stderr.

    Args:
        name: as the user gave it.
    """
    path, folder = Path(name), examples()
    if path.exists() or path.parts[:1] != (FOLDER,) or ".." in path.parts or folder is None:
        return path
    example = folder.joinpath(*path.parts[1:])
    if not example.is_file():
        return path
    print(f"=> Taking the example config {example}", file=sys.stderr)
    return example


def described() -> list[tuple[str, str]]:
    """Return the name of each example and its first comment, sorted by name."""
    folder = examples()
    if folder is None:
        return []
    return [
        (f"{FOLDER}/{path.relative_to(folder).as_posix()}", _comment(path))
        for path in sorted(folder.rglob("*.yaml"))
    ]


def _comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


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
