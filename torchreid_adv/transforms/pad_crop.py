"""A random crop of an image that was padded by a few pixels: visible-infrared recipes have it."""

from __future__ import annotations

import torch
from PIL import Image, ImageOps

from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.random_transform import RandomTransform, check_probability


@TRANSFORMS.register("pad_crop", stage="pil")
class PadCrop(RandomTransform[Box]):
    """Images move by up to ``padding`` pixels in each direction; what comes in is black.

    torchreid's ``random_crop`` enlarges half of the images by an eighth instead.

    Args:
        p: probability that an image is moved.
        padding: pixels at each side; 10 in AGW and MITML, for images of 288 x 144.

    Raises:
        ConfigError: a padding below 1, or no probability.

    Example:
        >>> from PIL import Image
        >>> PadCrop(padding=2)(Image.new("RGB", (8, 16))).size
        (8, 16)
    """

    def __init__(self, *, p: float = 1.0, padding: int = 10) -> None:
        self.p = check_probability("p", p)
        if padding < 1:
            raise ConfigError(f"padding is a number of pixels, 1 or more; got {padding}")
        self.padding = padding

    def draw(self, height: int, width: int, generator: torch.Generator | None = None) -> Box | None:
        """Draw where the crop lies in the padded image."""
        if torch.rand(1, generator=generator).item() >= self.p:
            return None
        top, left = torch.randint(2 * self.padding + 1, (2,), generator=generator).tolist()
        return Box(top, left, height, width)

    def apply(self, image: Image.Image, drawn: Box | None) -> Image.Image:
        """Return the crop."""
        if drawn is None:
            return image
        return ImageOps.expand(image, self.padding).crop(
            (drawn.left, drawn.top, drawn.left + drawn.width, drawn.top + drawn.height)
        )
