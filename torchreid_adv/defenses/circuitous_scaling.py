"""Circuitous scaling: the passive half of the joint defense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from torchreid_adv.defenses.base import MOST_SEED, require, require_number
from torchreid_adv.defenses.chain import LEAST, Chain, Pad, Resize, Step, size_of
from torchreid_adv.errors import suggest
from torchreid_adv.registry import DEFENSES

PAPER = "Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021"
A, B = Resize(110, 50), Resize(220, 100)
C, D = Resize(90, 40), Resize(200, 90)
PRINTED_INPUT = (256, 128)  # height and width that the paper's sizes refer to
PRESETS: dict[str, tuple[Step, ...]] = {
    "A": (A,),
    "B": (B,),
    "AB": (A, B),
    "jad": (A, B, A),
    "jad2": (C, D, C),
    "jad3": (A, B, Pad(5), A),
}


def in_proportion(steps: Sequence[Step], final: Sequence[int]) -> tuple[Step, ...]:
    """Scale the sizes of a preset to another input size than 256 x 128; borders stay.

    Args:
        steps: as printed, for inputs of 256 x 128.
        final: [height, width] of the network's input.
    """
    height, width = (side / printed for side, printed in zip(final, PRINTED_INPUT, strict=True))
    return tuple(
        step
        if not isinstance(step, Resize)
        else Resize(max(LEAST, round(step.height * height)), max(LEAST, round(step.width * width)))
        for step in steps
    )


@DEFENSES.register(
    "circuitous_scaling", paper=PAPER, title="smaller, larger, smaller, then the network's size"
)
class CircuitousScaling(Chain):
    """Scales an image through smaller and larger sizes; its structure survives, noise does not.

    The paper's text says that sizes that "fluctuate within a certain range" resist an attacker who
    knows the defense; it gives no range and no result. ``randomized`` lets you measure it.

    Args:
        preset: ``A``, ``B``, ``AB``, ``jad`` (A, B, A), ``jad2`` (smaller sizes), ``jad3`` (with a
            black border of 5 pixels before the last of them); sizes are for inputs of 256 x 128.
        sizes: [[height, width], ...] instead of a preset.
        final: [height, width] at the end; in a config, the network's input size.
        mode: ``bicubic`` (the paper's) or ``bilinear``.
        exact: compute with Pillow on 8 bits, see :class:`Chain`.
        randomized: intermediate heights and widths are drawn within this many percent, each
            independently; 0 = none.
        seed: seed of the draws.
        proportional: scale a preset's sizes with ``final``; False = as printed, for any input.

    Raises:
        ConfigError: an option is invalid.

    Example:
        >>> defense = CircuitousScaling(preset="jad2")
        >>> defense(torch.rand(1, 3, 128, 64)).shape
        torch.Size([1, 3, 256, 128])
    """

    def __init__(
        self,
        *,
        preset: str = "jad",
        sizes: Sequence[Sequence[int]] | None = None,
        final: Sequence[int] = (256, 128),
        mode: str = "bicubic",
        exact: bool = False,
        randomized: float = 0.0,
        seed: int = 0,
        proportional: bool = False,
    ) -> None:
        known = isinstance(preset, str) and preset in PRESETS
        require(known, f"unknown preset {preset!r}{suggest(str(preset), PRESETS)}")
        require_number("randomized, in percent,", randomized, 0, 50)
        require_number("seed", seed, 0, MOST_SEED, whole=True)
        on_the_way: tuple[Step, ...] = PRESETS[preset]
        if sizes is not None:
            require(
                isinstance(sizes, (list, tuple)) and len(sizes) > 0,
                f"sizes is a list of [height, width], got {sizes!r}",
            )
            on_the_way = tuple(size_of("each of the sizes", size) for size in sizes)
        elif proportional:
            on_the_way = in_proportion(on_the_way, size_of("final", final))
        super().__init__([*on_the_way, size_of("final", final)], mode=mode, exact=exact)
        self.randomized = float(randomized)
        self.random = self.randomized > 0
        self.seed = seed

    def draw(self, height: int, width: int, generator: torch.Generator) -> tuple[Step, ...]:
        """Draw the intermediate sizes; the last one is fixed."""
        drawn = [
            self._drawn(step, generator) if isinstance(step, Resize) else step
            for step in self.steps[:-1]
        ]
        return (*drawn, self.steps[-1])

    def _drawn(self, size: Resize, generator: torch.Generator) -> Resize:
        ways = torch.rand(2, generator=generator, dtype=torch.float64) * 2 - 1
        factors = (1 + ways * self.randomized / 100).tolist()
        return Resize(*(max(LEAST, round(s * f)) for s, f in zip(size, factors, strict=True)))

    def describe(self) -> dict[str, Any]:
        """Return the description of a chain, and how far sizes fluctuate."""
        return {**super().describe(), "randomized": self.randomized}
