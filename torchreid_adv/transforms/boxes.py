"""Random rectangles, drawn as in Random Erasing, and randomly shifted images (PadCrop)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from PIL import Image, ImageOps

from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.random_transform import RandomTransform, check_probability

ATTEMPTS = 100


class Box(NamedTuple):
    """Rows ``top`` to ``top + height`` and columns ``left`` to ``left + width``, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def grown(self, margin: int, *, height: int, width: int) -> Box:
        """Return the box with a margin on all sides, clipped to an image of that size."""
        top, left = max(self.top - margin, 0), max(self.left - margin, 0)
        bottom = min(self.top + self.height + margin, height)
        right = min(self.left + self.width + margin, width)
        return Box(top, left, bottom - top, right - left)


def cut(image: Image.Image, box: Box) -> Image.Image:
    """Crop an image to a box; a box of the whole image returns the image itself."""
    if (box.width, box.height) == image.size:
        return image
    return image.crop((box.left, box.top, box.left + box.width, box.top + box.height))


class BoxSampler:
    """Draws rectangles by area and aspect ratio.

    Args:
        area_min: smallest area, share of the image.
        area_max: largest area, share of the image.
        ratio_min: smallest height / width; the largest is its inverse, uniform between the two.
        legacy: swap the image's height and width when placing a box, as the code published with
            LTA does; 30 % of the boxes then stick out of a person image and are clipped. For
            reproduction only.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(
        self,
        *,
        area_min: float = 0.02,
        area_max: float = 0.4,
        ratio_min: float = 0.3,
        legacy: bool = False,
    ) -> None:
        for name, value in (
            ("area_min", area_min),
            ("area_max", area_max),
            ("ratio_min", ratio_min),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"{name} is a number, got {value!r}")
        if not 0 < area_min <= area_max <= 1:
            raise ConfigError(
                f"area_min and area_max are shares of the image with 0 < area_min <= area_max <= 1,"
                f" got {area_min} and {area_max}"
            )
        if not 0 < ratio_min <= 1:
            raise ConfigError(f"ratio_min is in (0, 1], got {ratio_min}")
        self.area_min = area_min
        self.area_max = area_max
        self.ratio_min = ratio_min
        self.legacy = legacy

    def draw(self, height: int, width: int, generator: torch.Generator | None) -> Box | None:
        """Draw a box inside an image of that size, or None when no attempt fits."""
        rows, columns = (width, height) if self.legacy else (height, width)
        for _ in range(ATTEMPTS):
            shape, aspect, down, right = torch.rand(4, generator=generator).tolist()
            area = (self.area_min + shape * (self.area_max - self.area_min)) * height * width
            ratio = self.ratio_min + aspect * (1 / self.ratio_min - self.ratio_min)
            box_height = round(math.sqrt(area * ratio))
            box_width = round(math.sqrt(area / ratio))
            if box_height < rows and box_width < columns and box_height and box_width:
                top, left = (
                    int(down * (rows - box_height + 1)),
                    int(right * (columns - box_width + 1)),
                )
                if self.legacy:
                    top, left = left, top
                return _cut(Box(top, left, box_height, box_width), height, width)
        return None


def _cut(box: Box, height: int, width: int) -> Box | None:
    rows, columns = min(box.height, height - box.top), min(box.width, width - box.left)
    return Box(box.top, box.left, rows, columns) if rows > 0 and columns > 0 else None


@TRANSFORMS.register("pad_crop", stage="pil")
class PadCrop(RandomTransform[Box]):
    """Shift images by up to ``padding`` pixels in each direction; new pixels are black.

    torchreid's ``random_crop`` instead enlarges half of the images by an eighth.

    Args:
        p: probability that an image is shifted.
        padding: pixels at each side; 10 in AGW and MITML, for images of 288 x 144.

    Raises:
        ConfigError: ``padding`` is below 1, or ``p`` is not a probability.

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
        """Draw the position of the crop in the padded image."""
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
