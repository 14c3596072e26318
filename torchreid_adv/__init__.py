"""Adversarial robustness for person re-identification with torchreid.

Example:
    >>> import torchreid_adv as adv
    >>> model = adv.load_model("osnet_x1_0", "model.pth.tar-60")
    >>> data = adv.load_dataset("market1501", root="reid-data")
    >>> attack = adv.build_attack("ifgsm", eps=8 / 255)
    >>> attacked = adv.attack_dataset(model, data, attack, side="gallery", out="run")
    >>> print(adv.evaluate(model, attacked).mAP)
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from torchreid_adv import moved
from torchreid_adv.version import __version__

moved.answer()

_HOME = {
    "AdvConfig": "config",
    "add_adv_config": "config",
    "setup": "config",
    "AdvError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "ATTACKS": "registry",
    "CORRUPTIONS": "registry",
    "DATASETS": "registry",
    "DEFENSES": "registry",
    "DISTANCES": "registry",
    "ENGINES": "registry",
    "LOADERS": "registry",
    "MODELS": "registry",
    "SAMPLERS": "registry",
    "TRANSFORMS": "registry",
    "Registry": "registry",
    "install": "integration.hooks",
    "uninstall": "integration.hooks",
    "installed": "integration.hooks",
    "adapt_engine": "integration.engine",
    "Batch": "data",
    "Record": "data",
    "ReIDData": "data",
    "load_dataset": "data",
    "corrupt": "corruptions",
    "Distance": "distances",
    "build_distance": "distances",
    "Defended": "defenses",
    "Defense": "defenses",
    "build_defense": "defenses",
    "Ensemble": "models",
    "Features": "models",
    "PixelModel": "models",
    "TrackletModel": "models",
    "extract": "models",
    "load_model": "models",
    "RetrievalResult": "evaluation",
    "evaluate": "evaluation",
    "Adversarial": "attacks",
    "GradientAttack": "attacks",
    "References": "attacks",
    "build_attack": "attacks",
    "attack_dataset": "python.attacking",
    "FileCorruption": "runs.file_corruption",
    "corrupt_dataset": "runs.corrupted",
    "evaluate_standard": "standard.run",
    "transfer": "python.tables",
    "sweep": "python.tables",
    "train": "python.training",
    "standard": "python.evaluating",
    "card": "python.cards",
    "compare": "python.results",
    "benchmark": "python.benchmarking",
    "load_result": "python.results",
    "logging_to": "core.loggers",
    "Logger": "core.loggers",
    "list_models": "python.results",
    "list_formats": "python.results",
}
_STANDARD = "standard"  # a function, and the package of its room

__all__ = ["__version__", *_HOME]


class _Package(ModuleType):
    """This package: its room of the standard evaluation can be called, too."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == _STANDARD and type(value) is ModuleType:  # it was imported
            value.__class__ = _Standard
        super().__setattr__(name, value)


class _Standard(ModuleType):
    """A module that answers to a call as :func:`torchreid_adv.python.evaluating.standard`."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return _public(_STANDARD)(*arguments, **keywords)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'torchreid_adv' has no attribute '{name}'")
    return _public(name)


def _public(name: str) -> Any:
    return getattr(importlib.import_module(f"torchreid_adv.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
