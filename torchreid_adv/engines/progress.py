"""Training inside another job: a progress bar, the last epoch on disk, and training curves."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.files import write_text
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.data.images import read_image
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.engines.resume import ResumableMixin
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import ENGINES


@ENGINES.register("progress", internal=True)
class ProgressMixin(Base):
    """Counts batches over the whole training, and shows rate, time left and the last loss."""

    _bar: Any = None

    def adapt(self, cfg: AdvConfig) -> None:
        """Use channels-last weights, with which a CPU trains faster."""
        self.model.to(memory_format=torch.channels_last)

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Train on a batch as the engine does, and update the bar."""
        summary: dict[str, float] = super().forward_backward(data)
        if self._bar is None:
            total = (self.max_epoch - self.start_epoch) * len(self.train_loader)
            self._bar = progress_bar("training", total=total, unit="batch")
        self._bar.set_postfix({name: f"{value:.2f}" for name, value in summary.items()})
        self._bar.update()
        return summary

    def test(self, *args: Any, **keywords: Any) -> float:
        """Close the bar, then evaluate."""
        if self._bar is not None:
            self._bar.close()
        rank1: float = super().test(*args, **keywords)
        return rank1


@ENGINES.register("untested_progress", internal=True)
class UntestedProgressMixin(ProgressMixin):
    """A progress bar of a training whose network is not evaluated at its end."""

    def test(self, *args: Any, **keywords: Any) -> float:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
        return 0.0


def unfinished_file(save_dir: Path) -> Path:
    """Return where the last epoch of a training is stored: next to its folder .NAME.*.tmp."""
    return save_dir.parent / f"{save_dir.name.lstrip('.').partition('.')[0]}.unfinished"


@ENGINES.register("kept_progress", internal=True)
class KeptProgressMixin(ProgressMixin, ResumableMixin):
    """Trains a start: shows a progress bar, and stores each epoch except the last on disk.

    The file is :func:`unfinished_file`. A training whose ``model.resume`` names it continues from
    it, and on a CPU ends with the same weights as without interruption.
    """

    _file = Path()
    _half_size = 0  # epochs

    def adapt(self, cfg: AdvConfig) -> None:
        """Determine the path of the file, and read the state of ``model.resume``."""
        ProgressMixin.adapt(self, cfg)
        self._file = unfinished_file(Path(cfg.data.save_dir))
        self._half_size = cfg.adv.start.half_size
        self.resume(cfg)

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch and store it."""
        super().train(*args, **keywords)
        if self.epoch + 1 < self.max_epoch:
            self._keep()

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """Train on a batch, at half its size in the first ``adv.start.half_size`` epochs."""
        if self.epoch < self._half_size:
            data = {**data, "img": F.avg_pool2d(data["img"], 2)}
        return super().forward_backward(data)

    def _keep(self) -> None:
        with tempfile.TemporaryDirectory(dir=self._file.parent, suffix=".tmp") as folder:
            self.save_model(self.epoch, 0.0, folder)
            os.replace(Path(folder) / "model" / f"model.pth.tar-{self.epoch + 1}", self._file)


FILE = "curves.json"


@ENGINES.register("curves", internal=True)
class CurvesMixin(ProgressMixin):
    """Holds out an image of each training identity and writes ``curves.json`` after each epoch.

    A point is ``{"epoch", "train_loss", "held_out_loss", "train_error", "held_out_error"}``: losses
    are the engine's, errors the shares of images assigned to another identity. Training values are
    means over the epoch, of transformed images.
    """

    def adapt(self, cfg: AdvConfig) -> None:
        """Remove the held-out images from training.

        Raises:
            ConfigError: the engine does not have a single classification loss, or the sampler has
                chosen its images already.
        """
        super().adapt(cfg)
        if not hasattr(self, "criterion") or self.datamanager.data_type != "image":
            raise ConfigError("training curves are of data.type image and loss.name softmax")
        if lookup(cfg, "sampler.train_sampler", "RandomSampler") != "RandomSampler":
            raise ConfigError("training curves need sampler.train_sampler RandomSampler")
        self._points: list[dict[str, float]] = []
        self._batches: list[tuple[float, float]] = []
        self._path = Path(lookup(cfg, "data.save_dir", "log")) / FILE
        self._held_out = _take_out(self.train_loader.dataset.train)

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Train on a batch and remember its loss and error."""
        summary = super().forward_backward(data)
        self._batches.append((float(summary["loss"]), 1 - float(summary["acc"]) / 100))
        return summary

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch, then evaluate the held-out images."""
        self._batches.clear()
        super().train(*args, **keywords)
        learned = torch.tensor(self._batches, dtype=torch.float64).mean(0).tolist()
        values = [*learned, *self._look()]
        names = ("train_loss", "train_error", "held_out_loss", "held_out_error")
        self._points.append({"epoch": self.epoch + 1, **dict(zip(names, values, strict=True))})
        write_text(self._path, json.dumps(self._points, indent=1) + "\n")

    @torch.no_grad()
    def _look(self) -> tuple[float, float]:
        """Return mean loss and error of the held-out images."""
        stock = self.train_loader
        images = _Labeled(self._held_out, self.datamanager.transform_te)
        loader = DataLoader(images, batch_size=stock.batch_size, num_workers=stock.num_workers)
        self.set_model_mode("train")  # a torchreid network returns class scores only in this mode
        for part in self.model.modules():
            if isinstance(part, (_BatchNorm, nn.Dropout)):
                part.eval()
        loss = wrong = 0.0
        for batch, pids in loader:
            if self.use_gpu:
                batch, pids = batch.cuda(), pids.cuda()
            scores = self.model(batch)
            loss += float(self.compute_loss(self.criterion, scores, pids)) * len(pids)
            wrong += float((scores.argmax(1) != pids).sum())
        return loss / len(images), wrong / len(images)


class _Labeled(Dataset[tuple[Tensor, int]]):
    """Training images with the test transform, each with its class."""

    def __init__(self, items: list[Any], transform: Any) -> None:
        self.items = items
        self.transform = transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        path, pid = self.items[place][:2]
        return self.transform(read_image(path)), pid


def _take_out(items: list[Any]) -> list[Any]:
    """Remove the last image of each identity that has several from the list, in place."""
    last = {item[1]: place for place, item in enumerate(items)}
    first: dict[int, int] = {}
    for place, item in enumerate(items):
        first.setdefault(item[1], place)
    taken = {place for pid, place in last.items() if place != first[pid]}
    if not taken:
        raise ConfigError("training curves hold images out, and no identity has a second one")
    held_out = [items[place] for place in sorted(taken)]
    items[:] = [item for place, item in enumerate(items) if place not in taken]
    return held_out
