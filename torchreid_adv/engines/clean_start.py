"""The clean network that robust training starts from, trained once and kept."""

from __future__ import annotations

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError


def check_clean_start(cfg: AdvConfig) -> None:
    """Refuse a clean start that the training does not have.

    Raises:
        ConfigError: another engine or mode, or a network to start from besides.
    """
    settings = cfg.adv.training
    if not settings.clean_epochs:
        return
    if cfg.adv.engine != "adversarial_training" or settings.mode != "online":
        raise ConfigError(
            "adv.training.clean_epochs is of adv.engine adversarial_training, mode 'online'; set "
            "it 0"
        )
    if cfg.model.load_weights:
        raise ConfigError(
            "adv.training.clean_epochs trains the network to start from, and model.load_weights "
            "names one; leave one of them out"
        )


def start_clean(cfg: AdvConfig, team: Team = ALONE) -> None:
    """Train the clean network unless it was before, and let a config start from its weights.

    It differs from the training itself in ``adv.training.clean_epochs`` and ``clean_lr``, and is
    not attacked. ``adv.training.weights`` names it for the report, unless another one is named.

    Args:
        cfg: the whole config; ``model.load_weights`` is set.
        team: the first process trains, the others wait.

    Raises:
        ConfigError: see :func:`check_clean_start`.
    """
    check_clean_start(cfg)
    settings = cfg.adv.training
    if not settings.clean_epochs or cfg.test.evaluate:
        return
    weights = team.first(lambda: str(trained_weights(clean_config(cfg))))
    cfg.model.load_weights = weights
    settings.weights = settings.weights or weights


def clean_config(cfg: AdvConfig) -> AdvConfig:
    """Return the config of the clean network's training."""
    clean: AdvConfig = cfg.clone()
    settings = clean.adv.training
    clean.adv.engine, clean.model.resume = "", ""
    clean.train.max_epoch, settings.clean_epochs = settings.clean_epochs, 0
    if settings.clean_lr is not None:
        clean.train.lr, settings.clean_lr = settings.clean_lr, None
    return clean
