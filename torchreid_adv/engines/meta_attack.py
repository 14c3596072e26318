"""``adv.engine: meta_attack``: learn a universal perturbation against the engine's own network."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.build import configured_distance
from torchreid_adv.attacks.fitting import UniversalFit
from torchreid_adv.attacks.meta import InnerStep
from torchreid_adv.attacks.objectives import Objective
from torchreid_adv.attacks.self_reference import SelfDistance
from torchreid_adv.attacks.steps import SignStep
from torchreid_adv.attacks.triplets import BatchTriplet, CentroidTriplet, cluster_centers
from torchreid_adv.attacks.universal import UniversalPerturbation, save_universal
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance, FittedDistance
from torchreid_adv.engines.metric_attack import MetricAttackMixin
from torchreid_adv.engines.normalized import pixel_model, to_pixels
from torchreid_adv.engines.progress import ProgressMixin
from torchreid_adv.engines.rounds import Rounds, loader_like, training_set
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import fingerprint
from torchreid_adv.models.prepare import Prepared
from torchreid_adv.pixels import from_levels, to_levels
from torchreid_adv.registry import ENGINES
from torchreid_adv.version import __version__

FILE = "universal.safetensors"
STEPS_TO_BOUND = 10  # steps of the size that the paper's code takes to the bound
MOMENTUM = 1.0


@ENGINES.register("meta_attack", title="learn one perturbation for all images, then attack with it")
class MetaAttackMixin(MetricAttackMixin):
    """Each batch moves a universal perturbation; the network never changes.

    After the last epoch it is written to ``universal.safetensors`` in the folder of the run, and
    the targets are attacked with it as by ``attack-gallery``. What is learned is in ``fitting``.
    """

    train_loader: Any
    meta_config: AdvConfig
    virtual: Rounds | None
    fitting: UniversalFit | None
    _prepared: Prepared | None = None

    def adapt(self, cfg: AdvConfig) -> None:
        """Take the config, and the data that it asks for.

        Raises:
            ConfigError: keys that exclude each other, or a network without weights.
            DataError: the virtual set is not there.
        """
        super().adapt(cfg)
        _check(cfg)
        self.meta_config, self.virtual, self.fitting = cfg, None, None
        stock, chosen = self.train_loader, cfg.adv.meta
        if chosen.learning != "source":
            other = training_set(cfg, chosen.virtual, stock.dataset.transform)
            if chosen.learning == "meta":
                self.virtual = Rounds(loader_like(stock, other, cfg))
            else:
                joined = stock.dataset + other if chosen.learning == "joined" else other
                self.datamanager.train_loader = stock = loader_like(stock, joined, cfg)
        self.train_loader = Rounds(stock, chosen.iterations)

    def train(self, *args: Any, **keywords: Any) -> None:
        """Learn for an epoch."""
        if self.fitting is None:
            self.fitting = self._begun()
        super().train(*args, **keywords)

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Take one step of the perturbation.

        Raises:
            DataError: a loss that is not finite.
        """
        assert self.fitting is not None
        batch = self._batch(data)
        other = None if self.virtual is None else self._batch(self.virtual.next())
        if self._prepared is None:
            precision = self.meta_config.adv.attack.precision
            self._prepared = Prepared(pixel_model(self), batch.images, precision=precision)
        loss = -float(self.fitting.fit_step(self._prepared, batch, other).mean())
        if not math.isfinite(loss):
            raise DataError(
                f"the loss is {loss} in epoch {self.epoch + 1}, batch {self.batch_idx + 1}; is the "
                "network whole, and are its images?"
            )
        return {"loss": loss}

    def update_lr(self, names: Any = None) -> None:
        """Shrink the step; the network's own schedule rests."""
        assert self.fitting is not None
        self.fitting.end_epoch(self.meta_config.adv.meta.decay)

    def get_current_lr(self, names: Any = None) -> float:
        """Return the step size in gray levels, which the log shows as lr."""
        assert self.fitting is not None
        return to_levels(self.fitting.rule.param_groups[0]["lr"])

    def test(self, *args: Any, save_dir: str = "", **keywords: Any) -> float:
        """Evaluate; after the last epoch write what was learned, and attack the targets with it."""
        if self.epoch + 1 >= getattr(self, "max_epoch", 0):
            self.attack_config = _applied(self.meta_config, self._write(Path(save_dir or "log")))
        return super().test(*args, save_dir=save_dir, **keywords)

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Write what was learned so far, in the place of a network that did not change."""
        self._write(Path(save_dir))

    def _write(self, folder: Path) -> Path:
        assert self.fitting is not None
        path = folder / FILE
        save_universal(path, self.fitting.perturbation, self._about())
        print(f"Universal perturbation: {path}")
        return path

    def _about(self) -> dict[str, Any]:
        assert self.fitting is not None
        cfg, chosen, model = self.meta_config, self.meta_config.adv.meta, pixel_model(self)
        virtual = "" if chosen.learning == "source" else chosen.virtual
        return {
            "version": __version__,
            "space": "network",
            "trained_on": [] if chosen.learning == "virtual" else list(self.datamanager.sources),
            "virtual": virtual,
            "learning": chosen.learning,
            "loss": chosen.loss,
            "inner": chosen.inner if chosen.learning == "meta" else "",
            "model": lookup(cfg, "model.name", type(model.network).__name__),
            "model_sha256": fingerprint(model.network),
            "input": list(model.size),
            "steps": self.fitting.steps,
            "seed": cfg.adv.attack.seed,
        }

    def _begun(self) -> UniversalFit:
        cfg, chosen = self.meta_config, self.meta_config.adv.meta
        eps, attack = from_levels(cfg.adv.attack.eps), cfg.adv.attack
        size = to_levels(eps) / STEPS_TO_BOUND if attack.step_size is None else attack.step_size
        inner = None if chosen.inner_step_size is None else from_levels(chosen.inner_step_size)
        return UniversalFit(
            self._objective(configured_distance(cfg)),
            UniversalPerturbation(
                eps,
                kind=chosen.perturbation,
                size=(self.datamanager.height, self.datamanager.width),
                budget=chosen.budget,
            ),
            functools.partial(
                SignStep,
                lr=from_levels(size),
                momentum=MOMENTUM if attack.momentum is None else attack.momentum,
            ),
            start="random" if chosen.loss == "self" else "zero",
            inner=InnerStep(kind=chosen.inner, order=chosen.order, step_size=inner),
            seed=attack.seed,
            precision=attack.precision,
        )

    def _objective(self, distance: Distance) -> Objective:
        chosen = self.meta_config.adv.meta
        if chosen.loss == "self":
            return SelfDistance(distance)
        if chosen.loss == "triplet":
            return BatchTriplet(distance, margin=chosen.margin)
        self.set_model_mode("eval")
        with torch.no_grad():
            found = distance.map(self._features(self._train_loader(), "train").values)
        centers = cluster_centers(found, chosen.centroids, seed=self.meta_config.adv.attack.seed)
        return CentroidTriplet(distance, centers, margin=chosen.margin)

    def _batch(self, data: Any) -> Batch:
        images, pids = self.parse_data_for_train(data)
        if self.use_gpu:
            images, pids = images.cuda(), pids.cuda()
        pixels: Tensor = to_pixels(pixel_model(self), images)
        return Batch(pixels, pids=pids)


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
    if lookup(cfg, "test.evaluate", False):
        raise ConfigError(
            "adv.engine meta_attack learns in training; set test.evaluate False, or apply what was "
            "learned with adv.attack.name universal"
        )
    if lookup(cfg, "model.load_weights") == "" and not lookup(cfg, "model.resume", ""):
        raise ConfigError(
            "adv.engine meta_attack learns against a trained network, which it leaves as it is; "
            "name its checkpoint in model.load_weights"
        )
    if cfg.adv.attack.steps is not None or cfg.adv.attack.targeted:
        raise ConfigError(
            "adv.engine meta_attack takes train.max_epoch times adv.meta.iterations steps away "
            "from the image; leave adv.attack.steps None and adv.attack.targeted False"
        )
    if chosen.loss == "triplet" and sampler == "RandomSampler":
        raise ConfigError(
            "adv.meta.loss triplet needs several images of an identity in a batch; set "
            "sampler.train_sampler RandomIdentitySampler"
        )
    if chosen.order == 2 and chosen.inner == "sign":
        raise ConfigError(
            "a signed inner step has no second order; set adv.meta.inner sgd, or adv.meta.order 1"
        )
    distance = configured_distance(cfg)
    if isinstance(distance, FittedDistance) or not distance.squared_euclidean:
        raise ConfigError(
            f"adv.engine meta_attack does not learn against the distance '{distance.name}'; set "
            "adv.attack.metric euclidean or cosine"
        )


def _applied(cfg: AdvConfig, path: Path) -> AdvConfig:
    """Return the config of the attack with what was learned."""
    applied = cfg.clone()
    applied.adv.attack.update(
        name="universal",
        weights=str(path),
        step_size=None,
        momentum=None,
        options=AdvConfig(new_allowed=True),
    )
    return applied
