"""Registries: name -> class or function. The tables at the bottom are the index of the system."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.foreign_names import name_here

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
        self._written: Mapping[str, Mapping[str, str]] = {}  # see as_written

    def register(self, name: str, *, force: bool = False, **facts: Any) -> Callable[[T], T]:
        """Return a decorator that files its target under ``name``.

        Args:
            name: the config value that selects the entry, in any case.
            force: replace an entry of that name instead of refusing.
            facts: facts about the entry (``paper``, ``stage``...), read back by :meth:`facts`.
                ``internal=True``: commands use it; a config cannot name it.

        Raises:
            ConfigError: the name is taken, in this or another case, and ``force`` is not set.
        """

        def add(entry: T) -> T:
            taken = same_name(name, self._entries)
            if taken is not None and taken != name:
                raise ConfigError(
                    f"the {self.kind} '{name}' and the registered '{taken}' differ by case alone, "
                    "which a config does not tell apart; choose another name"
                )
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
        """Return the entry of that name, in any case.

        Raises:
            ConfigError: no such entry; the message names the nearest one.
        """
        registered = self.name_of(name)
        if registered not in self._entries:  # so far known as written
            self._load()
        return self._entries[registered]

    def name_of(self, name: str, *, further: Iterable[str] = ()) -> str:
        """Return a name as it is registered, whatever its case here.

        Args:
            name: as a user wrote it.
            further: names that are known besides, such as torchreid's own.

        Raises:
            ConfigError: no such entry; the message names the nearest one that a config can name.
        """
        further = tuple(further)
        registered = same_name(name, (*self._names(), *further))
        if registered is None:
            raise unknown(self.kind, name, (*self.public, *further))
        return registered

    @property
    def public(self) -> tuple[str, ...]:
        """The names that a config can use: all but those of entries that are internal."""
        return tuple(name for name in self if not self.facts(name).get("internal"))

    @property
    def is_loaded(self) -> bool:
        """Whether the modules that register entries are imported."""
        return self._loaded

    def facts(self, name: str) -> dict[str, Any]:
        """Return the facts that were registered with the entry."""
        registered = self.name_of(name)
        if registered in self._entries:
            return self._facts[registered]
        return dict.fromkeys(self._written[registered].get("flags", "").split(), True)

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
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return {p.name: p for p in parameters if p.kind in kinds}

    def keywords(self, name: str) -> tuple[str, ...] | None:
        """Return the names of the keyword parameters of the entry; None = it takes any."""
        registered = self.name_of(name)
        if registered not in self._entries:
            written = self._written[registered].get("keywords")
            return None if written is None else (*written.split(),)
        signature = inspect.signature(self._entries[registered]).parameters.values()
        return None if any(p.kind is p.VAR_KEYWORD for p in signature) else (*self.options(name),)

    def check_options(self, name: str, options: dict[str, Any]) -> None:
        """Refuse an option that the entry's constructor does not take, naming the nearest one."""
        known = self.keywords(name)
        for option in options:
            if known is not None and option not in known:
                raise ConfigError(
                    f"the {self.kind} '{name}' takes no option '{option}'{suggest(option, known)}"
                )

    def _names(self) -> tuple[str, ...]:
        """Return all names; as written, if modules are not imported and names are written."""
        if self._loaded or not self._written:
            self._load()
            return tuple(self._entries)
        return tuple(dict.fromkeys((*self._written, *self._entries)))

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
                importlib.import_module(module.name)
        except BaseException:
            self._loaded = False
            raise

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and same_name(name, self._names()) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names()))

    def __len__(self) -> int:
        return len(self._names())


