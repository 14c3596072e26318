"""``adv.engine: adversarial_training``: engines train on images attacked now or before."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from torchreid_adv.attacks import configured_attack
from torchreid_adv.attacks.build import configured_distance
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.processes import ALONE
from torchreid_adv.data.datasets import from_torchreid
from torchreid_adv.distances import FittedDistance
from torchreid_adv.engines.batches import (
    Mixture,
    batch_norm,
    evenly,
    mixture,
    moved,
    passing,
    pixel_model,
    to_pixels,
)
from torchreid_adv.engines.inner_attack import configured_inner
from torchreid_adv.engines.loaders import PlannedImages, planned_loader, sampler_like
from torchreid_adv.engines.losses import Consistency
from torchreid_adv.engines.progress import ProgressMixin
from torchreid_adv.engines.randomness import kept_random_state
from torchreid_adv.engines.resume import ResumableMixin
from torchreid_adv.engines.robust_report import report_after_training
from torchreid_adv.engines.side_attack import SideAttack
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import Protocol, RetrievalResult
from torchreid_adv.integration.checkpoints import load_weights, unwrap
from torchreid_adv.models import Features
from torchreid_adv.registry import ATTACKS, ENGINES
from torchreid_adv.runs.training_set import attack_training


def merged_loader(engine: Any, cfg: AdvConfig) -> DataLoader[Any]:
    """Return an engine's training loader with the stored adversarial images added to it.

    What is not stored yet is attacked now, by the job of ``attack-train``; an image and its form
    have the same identity and camera (Bai et al., section 4, steps 2 and 3).

    Raises:
        ConfigError: no clean network, or a folder that holds another run.
        DataError: an image that cannot be used.
    """
    stock, team = engine.train_loader, getattr(engine, "team", ALONE)
    dataset, sources = stock.dataset, engine.datamanager.sources
    planned = isinstance(dataset, PlannedImages)
    dataset = dataset.images if planned else dataset
    data = from_torchreid("+".join(sources), lookup(cfg, "data.root", "."), dataset)
    variant = team.first(lambda: attack_training(cfg, data))
    assert variant is not None  # only a shard has nothing to return
    stored = {record.image_id: str(record.path) for record in variant.data(data).train}
    rows = {Path(row[0]): row for row in dataset.train}
    added = [
        (stored[record.image_id], *rows[record.path][1:])
        for record in data.train
        if record.image_id in stored
    ]
    both = copy.copy(dataset)
    both.train = both.data = [*dataset.train, *added]
    print(f"=> Training on {len(dataset.train)} images and {len(added)} adversarial ones")
    sampler = stock.sampler.sampler if planned else stock.sampler
    size = (stock.batch_size or 1) * (team.world if planned else 1)
    loader: DataLoader[Any] = DataLoader(
        both,
        sampler=sampler_like(sampler, both.train, size, cfg),
        batch_size=size,
        num_workers=stock.num_workers,
        pin_memory=stock.pin_memory,
        drop_last=stock.drop_last,
    )
    return planned_loader(loader, team=team, seed=stock.sampler.seed) if planned else loader


@ENGINES.register("adversarial_training", title="training on adversarial images, on- or offline")
class AdversarialTrainingMixin(ResumableMixin):
    """Each batch is attacked before the engine trains on it, by whatever losses the engine has.

    ``attacked_results`` maps the data set's name to the result of its last attacked evaluation.
    """

    attacked_results: dict[str, RetrievalResult]
    training_config: AdvConfig
    _merged = False

    def adapt(self, cfg: AdvConfig) -> None:
        """Take the config.

        Raises:
            ConfigError: keys that exclude each other, or that this network cannot be trained with.
        """
        chosen = cfg.adv.training
        if chosen.mode == "offline":
            self._check_offline(cfg)
        elif chosen.mix == "clean" and not chosen.consistency:
            raise ConfigError(
                "adv.training.mix 'clean' trains on adversarial images by consistency alone; set "
                "adv.training.consistency above 0"
            )
        split = isinstance(self.model, nn.DataParallel) and len(self.model.device_ids) > 1
        if split and (
            chosen.consistency or chosen.mix == "clean" or chosen.batchnorm == "separate"
        ):
            raise ConfigError(
                "DataParallel cuts batches apart, and adv.training.consistency and batchnorm "
                "'separate' need them whole; show one GPU (CUDA_VISIBLE_DEVICES) or use torchrun"
            )
        if chosen.mode == "online":
            self.inner = configured_inner(cfg, int(lookup(cfg, "train.seed", 0)))
        if chosen.report and self.datamanager.data_type != "image":
            raise ConfigError("adv.training.report is for data.type image, got video; leave it []")
        self._side_attack = self._evaluation_attack(cfg) if chosen.evaluate else None
        self.attacked_results = {}
        self.training_config = cfg
        self._names: list[str] = []
        self.resume(cfg)

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch; before the first one, offline, attack and merge the training set."""
        if self.training_config.adv.training.mode == "offline" and not self._merged:
            with kept_random_state():
                self._merge()
        super().train(*args, **keywords)

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Train on a batch, online with its adversarial form; return the engine's summary.

        Raises:
            DataError: a loss that is not finite, with the files of the batch.
        """
        self._names = [str(name) for name in data.get("impath", ())]
        chosen = self.training_config.adv.training
        if chosen.mode == "online":
            summary = self._online(data)
        else:
            with passing(self.model, None, chosen.precision):
                summary = super().forward_backward(data)
        for name, value in summary.items():
            self._check_finite(name, value)
        return summary

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Save; after the last epoch, report on what was saved as ``adv.training.report`` asks."""
        super().save_model(epoch, rank1, save_dir, is_best=is_best)
        last = epoch + 1 >= self.max_epoch
        if last and self.leads and self.training_config.adv.training.report:
            name = self.get_model_names()[0]
            path = Path(save_dir) / name / f"model.pth.tar-{epoch + 1}"
            report_after_training(self.training_config, path, Path(save_dir) / "robustness")

    def compute_loss(self, criterion: Any, outputs: Any, targets: Any) -> Tensor:
        """Return the engine's loss; one that is not finite never reaches the weights."""
        loss: Tensor = super().compute_loss(criterion, outputs, targets)
        self._check_finite("loss", float(loss.detach()))
        return loss

    def evaluated(
        self, name: str, sides: dict[str, Features], protocol: Protocol, keywords: dict[str, Any]
    ) -> None:
        """Attack a side of the data set that was evaluated, and evaluate again by its rules."""
        super().evaluated(name, sides, protocol, keywords)
        if self._side_attack is None:
            return
        chosen, side = self.training_config.adv.attack, self._side_attack.side
        after = self._side_attack.features(self, keywords[f"{side}_loader"], sides)
        print(f"** Attacked at the network's size: {side}, {chosen.name}, eps {chosen.eps:g} **")
        found = self.print_scores({**sides, side: after}, protocol, keywords)
        result = self.attacked_results[name] = next(iter(found.values()))
        if self.writer is not None:
            self.writer.add_scalar(f"Test/{name}/attacked_rank1", result.rank(1), self.epoch)
            self.writer.add_scalar(f"Test/{name}/attacked_mAP", result.mAP, self.epoch)

    def _online(self, data: Any) -> dict[str, float]:
        images, pids = self.parse_data_for_train(data)
        if self.use_gpu:
            images, pids = images.cuda(), pids.cuda()
        batch = self._mixed(images, pids)
        chosen = self.training_config.adv.training
        given = {**data, "img": batch.images, "pid": batch.pids}
        policy = batch_norm(unwrap(self.model), chosen.batchnorm, batch.adversarial)
        counted = passing(self.model, len(batch.pids), chosen.precision)
        with policy, counted, self._consistent(batch) as term:
            summary: dict[str, float] = super().forward_backward(given)
        return {**summary, **term}

    def _mixed(self, images: Tensor, pids: Tensor) -> Mixture:
        chosen, model = self.training_config.adv.training, pixel_model(self)
        rows = evenly(len(images), chosen.ratio, images.device)
        clean = to_pixels(model, images[rows])
        names = tuple(self._image_id(row, len(images)) for row in rows.tolist())
        found = self.inner(model, Batch(clean, pids=pids[rows], image_ids=names))
        attacked = moved(model, images[rows], clean, found)
        pairs = chosen.consistency > 0
        return mixture(images, pids, rows, attacked, mix=chosen.mix, pairs=pairs)

    def _image_id(self, row: int, count: int) -> str:
        """Return what an image's draws belong to: this step, and the image itself."""
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
        cfg, chosen = self.training_config, self.training_config.adv.training
        self.train_loader = self.datamanager.train_loader = merged_loader(self, cfg)
        if chosen.init == "clean" and not lookup(cfg, "model.resume", ""):
            load_weights(self.model, chosen.weights, strict=False)
            print(f"=> Going on from the clean network's weights '{chosen.weights}'")
        self._merged = True

    def _check_offline(self, cfg: AdvConfig) -> None:
        weights = cfg.adv.training.weights
        if self.datamanager.data_type != "image":
            raise ConfigError("adv.training.mode 'offline' is for data.type image, got video")
        if not weights and not lookup(cfg, "test.evaluate", False):
            raise ConfigError(
                "adv.training.mode 'offline' attacks a clean network that was trained before: "
                "train one with adv.engine '' and name its checkpoint in adv.training.weights"
            )
        if weights and not Path(weights).is_file():
            raise ConfigError(f"adv.training.weights names '{weights}', and there is no such file")

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
        return SideAttack(configured_attack(_without_training_file(cfg)), cfg.adv.attack.side)

    def _check_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            files = ", ".join(self._names) or "of a video loader, which does not name them"
            raise DataError(
                f"{name} is {value} in epoch {self.epoch + 1}, batch "
                f"{getattr(self, 'batch_idx', 0) + 1}; look at its images, or lower train.lr or "
                f"adv.training.eps. Images of the batch: {files}"
            )


def _without_training_file(cfg: AdvConfig) -> AdvConfig:
    """Return a config whose ``adv.attack.weights`` is not the file of the offline attack."""
    chosen = cfg.adv.training
    takes = {
        name: "weights" in ATTACKS.options(name) for name in (cfg.adv.attack.name, chosen.attack)
    }
    offline = chosen.mode == "offline" and takes[chosen.attack] and not chosen.universal
    if takes[cfg.adv.attack.name] or not offline:
        return cfg
    own: AdvConfig = cfg.clone()
    own.adv.attack.weights = ""
    return own


@ENGINES.register("robust_progress", internal=True)
class RobustProgressMixin(ProgressMixin, AdversarialTrainingMixin):
    """Adversarial training inside another job, with its progress bar."""

    def adapt(self, cfg: AdvConfig) -> None:
        """Take the config for both."""
        AdversarialTrainingMixin.adapt(self, cfg)
        ProgressMixin.adapt(self, cfg)
