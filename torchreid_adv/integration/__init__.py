"""The only code that changes torchreid: both layouts, hooks, checkpoints, engine adaptation."""

from torchreid_adv.integration.engine import adapt_engine
from torchreid_adv.integration.hooks import install, installed, is_installed, uninstall

__all__ = ["adapt_engine", "install", "installed", "is_installed", "uninstall"]
