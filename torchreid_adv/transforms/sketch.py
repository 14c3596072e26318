"""Sketch images in training."""

from __future__ import annotations

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.homogeneous import PAPER, Looks, RandomLook
from torchreid_adv.transforms.random_transform import check_probability


@TRANSFORMS.register("sketch", stage="pil", paper=PAPER)
class Sketch(RandomLook):
    """Whole images become sketches: contours stay, color and flat areas go.

    Args:
        p: probability that an image is changed.

    Raises:
        ConfigError: p is no probability.

    Example:
        >>> from PIL import Image
        >>> Sketch(p=1.0)(Image.new("RGB", (2, 2), "red")).getpixel((0, 0))
        (255, 255, 255)
    """

    def __init__(self, *, p: float = 0.01) -> None:
        self.p = check_probability("p", p)
        super().__init__({"sketch": self.p}, Looks())
