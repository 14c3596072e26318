"""A training inside another job that goes on after a kill: its last epoch is on disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from torch.nn import functional as F

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.progress import ProgressMixin
from torchreid_adv.engines.resumable import ResumableMixin
from torchreid_adv.registry import ENGINES


def unfinished_file(save_dir: Path) -> Path:
    """Return where the last epoch of a training is kept: beside its folder NAME.anything.tmp."""
    return save_dir.parent / f"{save_dir.name.partition('.')[0]}.unfinished"


@ENGINES.register("kept_progress", internal=True)
class KeptProgressMixin(ProgressMixin, ResumableMixin):
    """The training of a start: it shows a bar, and keeps each epoch but the last on disk.

    It is written to :func:`unfinished_file`. A training whose ``model.resume`` names that file
    goes on from it, and on a CPU ends in the weights of one that was never stopped.
    """

    _file = Path()
    _half_size = 0  # epochs

    def adapt(self, cfg: AdvConfig) -> None:
        """Find the file's place, and read what ``model.resume`` holds."""
        ProgressMixin.adapt(self, cfg)
        self._file = unfinished_file(Path(cfg.data.save_dir))
        self._half_size = cfg.adv.start.half_size
        self.resume(cfg)

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch and keep it."""
        super().train(*args, **keywords)
        if self.epoch + 1 < self.max_epoch:
            self._keep()

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """Train on a batch, in the first ``adv.start.half_size`` epochs at half its size."""
        if self.epoch < self._half_size:
            data = {**data, "img": F.avg_pool2d(data["img"], 2)}
        return super().forward_backward(data)

    def _keep(self) -> None:
        with tempfile.TemporaryDirectory(dir=self._file.parent, suffix=".tmp") as folder:
            self.save_model(self.epoch, 0.0, folder)
            os.replace(Path(folder) / "model" / f"model.pth.tar-{self.epoch + 1}", self._file)
