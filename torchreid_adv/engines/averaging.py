"""A moving average of the weights, saved next to them (EMA)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.engines.saving import whole_checkpoints

_NAME = "model-average"  # folder of its checkpoints, next to that of the model


class AveragedWeights:
    """``w' <- D w' + (1 - D) w`` after each weight update, D = min(decay, (1 + t) / (10 + t)).

    Numbers that are not floating point, such as BatchNorm's counts, are copied. An average is a
    remedy for robust overfitting (Rice et al., Overfitting in Adversarially Robust Deep Learning,
    2020), not for catastrophic overfitting: the average of collapsed weights is collapsed.

    Args:
        network: out of DataParallel and the like; it is read, never changed.
        decay: in (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay, self.updates = network, decay, 0
        self.weights = {name: value.detach().clone() for name, value in self._current()}

    @torch.no_grad()
    def update(self) -> None:
        """Take over the weights as they are now."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in self._current():
            average = self.weights[name]
            if value.is_floating_point():
                average.lerp_(value.to(average), share)
            else:
                average.copy_(value)

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Update after every step of an optimizer."""
        optimizer.register_step_post_hook(lambda *_: self.update())

    def save(self, save_dir: str, epoch: int) -> Path:
        """Write the average as a checkpoint that ``model.load_weights`` reads, and return its path.

        Args:
            save_dir: of the training.
            epoch: from 0, as torchreid counts.
        """
        name = f"model.pth.tar-{epoch + 1}"
        with whole_checkpoints(save_dir) as folder:
            path = Path(folder) / _NAME / name
            path.parent.mkdir(parents=True)
            torch.save({"state_dict": self.weights, "epoch": epoch + 1}, path)
        return Path(save_dir) / _NAME / name

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: a list, which cannot be mistaken for the network."""
        return {"values": list(self.weights.values()), "updates": self.updates}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state` returned."""
        self.updates = int(state["updates"])
        for average, value in zip(self.weights.values(), state["values"], strict=True):
            average.copy_(value)

    def _current(self) -> list[tuple[str, Tensor]]:
        return list(self.network.state_dict().items())
