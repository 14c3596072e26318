"""A learned color table as a training transform."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from torchreid_adv import pixels
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.color_table import color_shift
from torchreid_adv.transforms.random_transform import RandomTransform, check_probability
from torchreid_adv.transforms.universal_file import read_universal

PAPER = (
    "Yang et al., Towards Robust Person Re-identification by Defending Against Universal Attackers"
)


@TRANSFORMS.register("recolor", stage="pil", learned=True, paper=PAPER, title="learned color table")
class Recolor(RandomTransform[bool]):
    """Now and then, an image in the colors of a universal color attack.

    Args:
        weights: file of a universal perturbation that has a color table.
        p: probability that an image is changed.

    Raises:
        ConfigError: p is no probability, no file, or one without a color table.
    """

    def __init__(self, *, weights: str = "", p: float = 0.5) -> None:
        self.p = check_probability("p", p)
        if not weights:
            raise ConfigError(
                "recolor applies a learned color table; name its file in "
                "adv.transforms.recolor.weights"
            )
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

    def apply(self, image: Image.Image, drawn: bool | None) -> Image.Image:
        """Return an RGB image, recolored and rounded to whole gray levels where that was drawn."""
        if drawn is None:
            return image
        before = pixels.to_tensor(np.asarray(image))
        return Image.fromarray(pixels.to_uint8(before + color_shift(before[None], self.table)[0]))
