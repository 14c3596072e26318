"""What all methods of online adversarial training share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.config.keys import KEYS
from torchreid_adv.core.batch import Batch
from torchreid_adv.engines.batches import Mixture, evenly, mixture, moved, to_pixels
from torchreid_adv.engines.inner_attack import InnerAttack, LearnedInner, configured_inner
from torchreid_adv.engines.replays import Replayed
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel


@dataclass(frozen=True)
class Sample:
    """A batch as the loader gives it.

    Args:
        model: the trained network behind pixels.
        images: (N, [T,] 3, H, W), normalized.
        pids: (N,) training identities from 0.
        names: N names of the image files, the same in every epoch.
        draws: N names that random draws depend on: step and image.
        eps: L-infinity bound of now, pixel units of [0, 1].
    """

    model: PixelModel
    images: Tensor
    pids: Tensor
    names: tuple[str, ...]
    draws: tuple[str, ...]
    eps: float


class Method:
    """An inner attack on each batch, whose images join or replace the clean ones.

    Args:
        engine: the adapted torchreid engine.
        cfg: the whole config.

    Raises:
        ConfigError: keys that the method does not read or cannot use.
    """

    keeps = False  # whether a checkpoint holds a state of it
    replays: Replayed | None = None
    unread: tuple[str, ...] = ()  # keys of adv.training that must stay at their defaults

    def __init__(self, engine: Any, cfg: AdvConfig) -> None:
        self.settings = cfg.adv.training
        self.seed = int(lookup(cfg, "train.seed", 0))
        self._check(cfg)
        self.inner = self.attack(cfg)

    def attack(self, cfg: AdvConfig) -> InnerAttack | LearnedInner:
        """Build the attack of ``adv.training.*``."""
        return configured_inner(cfg, self.seed)

    @property
    def probe(self) -> InnerAttack | LearnedInner:
        """The attack on single images that the guard calls the attack of the training."""
        return self.inner

    def mixed(self, sample: Sample) -> Mixture:
        """Return the images that pass through the network in a step."""
        settings, model, images = self.settings, sample.model, sample.images
        rows = evenly(len(images), settings.ratio, images.device)
        clean = to_pixels(model, images[rows])
        draws = tuple(sample.draws[row] for row in rows.tolist())
        batch = Batch(clean, pids=sample.pids[rows], image_ids=draws)
        names = tuple(sample.names[row] for row in rows.tolist())
        adversarial = self.attacked(sample, batch, names)
        attacked = moved(model, images[rows], clean, adversarial)
        pairs = settings.consistency > 0
        return mixture(images, sample.pids, rows, attacked, mix=settings.mix, pairs=pairs)

    def attacked(self, sample: Sample, batch: Batch, names: tuple[str, ...]) -> Tensor:
        """Return the adversarial pixels of a batch.

        Args:
            sample: that the batch is of.
            batch: clean pixels.
            names: of the image files.
        """
        return self.inner_now(sample.eps)(sample.model, batch)

    def inner_now(self, eps: float) -> InnerAttack | LearnedInner:
        """Return the attack within the bound of now, pixel units."""
        if not self.settings.warmup or not isinstance(self.inner, InnerAttack):
            return self.inner
        return self.inner.within(eps)

    @contextlib.contextmanager
    def around(self, engine: Any, sample: Sample, batch: Mixture) -> Iterator[dict[str, float]]:
        """Surround the engine's own pass; the yielded dict is added to its summary."""
        yield {}

    def epoch_ended(self) -> None:
        """Share between processes what each has learned of its part."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""

    def _check(self, cfg: AdvConfig) -> None:
        settings, defaults = cfg.adv.training, {key.name: key.default for key in KEYS}
        for key in self.unread:
            if settings[key] != defaults[f"training.{key}"]:
                raise ConfigError(
                    f"adv.training.method '{settings.method}' does not read adv.training.{key}; "
                    "leave it out"
                )
