"""Module paths that the documentation printed before, answered for one more release."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_ROOT = f"{__package__}."
MOVED = {  # below torchreid_adv: before -> now
    "attacks.generated": "attacks.learned.generator",
    "attacks.generator_fit": "attacks.learned.mis_ranking",
    "attacks.gradient_attack": "attacks.loop.gradient_attack",
    "attacks.mis_ranking": "attacks.learned.mis_ranking",
    "attacks.triplets": "attacks.learned.triplets",
    "attacks.universal": "attacks.learned.universal",
    "commands.attack_gallery": "runs.attack_dataset",
    "commands.bench_rerank": "benchmarks.rerank",
    "commands.standard_page": "standard.page",
    "data.batch": "core.batch",
    "defenses.build": "defenses.defended",
    "evaluation.results": "evaluation.result",
    "pixels": "core.pixels",
    "report.robustness": "experiments.ranking_robustness",
}
_PACKAGES = {"commands"}  # that are no longer there


def answer() -> None:
    """Let Python find modules by their paths of before, with a warning that names the new one."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())


class _Moved(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.removeprefix(_ROOT)
        if name == fullname or not (name in MOVED or name in _PACKAGES):
            return None
        return ModuleSpec(fullname, self, is_package=name in _PACKAGES)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        name = spec.name.removeprefix(_ROOT)
        if name in _PACKAGES:
            return ModuleType(spec.name)
        warnings.warn(
            f"{spec.name} is {_ROOT}{MOVED[name]} now; the old path ends with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return _Answer(spec.name, importlib.import_module(f"{_ROOT}{MOVED[name]}"))

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module at the new path is executed already."""


class _Answer(ModuleType):
    """A module whose names are those of another one."""

    def __init__(self, name: str, now: ModuleType) -> None:
        super().__init__(name, now.__doc__)
        self.__dict__["_now"] = now

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_now"], name)
