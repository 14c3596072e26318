"""Channel Fusion (CF), the paper's mixture of it with gray images, and sketches."""

from __future__ import annotations

from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.homogeneous import PAPER, Looks, RandomLook
from torchreid_adv.transforms.random_transform import check_probability


@TRANSFORMS.register("channel_fusion", stage="pil", paper=PAPER)
class ChannelFusion(RandomLook):
    """Replace some of an image's color channels by gray or sketch.

    Args:
        p: probability that an image is changed.
        sketch: share of the changed images that are fused with sketch instead of gray, in [0, 1];
            None = one half. Not for mode 'paper', which mixes both.
        mode: 'paper' takes any 3 of red, green, blue, gray and sketch in random order;
            'one_modality' replaces 1 or 2 channels by gray or by sketch; 'code' takes 3 of a
            shuffled (red, green, blue, modality, modality), as the published code does.
        keep_order: keep each visible channel in its place; not with mode 'code'.

    Raises:
        ConfigError: a value is not a probability, the mode is unknown or cannot keep the order, or
            ``sketch`` is given for mode 'paper'.

    Example:
        >>> fusion = ChannelFusion(p=1.0, sketch=0.0, mode="one_modality", keep_order=True)
        >>> "gray" in fusion.draw(256, 128).look
        True
    """

    def __init__(
        self,
        *,
        p: float = 0.02,
        sketch: float | None = None,
        mode: str = "paper",
        keep_order: bool = False,
    ) -> None:
        self.p = check_probability("p", p)
        if sketch is not None and mode == "paper":
            raise ConfigError(
                "mode 'paper' of channel fusion mixes gray and sketch, so sketch has no share; "
                "leave it out, or take mode 'one_modality' or 'code'"
            )
        share = 0.5 if sketch is None else check_probability("sketch", sketch)
        probabilities = {"gray_fusion": p * (1 - share), "sketch_fusion": p * share}
        super().__init__(probabilities, Looks(mode=mode, keep_order=keep_order))


@TRANSFORMS.register("color", stage="pil", title="gray and channel fusion", paper=PAPER)
class Color(RandomLook):
    """Whole gray images and channel fusion with the paper's probabilities: its model "CF".

    An image gets at most one of the three changes.

    Args:
        gray: probability that an image becomes gray.
        gray_fusion: probability that it is fused with gray; mode 'paper' mixes both, so the two
            probabilities add up.
        sketch_fusion: probability that it is fused with sketch.
        mode: fusion mode, see :class:`ChannelFusion`.
        keep_order: as in :class:`ChannelFusion`.

    Raises:
        ConfigError: values are not probabilities or exceed 1 in total, or the mode is unknown.
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
    """Turn whole images into sketches: contours stay, color and flat areas disappear.

    Args:
        p: probability that an image is changed.

    Raises:
        ConfigError: p is not a probability.

    Example:
        >>> from PIL import Image
        >>> Sketch(p=1.0)(Image.new("RGB", (2, 2), "red")).getpixel((0, 0))
        (255, 255, 255)
    """

    def __init__(self, *, p: float = 0.01) -> None:
        self.p = check_probability("p", p)
        super().__init__({"sketch": self.p}, Looks())
