"""Channel Fusion (CF)."""

from __future__ import annotations

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.homogeneous import PAPER, Looks, RandomLook
from torchreid_adv.transforms.random_transform import check_probability


@TRANSFORMS.register("channel_fusion", stage="pil", paper=PAPER)
class ChannelFusion(RandomLook):
    """Gray or sketch takes the place of some of an image's color channels.

    Args:
        p: probability that an image is changed.
        sketch: share of the changed images that are fused with sketch instead of gray, in [0, 1].
        mode: 'paper' replaces 1 or 2 channels; 'code' takes 3 of a shuffled (red, green, blue,
            modality, modality), as the published code does.
        keep_order: leave each visible channel in its place; mode 'paper' only.

    Raises:
        ConfigError: a value that is no probability, an unknown mode, or an order it cannot keep.

    Example:
        >>> channels = ChannelFusion(p=1.0, sketch=0.0, keep_order=True).draw(256, 128).look
        >>> "gray" in channels
        True
    """

    def __init__(
        self,
        *,
        p: float = 0.02,
        sketch: float = 0.5,
        mode: str = "paper",
        keep_order: bool = False,
    ) -> None:
        self.p = check_probability("p", p)
        share = check_probability("sketch", sketch)
        probabilities = {"gray_fusion": p * (1 - share), "sketch_fusion": p * share}
        super().__init__(probabilities, Looks(mode=mode, keep_order=keep_order))


@TRANSFORMS.register("color", stage="pil", title="gray and channel fusion", paper=PAPER)
class Color(RandomLook):
    """Whole gray images and channel fusion with the paper's probabilities: its model "CF".

    At most one of the three happens to an image.

    Args:
        gray: probability that an image becomes gray.
        gray_fusion: probability that it is fused with gray.
        sketch_fusion: probability that it is fused with sketch.
        mode: of the fusion, 'paper' or 'code'.
        keep_order: of the fusion.

    Raises:
        ConfigError: values that are no probabilities or add up to more than 1, an unknown mode.
    """

    def __init__(
        self,
        *,
        gray: float = 0.05,
        gray_fusion: float = 0.01,
        sketch_fusion: float = 0.01,
        mode: str = "paper",
        keep_order: bool = False,
    ) -> None:
        probabilities = {"gray": gray, "gray_fusion": gray_fusion, "sketch_fusion": sketch_fusion}
        super().__init__(probabilities, Looks(mode=mode, keep_order=keep_order))


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
