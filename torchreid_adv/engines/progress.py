"""A progress bar in the place of torchreid's lines, for training inside another job."""

from __future__ import annotations

from typing import Any

import torch

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.jobs.progress import progress_bar
from torchreid_adv.registry import ENGINES


@ENGINES.register("progress", internal=True)
class ProgressMixin(Base):
    """Counts batches over the whole training, with rate, time left and the last loss."""

    _bar: Any = None

    def adapt(self, cfg: AdvConfig) -> None:
        """Lay the network out channels-last, in which a CPU trains it faster."""
        self.model.to(memory_format=torch.channels_last)

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Train on a batch as the engine does, and move the bar."""
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