@contextlib.contextmanager
def as_written(index: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Iterator[None]:
    """Inside the block tables answer from an index until something of theirs is needed itself.

    Names, keywords and facts that are True are known so, and no module is imported.

    Args:
        index: name of a table, as in :data:`TABLES` -> name of an entry -> ``keywords``, its
            parameters, left out where it takes any, and ``flags``, the facts that are True; both
            are words with blanks between them.
    """
    for kind, table in TABLES.items():
        table._written = index.get(kind, {})
    try:
        yield
    finally:
        for table in TABLES.values():
            table._written = {}


def current_name(name: str) -> str:
    """Return a name in its current spelling; names of an earlier release are still accepted."""
    for earlier, spelling in EARLIER.items():
        if name.casefold().startswith(earlier):
            return spelling + name[len(earlier) :]
    return name


def same_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a name is, apart from case; None where there is none."""
    known = tuple(known)
    if name in known:
        return name
    return next((other for other in known if other.casefold() == name.casefold()), None)


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that is not registered.

    Args:
        kind: what the name stands for, as :attr:`Registry.kind`.
        name: as a user wrote it.
        known: the names to choose from; the nearest is suggested.
    """
    shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
    return ConfigError(f"unknown {kind} '{shown}'{name_here(kind, name) or suggest(name, known)}")


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
    function = vars(module).get(attribute)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise ConfigError(
            f"the module '{module_name}' has no function '{attribute}'{suggest(attribute, known)}"
        )
    return function


SHOWN = 80  # characters of a name in an error
EARLIER = {"joint_defence.": "joint_defense."}  # start of a name: its current spelling

# what turns a training image into another one; facts: stage = "pil" | "tensor" | "normalized"
TRANSFORMS = Registry("transform", "transforms")
# the order in which training images come; called with torchreid's build_train_sampler keywords
SAMPLERS = Registry("sampler", "data")
# where images come from; torchreid ImageDataset / VideoDataset classes; facts: video = True | False
DATASETS = Registry("data set", "data")
# what cameras and weather do to an image; facts: family, further = outside the published mean
CORRUPTIONS = Registry("corruption", "corruptions")
# which images torchreid's own data sets have: reader(root, **options) -> train, query, gallery
LAYOUTS = Registry("layout", "data.stock")
# how an image file becomes pixels; torchreid's own reader is replaced by the entry "image"
READERS = Registry("reader", "data")
# networks under torchreid's factory signature (num_classes, loss, pretrained, use_gpu)
MODELS = Registry("model", "models")
# networks from elsewhere: loader(request) -> the network and its preprocessing; facts: example,
# options = those that it takes besides the common ones, weights = True where it reads checkpoints
LOADERS = Registry("format", "models.formats")
# how far two features are apart, for attacks and for evaluation
DISTANCES = Registry("distance", "distances")
# test-time wrappers, pixels -> pixels
DEFENSES = Registry("defense", "defenses")
# transforms before torchreid's own test transform in its FeatureExtractor, from a config
TEST_TRANSFORMS = Registry("test transform", "defenses")
# builders of attacks: keywords in pixel units of [0, 1] -> an Attack
ATTACKS = Registry("attack", "attacks")
# mixins that a torchreid engine is given at run time, selected by adv.engine
ENGINES = Registry("engine", "engines")
# what adv.engine adversarial_training does with a batch, selected by adv.training.method
TRAININGS = Registry("training method", "engines.methods")
# how a data set is searched where not as Market-1501: functions that return the rules
PROTOCOLS = Registry("protocol", "evaluation")
# what the command line can do: main(arguments) -> exit code
COMMANDS = Registry("command", "cli")
# what papers claim, tested on models trained for it: study(cfg, seed, specs) -> cases, readings
STUDIES = Registry("study", "experiments.studies")
# a paper's table or figure, done again: called with the config, returns a Reproduction
REPRODUCTIONS = Registry("table or figure", "experiments.papers")

TABLES: dict[str, Registry] = {
    "attacks": ATTACKS,
    "commands": COMMANDS,
    "corruptions": CORRUPTIONS,
    "datasets": DATASETS,
    "defenses": DEFENSES,
    "distances": DISTANCES,
    "engines": ENGINES,
    "formats": LOADERS,
    "methods": TRAININGS,
    "models": MODELS,
    "protocols": PROTOCOLS,
    "reproductions": REPRODUCTIONS,
    "samplers": SAMPLERS,
    "studies": STUDIES,
    "transforms": TRANSFORMS,
}
