"""Total variation minimization, a common baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.defenses.base import Defense, require_number
from torchreid_adv.registry import DEFENSES

# step size of the dual ascent; the largest that converges, as the divergence's norm is 8
_STEP = 1 / 8


@DEFENSES.register(
    "total_variation",
    paper="Guo et al., Countering Adversarial Images Using Input Transformations, 2018; Rudin, "
    "Osher and Fatemi, 1992",
    title="the nearest image of little variation",
)
class TotalVariation(Defense):
    """Minimizes ``|z - x|^2 / 2 + weight * TV(z)`` per channel, anisotropic, on the dual.

    The projected gradient steps are unrolled, so an attacker can differentiate through all of them.
    Guo et al. also omit random pixels, which is not done here.

    Args:
        weight: weight of the variation, pixel units of [0, 1].
        steps: number of steps of the minimization.

    Raises:
        ConfigError: the weight or the number of steps is invalid.
    """

    optimizes = True

    def __init__(self, *, weight: float = 0.03, steps: int = 30) -> None:
        super().__init__()
        require_number("weight", weight, 1e-6, 10)
        require_number("steps", steps, 1, 10_000, whole=True)
        self.weight, self.steps = float(weight), steps

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images after the minimization."""
        down, right = (torch.zeros_like(part) for part in _differences(images))
        for _ in range(self.steps):
            rows, columns = _differences(images - _adjoint(down, right))
            down = (down + _STEP * rows).clamp(-self.weight, self.weight)
            right = (right + _STEP * columns).clamp(-self.weight, self.weight)
        return (images - _adjoint(down, right)).clamp(0, 1)

    def describe(self) -> dict[str, Any]:
        """Return weight and steps."""
        return {**super().describe(), "weight": self.weight, "steps": self.steps}


def _differences(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences of neighbors: (N, 3, H - 1, W) down, (N, 3, H, W - 1) right."""
    return images.diff(dim=-2), images.diff(dim=-1)


def _adjoint(down: Tensor, right: Tensor) -> Tensor:
    """Return the adjoint of :func:`_differences`, (N, 3, H, W)."""
    return -F.pad(down, (0, 0, 1, 1)).diff(dim=-2) - F.pad(right, (1, 1)).diff(dim=-1)
