"""Reversible changes of another package: two kinds of patches, and their removal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from types import ModuleType
from typing import Any

from torchreid_adv import registry
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import Registry

Module = Callable[[str], ModuleType]


@dataclass(frozen=True)
class Replace:
    """A function of torchreid to replace, where it is defined and where it was imported by value.

    Args:
        modules: names as for :func:`layout.torchreid_module`.
        attribute: the function, or ``Class.method``.
        make: original function -> its replacement.
        prepare: check the config before each call (not for functions that workers call per image).
    """

    modules: tuple[str, ...]
    attribute: str
    make: Callable[[Any], Callable[..., Any]]
    prepare: bool = True


@dataclass(frozen=True)
class Mirror:
    """A table of torchreid that receives the entries of a registry.

    Args:
        module: where the table is.
        table: its name; a name with two leading underscores is read through ``vars``, because
            Python would mangle it inside a class.
        registry: the registry whose entries are added.
        keep: filters entries by name; None = all.
    """

    module: str
    table: str
    registry: Registry
    keep: Callable[[str], bool] = field(default=lambda name: True)


class Bridge:
    """Applies patches once, adds later entries, and reverts everything.

    Args:
        replaces: functions to replace.
        mirrors: tables to fill.
        module: returns a module of the patched package by name.
        prepare: called before each call of a replaced function.
    """

    def __init__(
        self,
        replaces: Iterable[Replace],
        mirrors: Iterable[Mirror],
        *,
        module: Module,
        prepare: Callable[[], object],
    ) -> None:
        self._replaces = tuple(replaces)
        self._mirrors = tuple(mirrors)
        self._module = module
        self._prepare = prepare
        self._undo: list[Callable[[], None]] = []

    @property
    def applied(self) -> bool:
        """Whether the patches are applied."""
        return bool(self._undo)

    def apply(self) -> None:
        """Apply all patches, or none if one fails; further calls only call ``sync``."""
        fresh = not self.applied
        try:
            for replace in self._replaces if fresh else ():
                for owner, name in self._owners(replace):
                    self._replace(owner, name, replace)
            self.sync()
        except BaseException:
            if fresh:
                self.revert()
            raise

    def sync(self) -> None:
        """Add registry entries that are not yet in torchreid's tables.

        Raises:
            ConfigError: torchreid has another entry of that name.
        """
        for mirror in self._mirrors:
            table = vars(self._module(mirror.module))[mirror.table]
            for name in filter(mirror.keep, mirror.registry):
                self._add(table, name, mirror.registry)

    def revert(self) -> None:
        """Restore the original objects, the last patch first."""
        while self._undo:
            self._undo.pop()()

    def _owners(self, replace: Replace) -> Iterator[tuple[Any, str]]:
        for module in replace.modules:
            owner: Any = self._module(module)
            *path, name = replace.attribute.split(".")
            for part in path:
                owner = getattr(owner, part)
            yield owner, name

    def _replace(self, owner: Any, name: str, replace: Replace) -> None:
        stock = vars(owner)[name]
        replacement = replace.make(stock)
        setattr(owner, name, self._prepared(replacement) if replace.prepare else replacement)
        self._undo.append(lambda: setattr(owner, name, stock))

    def _prepared(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            self._prepare()
            return function(*args, **kwargs)

        return prepared

    def _add(self, table: dict[str, Any], name: str, registry: Registry) -> None:
        entry = registry.get(name)
        if table.get(name) is entry:
            return
        if name in table:
            raise ConfigError(
                f"torchreid has a {registry.kind} '{name}' already; register yours by another name"
            )
        table[name] = entry
        self._undo.append(lambda: _remove(table, name, entry))


def _remove(table: dict[str, Any], name: str, entry: Any) -> None:
    if table.get(name) is entry:
        del table[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for an unknown name, with the nearest known one.

    A name with a dot is a config key that a flag with several values consumed.
    """
    if "." in name:
        return ConfigError(
            f"'{name}' was taken as a {kind}: a flag that takes several values swallows the "
            "'KEY VALUE' pairs after it; put another flag, such as --root, between them"
        )
    return registry.unknown(kind.removeprefix("image ").removeprefix("video "), name, known)
