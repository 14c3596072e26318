"""The only code that changes torchreid: layouts, hooks, checkpoints, engine adaptation."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "adapt_engine": "engine",
    "install": "hooks",
    "installed": "hooks",
    "is_installed": "hooks",
    "uninstall": "hooks",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    """Import attributes on access, so scripts that only need the layout do not import PyTorch."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
