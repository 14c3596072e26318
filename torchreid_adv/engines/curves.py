"""Training curves: loss and error on what is learned from and on images held out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.images import read_image
from torchreid_adv.engines.progress import ProgressMixin
from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import write_text
from torchreid_adv.registry import ENGINES

FILE = "curves.json"


@ENGINES.register("curves", internal=True)
class CurvesMixin(ProgressMixin):
    """Holds one image of each training identity out and writes ``curves.json`` after each epoch.

    A point is ``{"epoch", "train_loss", "held_out_loss", "train_error", "held_out_error"}``: losses
    are the engine's, errors the shares of images given to another identity. Training figures are
    means over the epoch, of transformed images.
    """

    def adapt(self, cfg: AdvConfig) -> None:
        """Take images out of training.

        Raises:
            ConfigError: an engine without one classification loss, or a sampler that has chosen
                its images already.
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
        """Train an epoch, then look at the held-out images."""
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
        self.set_model_mode("train")  # a torchreid network scores classes in this mode alone
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
    """Training images through the test transform, each with its class."""

    def __init__(self, items: list[Any], transform: Any) -> None:
        self.items = items
        self.transform = transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        path, pid = self.items[place][:2]
        return self.transform(read_image(path)), pid


def _take_out(items: list[Any]) -> list[Any]:
    """Take the last image of each identity that has several out of the list, in place."""
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
