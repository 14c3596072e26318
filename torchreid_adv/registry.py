"""Registries: name -> class or function. The tables at the bottom are the index of the system."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from torchreid_adv.errors import ConfigError, suggest

T = TypeVar("T", bound=Callable[..., Any])


class Registry:
    """Named entries of one kind, found by importing a package's modules on the first look-up.

    Args:
        kind: what an entry is, in the words of an error message ("attack").
        package: sub-package of ``torchreid_adv`` whose modules register entries on import.

    Example:
        >>> SHAPES = Registry("shape", "shapes")
        >>> @SHAPES.register("circle", stage="pil")
        ... class Circle: ...
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = f"{__package__}.{package}"
        self._entries: dict[str, Callable[..., Any]] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._loaded = False

    def register(self, name: str, *, force: bool = False, **facts: Any) -> Callable[[T], T]:
        """Return a decorator that files its target under ``name``.

        Args:
            name: the config value that selects the entry.
            force: replace an entry of that name instead of refusing.
            facts: what is said of the entry (``paper``, ``stage``...), read back by :meth:`facts`.

        Raises:
            ConfigError: the name is taken and ``force`` is not set.
        """

        def add(entry: T) -> T:
            if not force and name in self._entries and self._entries[name] is not entry:
                raise ConfigError(
                    f"the {self.kind} '{name}' is registered already by "
                    f"{self._entries[name].__module__}; choose another name or pass force=True"
                )
            self._entries[name] = entry
            self._facts[name] = facts
            return entry

        return add

    def remove(self, name: str) -> None:
        """Forget an entry (tests and plugins that are unloaded)."""
        self._entries.pop(name, None)
        self._facts.pop(name, None)

    def get(self, name: str) -> Callable[..., Any]:
        """Return the entry of that name.

        Raises:
            ConfigError: no such entry; the message names the nearest one.
        """
        if name not in self:
            raise ConfigError(f"unknown {self.kind} '{name}'{suggest(name, self)}")
        return self._entries[name]

    def facts(self, name: str) -> dict[str, Any]:
        """Return what was said of the entry when it was registered."""
        self.get(name)
        return self._facts[name]

    def build(self, name: str, **options: Any) -> Any:
        """Call the entry with keyword options, after checking them against its signature.

        Raises:
            ConfigError: unknown name, or an option the entry does not take.
        """
        self.check_options(name, options)
        return self.get(name)(**options)

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """Return the keyword parameters of the entry: name -> parameter."""
        parameters = inspect.signature(self.get(name)).parameters.values()
        return {
            p.name: p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        }

    def check_options(self, name: str, options: dict[str, Any]) -> None:
        """Refuse an option that the entry's constructor does not take, naming the nearest one."""
        signature = inspect.signature(self.get(name)).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in signature):
            return
        known = self.options(name)
        for option in options:
            if option not in known:
                raise ConfigError(
                    f"the {self.kind} '{name}' takes no option '{option}'{suggest(option, known)}"
                )

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
        except BaseException:
            self._loaded = False
            raise

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._load()
        return len(self._entries)


def resolve(name: str, *, kind: str, example: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names, importing the module.

    Args:
        name: ``module:function``; the module's folder is on ``PYTHONPATH``.
        kind: what the function stands for, in the words of an error message ("distance").
        example: of such a name.

    Raises:
        ConfigError: a name of another form, a module that cannot be imported, or no function of
            that name in it.
    """
    module_name, _, attribute = name.partition(":")
    parts = [*module_name.split("."), attribute]
    if not all(part.isidentifier() for part in parts):
        raise ConfigError(
            f"a {kind} of your own is named 'module:function', for example '{example}'; got "
            f"'{name}'"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module raises on import
        raise ConfigError(
            f"the {kind} '{name}' names the module '{module_name}', which cannot be imported: "
            f"{error}; is its folder on PYTHONPATH?"
        ) from error
    found = vars(module).get(attribute)
    if not callable(found):
        known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise ConfigError(
            f"the module '{module_name}' has no function '{attribute}'{suggest(attribute, known)}"
        )
    return found


# what turns a training image into another one; facts: stage = "pil" | "tensor" | "normalized"
TRANSFORMS = Registry("transform", "transforms")
# the order in which training images come; called with torchreid's build_train_sampler keywords
SAMPLERS = Registry("sampler", "data")
# where images come from; torchreid ImageDataset / VideoDataset classes; facts: video = True | False
DATASETS = Registry("data set", "data")
# which images torchreid's own data sets have: reader(root, **options) -> train, query, gallery
LAYOUTS = Registry("layout", "data.stock")
# how an image file becomes pixels; torchreid's own reader is replaced by the entry "image"
READERS = Registry("reader", "data")
# networks under torchreid's factory signature (num_classes, loss, pretrained, use_gpu)
MODELS = Registry("model", "models")
# how far two features are apart, for attacks and for evaluation
DISTANCES = Registry("distance", "distances")
# test-time wrappers, pixels -> pixels
DEFENSES = Registry("defense", "defenses")
# builders of attacks: keywords in pixel units of [0, 1] -> an Attack
ATTACKS = Registry("attack", "attacks")
# mixins that a torchreid engine is given at run time, selected by adv.engine
ENGINES = Registry("engine", "engines")
# how a data set is searched where not as Market-1501: functions that return the rules
PROTOCOLS = Registry("protocol", "evaluation")
# what the command line can do: main(arguments) -> exit code
COMMANDS = Registry("command", "commands")
# what papers claim, tested on models trained for it: study(cfg, seed) -> comparisons
STUDIES = Registry("study", "commands.studies")
# a paper's table or figure, done again: called with the config, returns a Reproduction
REPRODUCTIONS = Registry("table or figure", "commands.reproductions")

TABLES: dict[str, Registry] = {
    "attacks": ATTACKS,
    "commands": COMMANDS,
    "datasets": DATASETS,
    "defenses": DEFENSES,
    "distances": DISTANCES,
    "engines": ENGINES,
    "models": MODELS,
    "protocols": PROTOCOLS,
    "reproductions": REPRODUCTIONS,
    "samplers": SAMPLERS,
    "studies": STUDIES,
    "transforms": TRANSFORMS,
}
