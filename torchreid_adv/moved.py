"""Module paths of the release before, answered for one more release, with a warning.

``moved.txt`` has a line for each: the old path below ``torchreid_adv``, and the modules that have
its names now. A changed name has a separate line, such as ``:AttackJob AttackRun``.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_ROOT = f"{__package__}."


def answer() -> None:
    """Let Python find modules by their old paths, with a warning that names the new one."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())


@functools.cache
def moved() -> dict[str, tuple[str, ...]]:
    """Return where the names of each old path are now; () for a package that is gone."""
    table = {before: now for before, now in _table().items() if not before.startswith(":")}
    packages = {name.rpartition(".")[0] for name in table}
    packages |= {name.partition(".")[0] for name in table if "." in name}
    package = Path(__file__).parent
    gone = {name for name in packages if name and not (package / name.replace(".", "/")).is_dir()}
    return {**dict.fromkeys(gone, ()), **table}


def renamed(name: str) -> tuple[str, ...]:
    """Return what a name is called now; () for one that was not changed."""
    return _table().get(f":{name}", ())


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    lines = Path(__file__).with_name("moved.txt").read_text(encoding="utf-8").splitlines()
    return {before: tuple(now) for before, *now in map(str.split, lines)}


class _Moved(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.removeprefix(_ROOT)
        if name == fullname or name not in moved():
            return None
        return ModuleSpec(fullname, self, is_package=not moved()[name])

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        now = [f"{_ROOT}{name}" for name in moved()[spec.name.removeprefix(_ROOT)]]
        if not now:
            return ModuleType(spec.name)
        warnings.warn(
            f"{spec.name} is {' and '.join(now)} now; the old path ends with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return _Answer(spec.name, [importlib.import_module(name) for name in now])

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the modules at the new paths are executed already."""


class _Answer(ModuleType):
    """A module whose names are those of others, the first that has one."""

    def __init__(self, name: str, now: Sequence[ModuleType]) -> None:
        super().__init__(name, now[0].__doc__)
        self.__dict__["_now"] = now

    def __getattr__(self, name: str) -> Any:
        if name == "main" and (command := self._command()) is not None:
            return command
        for module in self.__dict__["_now"]:
            for current in (name, *renamed(name)):
                if hasattr(module, current):
                    return getattr(module, current)
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")

    def _command(self) -> Any:
        """Return the command that a module of commands was for; None for any other module."""
        from torchreid_adv.registry import COMMANDS

        room, _, file = self.__name__.removeprefix(_ROOT).partition(".")
        name = {"listing": "list"}.get(file, file.replace("_", "-"))
        return COMMANDS.get(name) if room == "commands" and name in COMMANDS else None
