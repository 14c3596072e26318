"""``torchreid-adv start``: the common start of a study's networks, trained once and then kept.

Networks that share a start are alike enough for noise made on one to reach the others, as networks
from ImageNet's weights are. Networks that each start from their own random weights are not.
"""

from __future__ import annotations

from collections.abc import Sequence

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.trained import KEPT, trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.specs import ModelSpec

_NO_TEST = {"test_identities": 2, "distractors": 0}  # nothing is tested on the start's people


def start_weights(cfg: AdvConfig, spec: ModelSpec) -> str:
    """Return the weights that a network starts from, training them if need be.

    Args:
        cfg: of the study; the config's own size, transforms, optimizer and loss are used.
        spec: the network.

    Returns:
        the checkpoint; ``model.load_weights`` of the config where ``adv.start.sources`` is empty.
    """
    if not cfg.adv.start.sources:
        return str(cfg.model.load_weights)
    return str(trained_weights(start_config(cfg, spec), engine=KEPT))


def start_config(cfg: AdvConfig, spec: ModelSpec) -> AdvConfig:
    """Return the config by which a network's start is trained."""
    start, own = cfg.adv.start, cfg.clone()
    own.model.name, own.model.load_weights = spec.name, ""
    if spec.size:
        own.data.height, own.data.width = spec.size
    own.data.type, own.data.sources = "image", list(start.sources)
    own.data.combineall = False
    own.sampler.train_sampler, own.loss.name = "RandomSampler", "softmax"
    own.adv.engine, own.adv.selection.data = "", ""
    own.adv.virtual.train_identities = start.identities
    for key, value in _NO_TEST.items():
        own.adv.virtual[key] = value
    own.train.max_epoch, own.train.lr, own.train.seed = start.epochs, start.lr, start.seed
    own.train.batch_size, own.train.lr_scheduler = start.batch, "cosine"
    own.adv.schedule.warmup = start.warmup
    return own


def check_start(cfg: AdvConfig) -> None:
    """Refuse a start on the people that the networks are then trained or tested on.

    Raises:
        ConfigError: a data set is named twice, the networks are of tracklets, or the start has only
            epochs that warm up.
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
            f"adv.start.sources names '{shared}', which the networks are trained or tested on "
            "afterwards; name sets of other people"
        )
    if start.warmup >= start.epochs:
        raise ConfigError(
            f"adv.start.warmup {start.warmup} leaves none of the {start.epochs} epochs of "
            "adv.start.epochs; lower it"
        )


def _shared(start: Sequence[str], others: Sequence[str]) -> str:
    return next((name for name in start if name in others), "")
