"""Diversity Learning (DL), and DL*, which omits local transformations."""

from __future__ import annotations

import torch

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.homogeneous import PAPER, LocalHomogeneous, Looks, Patch, RandomLook


@TRANSFORMS.register(
    "diversity_global", stage="pil", title="diversity learning without LHT", paper=PAPER
)
class GlobalDiversity(RandomLook):
    """Gray, channel fusion or AutoAugment for whole images: "DL*" in the paper.

    An image gets at most one of these changes.

    Args:
        gray: probability that an image becomes gray.
        gray_fusion: probability that it is fused with gray; mode 'paper' mixes both, so the two
            probabilities add up.
        sketch_fusion: probability that it is fused with sketch.
        augment: probability that AutoAugment is applied.
        mode: fusion mode, see ChannelFusion.
        keep_order: as in ChannelFusion.
        legacy: AutoAugment as in the published code. For reproduction only.

    Raises:
        ConfigError: values are not probabilities or exceed 1 in total, or the mode is unknown.
    """

    def __init__(
        self,
        *,
        gray: float = 0.05,
        gray_fusion: float = 0.01,
        sketch_fusion: float = 0.01,
        augment: float = 0.05,
        mode: str = "paper",
        keep_order: bool = False,
        legacy: bool = False,
    ) -> None:
        probabilities = {
            "gray": gray,
            "gray_fusion": gray_fusion,
            "sketch_fusion": sketch_fusion,
            "augment": augment,
        }
        super().__init__(probabilities, Looks(mode=mode, keep_order=keep_order, legacy=legacy))


@TRANSFORMS.register("diversity", stage="pil", title="diversity learning", paper=PAPER)
class Diversity(RandomLook):
    """Gray, channel fusion or AutoAugment for whole images, or LHT for a part: "DL" in the paper.

    An image gets at most one of these changes.

    Args:
        gray: probability that an image becomes gray.
        gray_fusion: probability that it is fused with gray; mode 'paper' mixes both, so the two
            probabilities add up.
        sketch_fusion: probability that it is fused with sketch.
        augment: probability that AutoAugment is applied.
        lht: probability that a rectangle of it gets another look, see LHT.
        mode: fusion mode, see ChannelFusion.
        keep_order: as in ChannelFusion.
        legacy: rectangles and AutoAugment as in the published code. For reproduction only.

    Raises:
        ConfigError: values are not probabilities or exceed 1 in total, or the mode is unknown.
    """

    def __init__(
        self,
        *,
        gray: float = 0.05,
        gray_fusion: float = 0.01,
        sketch_fusion: float = 0.01,
        augment: float = 0.05,
        lht: float = 0.1,
        mode: str = "paper",
        keep_order: bool = False,
        legacy: bool = False,
    ) -> None:
        probabilities = {
            "gray": gray,
            "gray_fusion": gray_fusion,
            "sketch_fusion": sketch_fusion,
            "augment": augment,
            "lht": lht,
        }
        super().__init__(probabilities, Looks(mode=mode, keep_order=keep_order, legacy=legacy))
        self.local = LocalHomogeneous(mode=mode, keep_order=keep_order, legacy=legacy)

    def draw_patch(
        self, name: str, height: int, width: int, generator: torch.Generator | None
    ) -> Patch | None:
        """Draw a rectangle and its look for 'lht', otherwise a look of the whole image."""
        if name == "lht":
            return self.local.draw_patch(height, width, generator)
        return super().draw_patch(name, height, width, generator)
