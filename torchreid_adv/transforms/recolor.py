"""A learned color table as a training transform."""

from __future__ import annotations

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.color_table import color_shift
from torchreid_adv.transforms.random_transform import (
    RandomTransform,
    check_probability,
    tensor_size,
)
from torchreid_adv.transforms.universal_file import read_universal

PAPER = (
    "Yang et al., Towards Robust Person Re-Identification by Defending Against Universal Attackers"
)


@TRANSFORMS.register("recolor", stage="tensor", paper=PAPER, title="learned color table")
class Recolor(RandomTransform[bool]):
    """Now and then, an image in the colors of a universal color attack.

    Args:
        weights: file of a universal perturbation that has a color table.
        p: probability that an image is changed.

    Raises:
        ConfigError: p is no probability, or a file without a color table.
    """

    def __init__(self, *, weights: str, p: float = 0.5) -> None:
        self.p = check_probability("p", p)
        found = read_universal(weights).tensors.get("color")
        if found is None:
            raise ConfigError(
                f"'{weights}' has no color table; learn it with adv.meta.perturbation color or both"
            )
        self.table = found.float()

    def draw(
        self, height: int, width: int, generator: torch.Generator | None = None
    ) -> bool | None:
        """Draw whether an image is changed."""
        return True if torch.rand((), generator=generator).item() < self.p else None

    def apply(self, image: Tensor, drawn: bool | None) -> Tensor:
        """Return a tensor (3, H, W) in [0, 1], recolored where that was drawn."""
        if drawn is None:
            return image
        return (image + color_shift(image[None], self.table)[0]).clamp(0, 1)

    def size(self, image: Tensor) -> tuple[int, int]:
        """Return height and width of a tensor (3, H, W).

        Raises:
            ConfigError: it is none.
        """
        if not isinstance(image, Tensor):
            raise ConfigError(f"recolor takes tensors (3, H, W), got a {type(image).__name__}")
        return tensor_size(image)
