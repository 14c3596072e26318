"""Random resizing and padding: as published, and as the joint defense's paper compares it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.defenses.base import MOST_SEED, Defense, require, require_number
from torchreid_adv.defenses.chain import Chain, Frame, Pad, Step, size_of
from torchreid_adv.defenses.circuitous_scaling import PAPER
from torchreid_adv.registry import DEFENSES

PLACES = ("center", "random")


@DEFENSES.register("rrp_paper", paper=PAPER, title="resize to 110 x 50, pad by 5 pixels")
class FixedResizePad(Chain):
    """The joint defense paper's version of RRP for comparison: a fixed size, 5 pixels of padding.

    The paper describes RRP as "combining random operations of the resizing and padding", but uses
    the fixed size 110 x 50 for its comparison, and specifies only the 5 pixels of padding. With
    ``place`` center they are on each side of the small image; with ``random`` it lies anywhere on a
    black frame of the same total size. ``rrp_xie`` also draws sizes.

    Args:
        size: [height, width] before padding.
        border: black pixels on each side: the frame is larger by twice as many.
        final: [height, width] at the end; in a config, the network's input size.
        mode: ``bicubic`` or ``bilinear``.
        exact: compute with Pillow on 8 bits, see :class:`Chain`.
        place: position of the small image in its frame, ``center`` or ``random``.
        seed: seed of random positions.

    Raises:
        ConfigError: an option is invalid.
    """

    def __init__(
        self,
        *,
        size: Sequence[int] = (110, 50),
        border: int = 5,
        final: Sequence[int] = (256, 128),
        mode: str = "bicubic",
        exact: bool = False,
        place: str = "center",
        seed: int = 0,
    ) -> None:
        require_number("border", border, 0, 1000, whole=True)
        require_number("seed", seed, 0, MOST_SEED, whole=True)
        require(place in PLACES, f"place is one of {', '.join(PLACES)}, got {place!r}")
        steps: list[Step] = [size_of("size", size), Pad(border), size_of("final", final)]
        super().__init__(steps, mode=mode, exact=exact)
        self.border, self.place = border, place
        self.random = place == "random"
        self.seed = seed

    def draw(self, height: int, width: int, generator: torch.Generator) -> tuple[Step, ...]:
        """Draw the position of the small image in its frame."""
        top, left = torch.randint(2 * self.border + 1, (2,), generator=generator).tolist()
        first, _, last = self.steps
        return first, Frame(left, top, 2 * self.border - left, 2 * self.border - top), last

    def describe(self) -> dict[str, Any]:
        """Return the description of a chain, and the position of the small image."""
        facts = super().describe()
        return {**facts, "place": self.place} if self.random else facts


class Placement(NamedTuple):
    """The position of the resized image in the frame, in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool


@DEFENSES.register(
    "rrp_xie",
    paper="Xie et al., Mitigating Adversarial Effects Through Randomization, 2018",
    title="random size at a random place on black, features averaged",
)
class RandomResizePad(Defense):
    """Puts an image at a random size and place on black, by nearest neighbor, mirrored or not.

    Published for inputs of 299 pixels, resized to 310...330 and padded to 331; other inputs keep
    these proportions. Features are averaged over 30 draws.

    Args:
        final: [height, width] of the input that proportions refer to; in a config, the network's.
        smallest: smallest factor of the size.
        frame: factor of the frame, above every size.
        mirror: probability of a mirrored image.
        seed: seed of the draws.

    Raises:
        ConfigError: an option is invalid.
    """

    random = True
    aggregates = True
    draws = 30

    def __init__(
        self,
        *,
        final: Sequence[int] = (256, 128),
        smallest: float = 310 / 299,
        frame: float = 331 / 299,
        mirror: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.final = size_of("final", final)
        require_number("smallest", smallest, 0.1, 10)
        require_number("frame", frame, 0.1, 10)
        require_number("mirror", mirror, 0, 1)
        require_number("seed", seed, 0, MOST_SEED, whole=True)
        require(smallest < frame, f"smallest is below frame, got {smallest} and {frame}")
        self.smallest, self.frame, self.mirror = float(smallest), float(frame), float(mirror)
        self.seed = seed

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the frame, pixels."""
        return round(self.final[0] * self.frame), round(self.final[1] * self.frame)

    def draw(self, height: int, width: int, generator: torch.Generator) -> Placement:
        """Draw size and place, independent of the stored size."""
        scale, down, right, mirrored = torch.rand(4, generator=generator).tolist()
        factor = self.smallest + scale * (self.frame - self.smallest)
        tall, wide = (max(2, int(side * factor)) for side in self.final)
        rows, columns = self.canvas
        top, left = int(down * (rows - tall + 1)), int(right * (columns - wide + 1))
        return Placement(top, left, tall, wide, mirrored < self.mirror)

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the image in its frame."""
        place: Placement = drawn
        rows, columns = self.canvas
        small = _nearest(images, place.height, place.width)
        right, below = columns - place.left - place.width, rows - place.top - place.height
        framed = F.pad(small, (place.left, right, place.top, below))
        return framed.flip(-1) if place.mirrored else framed

    def describe(self) -> dict[str, Any]:
        """Return the proportions."""
        proportions = {"smallest": self.smallest, "frame": list(self.canvas), "mirror": self.mirror}
        return {**super().describe(), **proportions}


def _nearest(images: Tensor, height: int, width: int) -> Tensor:
    """Return images resized by nearest neighbor.

    Computed in integers: ``F.interpolate`` rounds differently on GPUs and CPUs.
    """
    rows, columns = (
        torch.arange(size, device=images.device) * old // size
        for size, old in ((height, images.shape[-2]), (width, images.shape[-1]))
    )
    return images[..., rows, :][..., columns]
