"""Networks that trainings start from, trained once and stored: of a study, and of robust training.

Networks with a common start are similar enough for noise to transfer between them, as networks
with ImageNet's weights are. Networks that start from different random weights are not.
"""

from __future__ import annotations

from collections.abc import Sequence

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.engines.trained import KEPT, trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.specs import ModelSpec

_NO_TEST = {"test_identities": 2, "distractors": 0}  # no test uses the start's people


def start_weights(cfg: AdvConfig, spec: ModelSpec) -> str:
    """Return the weights that a network starts from; train them if necessary.

    Args:
        cfg: config of the study; its size, transforms, optimizer and loss are used.
        spec: the network.

    Returns:
        the checkpoint; ``model.load_weights`` of the config if ``adv.start.sources`` is empty.
    """
    if not cfg.adv.start.sources:
        return str(cfg.model.load_weights)
    return str(trained_weights(start_config(cfg, spec), engine=KEPT))


def start_config(cfg: AdvConfig, spec: ModelSpec) -> AdvConfig:
    """Return the config that trains a network's start."""
    start, run_cfg = cfg.adv.start, cfg.clone()
    run_cfg.model.name, run_cfg.model.load_weights = spec.name, ""
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    run_cfg.data.type, run_cfg.data.sources = "image", list(start.sources)
    run_cfg.data.combineall = False
    run_cfg.sampler.train_sampler, run_cfg.loss.name = "RandomSampler", "softmax"
    run_cfg.adv.engine, run_cfg.adv.selection.data = "", ""
    run_cfg.adv.virtual.train_identities = start.identities
    for key, value in _NO_TEST.items():
        run_cfg.adv.virtual[key] = value
    run_cfg.train.max_epoch, run_cfg.train.lr, run_cfg.train.seed = (
        start.epochs,
        start.lr,
        start.seed,
    )
    run_cfg.train.batch_size, run_cfg.train.lr_scheduler = start.batch, "cosine"
    run_cfg.adv.schedule.warmup = start.warmup
    return run_cfg


def check_start(cfg: AdvConfig) -> None:
    """Refuse a start on people that the networks are then trained or tested on.

    Raises:
        ConfigError: a data set is used twice, the networks are of tracklets, or all epochs of the
            start are warm-up.
    """
    start = cfg.adv.start
    if not start.sources:
        return
    if cfg.data.type != "image":
        raise ConfigError(
            "adv.start is for networks of images; networks of tracklets start from "
            "adv.study.stills, so leave adv.start.sources empty"
        )
    shared = _shared(start.sources, [*cfg.data.sources, *cfg.data.targets])
    if shared:
        raise ConfigError(
            f"adv.start.sources names '{shared}', which the networks are later trained or tested "
            "on; name sets of other people"
        )
    if start.warmup >= start.epochs:
        raise ConfigError(
            f"adv.start.warmup {start.warmup} leaves none of the {start.epochs} epochs of "
            "adv.start.epochs; lower it"
        )


def _shared(start: Sequence[str], others: Sequence[str]) -> str:
    return next((name for name in start if name in others), "")


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
