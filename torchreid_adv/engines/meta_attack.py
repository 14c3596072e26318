"""``adv.engine: meta_attack``: learn a universal perturbation against the engine's network."""

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
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import ENGINES

FILE = "universal.safetensors"
STEPS_TO_BOUND = 10  # steps to the bound at the step size of the paper's code
MOMENTUM = 1.0


@ENGINES.register("meta_attack", title="learn one perturbation for all images, then attack with it")
class MetaAttackMixin(LearnedAttackMixin):
    """Each batch updates a universal perturbation; the network never changes.

    After the last epoch it is written to ``universal.safetensors`` in the run's folder, and the
    targets are attacked with it as by ``attack-gallery``. ``fitting`` holds it.
    """

    learned_file = FILE
    learned_name = "universal"
    fitting: UniversalFit

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config, and load the data that it requires.

        Raises:
            ConfigError: keys exclude each other, or the network has no weights.
            DataError: the virtual set is missing.
        """
        _check(cfg)
        super().adapt(cfg)

    def learn(self, model: nn.Module, batch: Batch, virtual: Batch | None) -> dict[str, float]:
        """Take one step of the perturbation, or two, see ``adv.meta.learning``."""
        if self.learning_config.adv.meta.learning == "twice" and virtual is not None:
            self.fitting.fit_step(model, batch)
            batch, virtual = virtual, None  # the next batch of the sources
        return {"loss": -float(self.fitting.fit_step(model, batch, virtual).mean())}

    def update_lr(self, names: Any = None) -> None:
        """Reduce the step size; the network's schedule is not used."""
        self.fitting.end_epoch(self.learning_config.adv.meta.decay)

    def get_current_lr(self, names: Any = None) -> float:
        """Return the step size in gray levels, logged as lr."""
        return to_levels(self.fitting.rule.param_groups[0]["lr"])

    def save_learned(self, path: Path, about: dict[str, Any]) -> None:
        """Write the perturbation."""
        save_universal(path, self.fitting.perturbation, about)

    def about_learned(self) -> dict[str, Any]:
        """Return the header: how the perturbation was learned."""
        settings = self.learning_config.adv.meta
        inner = settings.inner if settings.learning in META else ""
        return {**super().about_learned(), "loss": settings.loss, "inner": inner}

    def begin_learning(self) -> UniversalFit:
        """Return the object that learns the perturbation."""
        cfg, settings = self.learning_config, self.learning_config.adv.meta
        eps, attack = from_levels(cfg.adv.attack.eps), cfg.adv.attack
        size = to_levels(eps) / STEPS_TO_BOUND if attack.step_size is None else attack.step_size
        inner = None if settings.inner_step_size is None else from_levels(settings.inner_step_size)
        return UniversalFit(
            self._objective(configured_distance(cfg)),
            self._perturbation(eps),
            functools.partial(
                SignStep,
                lr=from_levels(size),
                momentum=MOMENTUM if attack.momentum is None else attack.momentum,
            ),
            start="random" if settings.loss == "self" else "zero",
            inner=InnerStep(
                kind=settings.inner,
                order=settings.order,
                step_size=inner,
                kept=settings.learning == "two_step",
            ),
            seed=attack.seed,
            precision=attack.precision,
        )

    def _perturbation(self, eps: float) -> UniversalPerturbation:
        """Return the perturbation to learn; a color shift is a delta of one pixel."""
        settings = self.learning_config.adv.meta
        shift = settings.perturbation == "shift"
        return UniversalPerturbation(
            eps,
            kind="delta" if shift else settings.perturbation,
            size=(1, 1) if shift else (self.datamanager.height, self.datamanager.width),
            cells=settings.cells,
            budget=settings.budget,
        )

    def _objective(self, distance: Distance) -> Objective:
        settings = self.learning_config.adv.meta
        if settings.loss == "self":
            return SelfDistance(distance)
        if settings.loss == "triplet":
            return BatchTriplet(distance, margin=settings.margin)
        self.set_model_mode("eval")
        with torch.no_grad():
            features = distance.map(self._features(self._train_loader(), "train").values)
        centers = cluster_centers(
            features, settings.centroids, seed=self.learning_config.adv.attack.seed
        )
        kinds: dict[str, Objective] = {
            "centroids": CentroidTriplet(distance, centers, margin=settings.margin),
            "labels": LabelHinge(distance, centers),
            "list": ListReversal(distance, centers),
        }
        return (
            Summed(list(kinds.values())) if settings.loss == "retrieval" else kinds[settings.loss]
        )


def _check(cfg: AdvConfig) -> None:
    settings, sampler = cfg.adv.meta, lookup(cfg, "sampler.train_sampler", "")
    if settings.loss == "triplet" and sampler == "RandomSampler":
        raise ConfigError(
            "adv.meta.loss triplet needs several images of an identity in a batch; set "
            "sampler.train_sampler RandomIdentitySampler"
        )
    if settings.order == 2 and settings.inner == "sign":
        raise ConfigError(
            "a signed inner step has no second order; set adv.meta.inner sgd, or adv.meta.order 1"
        )
