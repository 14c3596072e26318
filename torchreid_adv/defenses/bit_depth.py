"""Bit depth reduction, a common baseline."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from torchreid_adv.defenses.base import Defense, require_number
from torchreid_adv.registry import DEFENSES


@DEFENSES.register(
    "bit_depth",
    paper="Xu et al., Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks, "
    "2018",
    title="fewer gray levels",
)
class BitDepth(Defense):
    """Rounds each channel to ``2 ** bits`` levels; the gradient ignores the rounding.

    Args:
        bits: per channel, 1 to 8.

    Raises:
        ConfigError: bits is out of range.

    Example:
        >>> BitDepth(bits=1)(torch.full((1, 3, 2, 2), 0.7)).unique()
        tensor([1.])
    """

    differentiable = False

    def __init__(self, *, bits: int = 5) -> None:
        super().__init__()
        require_number("bits", bits, 1, 8, whole=True)
        self.bits = bits

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images on fewer levels."""
        steps = 2**self.bits - 1
        return (images * steps).round() / steps

    def surrogate(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images unchanged: at most half a level from the rounded ones."""
        return images

    def describe(self) -> dict[str, Any]:
        """Return the number of bits."""
        return {**super().describe(), "bits": self.bits}
