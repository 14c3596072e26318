"""``adv.engine: adversarial_training``: train on images attacked during training or before."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks import configured_attack
from torchreid_adv.attacks.build import configured_distance
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import generator
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.images import read_image
from torchreid_adv.distances import FittedDistance
from torchreid_adv.engines.averaging import AveragedWeights
from torchreid_adv.engines.batches import (
    Mixture,
    batch_norm,
    moved,
    passing,
    pixel_model,
    to_pixels,
)
from torchreid_adv.engines.guard import Guard, fixed_rows
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.engines.loaders import PlannedImages
from torchreid_adv.engines.losses import Consistency
from torchreid_adv.engines.methods.base import Method, Sample
from torchreid_adv.engines.offline_training import (
    check_offline,
    merged_loader,
    without_training_file,
)
from torchreid_adv.engines.replays import Replayed, slower_statistics
from torchreid_adv.engines.resume import ResumableMixin
from torchreid_adv.engines.robust_report import report_after_training
from torchreid_adv.engines.saving import kept_random_state
from torchreid_adv.engines.side_attack import SideAttack
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import Protocol, RetrievalResult
from torchreid_adv.integration.checkpoints import load_weights, unwrap
from torchreid_adv.models import Features
from torchreid_adv.registry import ENGINES, TRAININGS


@ENGINES.register("adversarial_training", title="training on adversarial images, on- or offline")
class AdversarialTrainingMixin(ResumableMixin):
    """Each batch is attacked before the engine trains on it, with the engine's losses.

    ``attacked_results`` maps the data set's name to the result of its last attacked evaluation.
    """

    attacked_results: dict[str, RetrievalResult]
    training_config: AdvConfig
    _merged = False
    method: Method | None = None
    guard: Guard | None = None
    average: AveragedWeights | None = None

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config.

        Raises:
            ConfigError: keys exclude each other, or do not suit this network.
        """
        settings = cfg.adv.training
        if settings.mode == "offline":
            check_offline(self, cfg)
        elif settings.mix == "clean" and not settings.consistency:
            raise ConfigError(
                "adv.training.mix 'clean' trains on adversarial images by consistency alone; set "
                "adv.training.consistency above 0"
            )
        split = isinstance(self.model, nn.DataParallel) and len(self.model.device_ids) > 1
        if split and (
            settings.consistency or settings.mix == "clean" or settings.batchnorm == "separate"
        ):
            raise ConfigError(
                "DataParallel cuts batches apart, and adv.training.consistency and batchnorm "
                "'separate' need them whole; show one GPU (CUDA_VISIBLE_DEVICES) or use torchrun"
            )
        if settings.mode == "online":
            self._adapt_online(cfg)
        self.average = None
        if settings.ema:
            self.average = AveragedWeights(unwrap(self.model), settings.ema)
            self.average.follow(self.optimizer)
        if settings.report and self.datamanager.data_type != "image":
            raise ConfigError("adv.training.report is for data.type image, got video; leave it []")
        self._side_attack = self._evaluation_attack(cfg) if settings.evaluate else None
        self.attacked_results = {}
        self.training_config = cfg
        self._names: list[str] = []
        self.resume(cfg)

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch; in offline mode, first attack and merge the training set."""
        if self.training_config.adv.training.mode == "offline" and not self._merged:
            with kept_random_state():
                self._merge()
        seed = int(lookup(self.training_config, "train.seed", 0))
        if self.method is not None and self.method.replays is not None:
            self.method.replays.new_epoch(generator(seed, "replays", self.epoch))
        super().train(*args, **keywords)
        if self.method is not None:
            self.method.epoch_ended()
        every = self.training_config.adv.training.guard
        if self.guard is not None and (self.epoch + 1) % every == 0 and self.leads:
            with kept_random_state():
                self._look()

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Train on a batch, online with its adversarial form; return the engine's summary.

        Raises:
            DataError: a loss is not finite; the error names the files of the batch.
        """
        self._names = [str(name) for name in data.get("impath", ())]
        settings = self.training_config.adv.training
        if self.method is None:
            with passing(self.model, None, settings.precision):
                summary = super().forward_backward(data)
        elif self.method.replays is not None:
            summary = self._replayed(data, self.method.replays)
        else:
            summary = self._online(data)
        for name, value in summary.items():
            self.check_finite(name, value)
        return summary

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Save; after the last epoch, write the report that ``adv.training.report`` names."""
        super().save_model(epoch, rank1, save_dir, is_best=is_best)
        if self.average is not None and self.leads:
            self.average.save(save_dir, epoch)
        last = epoch + 1 >= self.max_epoch
        if last and self.leads and self.training_config.adv.training.report:
            name = self.get_model_names()[0]
            path = Path(save_dir) / name / f"model.pth.tar-{epoch + 1}"
            report_after_training(self.training_config, path, Path(save_dir) / "robustness")

    def kept_state(self) -> dict[str, Any]:
        """Return the state that a checkpoint keeps besides the weights."""
        return {**super().kept_state(), **{name: part.state() for name, part in self._parts()}}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`kept_state` returned."""
        super().take_state(state)
        for name, part in self._parts():
            part.take_state(state[name])

    def _parts(self) -> list[tuple[str, Any]]:
        parts: dict[str, Any] = {"average": self.average, "guard": self.guard}
        if self.method is not None:
            parts["replays"] = self.method.replays
            parts["method"] = self.method if self.method.keeps else None
        return [(name, part) for name, part in parts.items() if part is not None]

    def compute_loss(self, criterion: Any, outputs: Any, targets: Any) -> Tensor:
        """Return the engine's loss; a loss that is not finite raises before it reaches weights."""
        loss: Tensor = super().compute_loss(criterion, outputs, targets)
        self.check_finite("loss", float(loss.detach()))
        return loss

    def evaluated(
        self, name: str, sides: dict[str, Features], protocol: Protocol, keywords: dict[str, Any]
    ) -> None:
        """Attack a side of the evaluated data set, and evaluate again by the same rules."""
        super().evaluated(name, sides, protocol, keywords)
        if self._side_attack is None:
            return
        attack, side = self.training_config.adv.attack, self._side_attack.side
        after = self._side_attack.features(self, keywords[f"{side}_loader"], sides)
        print(f"** Attacked at the network's size: {side}, {attack.name}, eps {attack.eps:g} **")
        scores = self.print_scores({**sides, side: after}, protocol, keywords)
        result = self.attacked_results[name] = next(iter(scores.values()))
        self.log_scores(f"{name}/attacked", result)
        if self.writer is not None:
            self.writer.add_scalar(f"Test/{name}/attacked_rank1", result.rank(1), self.epoch)
            self.writer.add_scalar(f"Test/{name}/attacked_mAP", result.mAP, self.epoch)

    def _adapt_online(self, cfg: AdvConfig) -> None:
        """Prepare the method of ``adv.training.method``, and the guard.

        Raises:
            ConfigError: keys that the method does not read.
        """
        settings = cfg.adv.training
        if settings.clean_epochs and not cfg.model.load_weights:
            raise ConfigError(
                "adv.training.clean_epochs is read by 'torchreid-adv train'; here, train the clean "
                "network first and name it in model.load_weights"
            )
        if settings.start == "carried" and settings.method != "free":
            raise ConfigError("adv.training.start 'carried' is of adv.training.method 'free'")
        self.method = TRAININGS.get(settings.method)(self, cfg)
        if not settings.guard:
            return
        probe = self.method.probe
        if not isinstance(probe, InnerAttack) or self.datamanager.data_type != "image":
            raise ConfigError(
                "adv.training.guard compares attacks in training and is for data.type image with "
                "an objective other than 'universal'; set it 0"
            )
        self.guard = Guard(*self._fixed_batch(), probe)

    def _fixed_batch(self) -> tuple[Tensor, Tensor]:
        """Return pixels and identities of the training images that the guard looks at."""
        stock: Any = self.train_loader.dataset
        items = (stock.images if isinstance(stock, PlannedImages) else stock).train
        rows = fixed_rows([item[1] for item in items])
        if not rows:
            raise ConfigError(
                "adv.training.guard compares images of an identity, and no identity has two"
            )
        transform = self.datamanager.transform_te
        images = torch.stack([transform(read_image(items[row][0])) for row in rows])
        pids = torch.tensor([items[row][1] for row in rows])
        return to_pixels(pixel_model(self), images), pids

    def _look(self) -> None:
        """Let the guard look at the network as it is after an epoch."""
        assert self.guard is not None
        self.guard.look(pixel_model(self), self.guard.attack)

    def _bound(self) -> float:
        """Return the bound of now, pixel units; in a warm-up it is a share of the whole one."""
        settings = self.training_config.adv.training
        if not settings.warmup:
            return from_levels(settings.eps)
        batch = getattr(self, "batch_idx", 0) + 1
        progress = self.epoch + batch / max(1, len(self.train_loader))
        return from_levels(settings.eps) * min(1.0, progress / settings.warmup)

    def _replayed(self, data: Any, replays: Replayed) -> dict[str, float]:
        """Train on a batch several times; each backward pass moves its perturbation, too."""
        images, pids = self.parse_data_for_train(data)
        if self.use_gpu:
            images, pids = images.cuda(), pids.cuda()
        model, cfg = pixel_model(self), self.training_config
        clean, eps = to_pixels(model, images), self._bound()
        deviations = model.moments(images)[1]
        delta, summary = replays.begin(clean, eps), {}
        with slower_statistics(unwrap(self.model), replays.replays):
            for _ in range(replays.replays):
                pixels = (clean + delta).clamp(0, 1)
                inputs = moved(model, images, clean, pixels).detach().requires_grad_()
                perturbed_data = {**data, "img": inputs, "pid": pids}
                with passing(self.model, None, cfg.adv.training.precision):
                    summary = super().forward_backward(perturbed_data)
                assert inputs.grad is not None
                delta = replays.step(pixels - clean, inputs.grad / deviations, eps)
        return summary

    def _online(self, data: Any) -> dict[str, float]:
        images, pids = self.parse_data_for_train(data)
        if self.use_gpu:
            images, pids = images.cuda(), pids.cuda()
        assert self.method is not None
        settings, batch = self.training_config.adv.training, self._mixed(images, pids)
        attacked_data = {**data, "img": batch.images, "pid": batch.pids}
        policy = batch_norm(unwrap(self.model), settings.batchnorm, batch.adversarial)
        counted = passing(self.model, len(batch.pids), settings.precision)
        around = self.method.around(self, self._sample(images, pids), batch)
        with policy, counted, self._consistent(batch) as term, around as further:
            summary: dict[str, float] = super().forward_backward(attacked_data)
        return {**summary, **term, **further}

    def _mixed(self, images: Tensor, pids: Tensor) -> Mixture:
        """Return the images that pass through the network in a step."""
        assert self.method is not None
        return self.method.mixed(self._sample(images, pids))

    def _sample(self, images: Tensor, pids: Tensor) -> Sample:
        count = len(images)
        draws = tuple(self._image_id(row, count) for row in range(count))
        names = tuple(self._names) if len(self._names) == count else draws
        return Sample(pixel_model(self), images, pids, names, draws, self._bound())

    def _image_id(self, row: int, count: int) -> str:
        """Return the name that an image's random draws depend on: step and image."""
        name = self._names[row] if len(self._names) == count else str(row)
        return f"{self.epoch}/{getattr(self, 'batch_idx', 0)}/{name}"

    @contextlib.contextmanager
    def _consistent(self, batch: Mixture) -> Iterator[dict[str, float]]:
        weight = self.training_config.adv.training.consistency
        if not weight:
            yield {}
            return
        with Consistency(unwrap(self.model), weight).added(batch) as summary:
            yield summary

    def _merge(self) -> None:
        cfg, settings = self.training_config, self.training_config.adv.training
        self.train_loader = self.datamanager.train_loader = merged_loader(self, cfg)
        if settings.init == "clean" and not lookup(cfg, "model.resume", ""):
            load_weights(self.model, settings.weights, strict=False)
            print(f"=> Continuing from the clean network's weights '{settings.weights}'")
        self._merged = True

    def _evaluation_attack(self, cfg: AdvConfig) -> SideAttack:
        if isinstance(configured_distance(cfg), FittedDistance):
            raise ConfigError(
                "evaluations during training attack distances that need no fitting; set "
                "adv.attack.metric 'euclidean', or adv.training.evaluate False"
            )
        if cfg.adv.attack.targeted:
            raise ConfigError(
                "evaluations during training attack without a target; set adv.attack.targeted "
                "False, or adv.training.evaluate False"
            )
        return SideAttack(configured_attack(without_training_file(cfg)), cfg.adv.attack.side)

    def check_finite(self, name: str, value: float) -> None:
        """Refuse a value of a loss that is not finite.

        Raises:
            DataError: the value is not finite; the error names the images of the batch.
        """
        if not math.isfinite(value):
            files = ", ".join(self._names) or "of a video loader, which does not name them"
            raise DataError(
                f"{name} is {value} in epoch {self.epoch + 1}, batch "
                f"{getattr(self, 'batch_idx', 0) + 1}; look at its images, or lower train.lr or "
                f"adv.training.eps. Images of the batch: {files}"
            )
