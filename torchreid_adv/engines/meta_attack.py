"""``adv.engine: meta_attack``: learn a universal perturbation against the engine's own network."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchreid_adv.attacks.build import configured_distance
from torchreid_adv.attacks.learned.meta_attack import InnerStep, UniversalFit
from torchreid_adv.attacks.learned.triplets import BatchTriplet, CentroidTriplet, cluster_centers
from torchreid_adv.attacks.learned.uap_retrieval import LabelHinge, ListReversal, Summed
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.attacks.loop.objectives import Objective
from torchreid_adv.attacks.loop.steps import SignStep
from torchreid_adv.attacks.sma import SelfDistance
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels, to_levels
from torchreid_adv.distances import Distance
from torchreid_adv.engines.learned_attack import META, LearnedAttackMixin
from torchreid_adv.engines.progress import ProgressMixin
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import ENGINES

FILE = "universal.safetensors"
STEPS_TO_BOUND = 10  # steps of the size that the paper's code takes to the bound
MOMENTUM = 1.0


@ENGINES.register("meta_attack", title="learn one perturbation for all images, then attack with it")
class MetaAttackMixin(LearnedAttackMixin):
    """Each batch moves a universal perturbation; the network never changes.

    After the last epoch it is written to ``universal.safetensors`` in the folder of the run, and
    the targets are attacked with it as by ``attack-gallery``. What is learned is in ``fitting``.
    """

    learned_file = FILE
    learned_name = "universal"
    fitting: UniversalFit

    def adapt(self, cfg: AdvConfig) -> None:
        """Take the config, and the data that it asks for.

        Raises:
            ConfigError: keys that exclude each other, or a network without weights.
            DataError: the virtual set is not there.
        """
        _check(cfg)
        super().adapt(cfg)

    def learn(self, model: nn.Module, batch: Batch, virtual: Batch | None) -> dict[str, float]:
        """Take one step of the perturbation, or two, see ``adv.meta.learning``."""
        if self.learning_config.adv.meta.learning == "twice" and virtual is not None:
            self.fitting.fit_step(model, batch)
            batch, virtual = virtual, None  # the next one of the sources
        return {"loss": -float(self.fitting.fit_step(model, batch, virtual).mean())}

    def update_lr(self, names: Any = None) -> None:
        """Shrink the step; the network's own schedule rests."""
        self.fitting.end_epoch(self.learning_config.adv.meta.decay)

    def get_current_lr(self, names: Any = None) -> float:
        """Return the step size in gray levels, which the log shows as lr."""
        return to_levels(self.fitting.rule.param_groups[0]["lr"])

    def save_learned(self, path: Path, about: dict[str, Any]) -> None:
        """Write the perturbation."""
        save_universal(path, self.fitting.perturbation, about)

    def about_learned(self) -> dict[str, Any]:
        """Return what the header says of how it was learned."""
        chosen = self.learning_config.adv.meta
        inner = chosen.inner if chosen.learning in META else ""
        return {**super().about_learned(), "loss": chosen.loss, "inner": inner}

    def begin_learning(self) -> UniversalFit:
        """Return what is going to learn the perturbation."""
        cfg, chosen = self.learning_config, self.learning_config.adv.meta
        eps, attack = from_levels(cfg.adv.attack.eps), cfg.adv.attack
        size = to_levels(eps) / STEPS_TO_BOUND if attack.step_size is None else attack.step_size
        inner = None if chosen.inner_step_size is None else from_levels(chosen.inner_step_size)
        return UniversalFit(
            self._objective(configured_distance(cfg)),
            self._perturbation(eps),
            functools.partial(
                SignStep,
                lr=from_levels(size),
                momentum=MOMENTUM if attack.momentum is None else attack.momentum,
            ),
            start="random" if chosen.loss == "self" else "zero",
            inner=InnerStep(
                kind=chosen.inner,
                order=chosen.order,
                step_size=inner,
                kept=chosen.learning == "two_step",
            ),
            seed=attack.seed,
            precision=attack.precision,
        )

    def _perturbation(self, eps: float) -> UniversalPerturbation:
        """Return what is learned; a color shift is a delta of one pixel, which fits any image."""
        chosen = self.learning_config.adv.meta
        shift = chosen.perturbation == "shift"
        return UniversalPerturbation(
            eps,
            kind="delta" if shift else chosen.perturbation,
            size=(1, 1) if shift else (self.datamanager.height, self.datamanager.width),
            cells=chosen.cells,
            budget=chosen.budget,
        )

    def _objective(self, distance: Distance) -> Objective:
        chosen = self.learning_config.adv.meta
        if chosen.loss == "self":
            return SelfDistance(distance)
        if chosen.loss == "triplet":
            return BatchTriplet(distance, margin=chosen.margin)
        self.set_model_mode("eval")
        with torch.no_grad():
            found = distance.map(self._features(self._train_loader(), "train").values)
        centers = cluster_centers(
            found, chosen.centroids, seed=self.learning_config.adv.attack.seed
        )
        kinds: dict[str, Objective] = {
            "centroids": CentroidTriplet(distance, centers, margin=chosen.margin),
            "labels": LabelHinge(distance, centers),
            "list": ListReversal(distance, centers),
        }
        return Summed(list(kinds.values())) if chosen.loss == "retrieval" else kinds[chosen.loss]


@ENGINES.register("universal_progress", internal=True)
class UniversalProgressMixin(ProgressMixin, MetaAttackMixin):
    """Learning inside another job, with its progress bar; nothing is evaluated or attacked."""

    def adapt(self, cfg: AdvConfig) -> None:
        """Take the config for both."""
        MetaAttackMixin.adapt(self, cfg)
        ProgressMixin.adapt(self, cfg)

    def test(self, *args: Any, **keywords: Any) -> float:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
        return 0.0


def _check(cfg: AdvConfig) -> None:
    chosen, sampler = cfg.adv.meta, lookup(cfg, "sampler.train_sampler", "")
    if chosen.loss == "triplet" and sampler == "RandomSampler":
        raise ConfigError(
            "adv.meta.loss triplet needs several images of an identity in a batch; set "
            "sampler.train_sampler RandomIdentitySampler"
        )
    if chosen.order == 2 and chosen.inner == "sign":
        raise ConfigError(
            "a signed inner step has no second order; set adv.meta.inner sgd, or adv.meta.order 1"
        )
