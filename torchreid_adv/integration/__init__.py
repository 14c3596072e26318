"""The only code that changes torchreid: layouts, hooks, checkpoints, engine adaptation."""

from __future__ import annotations

from torchreid_adv.core.lazily import attributes

_HOME = {
    "adapt_engine": "torchreid_adv.integration.engine",
    "install": "torchreid_adv.integration.hooks",
    "installed": "torchreid_adv.integration.hooks",
    "is_installed": "torchreid_adv.integration.hooks",
    "uninstall": "torchreid_adv.integration.hooks",
}
__all__ = [*_HOME]
__getattr__ = attributes(__name__, _HOME)
