"""The location of torchreid's modules: ``torchreid.reid.*`` (PyPI) or ``torchreid.*`` (GitHub)."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from torchreid_adv.errors import ConfigError

ALIAS_VARIABLE = "TORCHREID_ADV_ALIAS"  # set while running a script whose workers need the alias
_ROOT, _NESTED = "torchreid", "torchreid.reid"


def _installed() -> ModuleSpec:
    """Return the spec of torchreid, which is not imported for it."""
    spec = importlib.util.find_spec(_ROOT)
    if spec is None:
        raise ConfigError("torchreid is not installed; run `pip install torchreid`")
    return spec


def source_of(name: str) -> Path | None:
    """Return the file of one of torchreid's modules, which is not imported; None = not known.

    Args:
        name: as :func:`torchreid_module`.

    Raises:
        ConfigError: torchreid is not installed.
    """
    for folder in map(Path, _installed().submodule_search_locations or ()):
        top = folder / "reid" if (folder / "reid").is_dir() else folder
        path = top.joinpath(*name.split("."))
        files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
        if any(file.is_file() for file in files):
            return next(file for file in files if file.is_file())
    return None


def imported_module(name: str) -> ModuleType | None:
    """Return one of torchreid's modules if it is imported already."""
    return sys.modules.get(f"{_NESTED}.{name}") or sys.modules.get(f"{_ROOT}.{name}")


def torchreid_prefix() -> str:
    """Return the prefix of torchreid's modules: "torchreid.reid" or "torchreid".

    Raises:
        ConfigError: torchreid or one of its dependencies is not installed.
    """
    _installed()
    try:
        with _without_advice():  # find_spec imports the package
            return _NESTED if importlib.util.find_spec(_NESTED) else _ROOT
    except ImportError as error:
        raise ConfigError(
            f"torchreid is installed but cannot be imported: {error}; install what is missing"
        ) from error


def torchreid_module(name: str = "") -> ModuleType:
    """Return a module of torchreid in either layout.

    Args:
        name: its dotted name as in the GitHub layout, without the root ("data.datasets.dataset");
            "" = the package that contains ``data``, ``engine``, ``models``...

    Raises:
        ConfigError: torchreid or one of its dependencies is not installed.
    """
    prefix = torchreid_prefix()
    with _without_advice():
        return importlib.import_module(f"{prefix}.{name}" if name else prefix)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Silence torchreid's advice to compile its evaluator, which is not used here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cython evaluation")
        yield


class AliasFinder(MetaPathFinder, Loader):
    """Finds ``torchreid.X`` if only ``torchreid.reid.X`` exists: one module under two names.

    It comes before the path finder, which would otherwise follow the ``__path__`` of an aliased
    package and load a second copy of every module.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an aliased name, None for other names."""
        real = self._real(fullname)
        if real is None or importlib.util.find_spec(real) is None:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the real module; its spec is saved because the import system replaces it."""
        module = importlib.import_module(f"{_NESTED}{spec.name[len(_ROOT) :]}")
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the module's spec; it has run already."""
        alias = module.__spec__.name if module.__spec__ else ""
        module.__spec__ = self._specs.pop(alias, module.__spec__)
        self.names.append(alias)

    @staticmethod
    def _real(fullname: str) -> str | None:
        inside = fullname.startswith(f"{_ROOT}.")
        if not inside or fullname == _NESTED or fullname.startswith(f"{_NESTED}."):
            return None
        return f"{_NESTED}{fullname[len(_ROOT) :]}"


def install_alias() -> None:
    """Make ``import torchreid.X`` work on the PyPI layout, too; does nothing on GitHub's."""
    if torchreid_prefix() == _NESTED and not _alias_finders():
        sys.meta_path.insert(0, AliasFinder())


def uninstall_alias() -> None:
    """Remove the alias: the finder, and the names it added to ``sys.modules``."""
    for finder in _alias_finders():
        sys.meta_path.remove(finder)
        for name in finder.names:
            sys.modules.pop(name, None)


def alias_from_environment() -> None:
    """Install the alias if the parent process asked for it.

    A spawned worker first imports the command line's module, then unpickles objects of the user's
    script, which imports it: ``torchreid.utils`` must be available by then.
    """
    if os.environ.get(ALIAS_VARIABLE) == "1":
        install_alias()


@contextlib.contextmanager
def alias() -> Iterator[None]:
    """Enable the alias here and in processes spawned from here; restored after the block."""
    present, variable = bool(_alias_finders()), os.environ.get(ALIAS_VARIABLE)
    install_alias()
    os.environ[ALIAS_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(ALIAS_VARIABLE)
        if variable is not None:
            os.environ[ALIAS_VARIABLE] = variable
        if not present:
            uninstall_alias()


def _alias_finders() -> list[AliasFinder]:
    return [finder for finder in sys.meta_path if isinstance(finder, AliasFinder)]
