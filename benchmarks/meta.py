"""Speed of meta-learning: a step of MetaAttack against a plain one, and of MetaDefense."""

from __future__ import annotations

from typing import Any

from torchreid_adv.experiments import defense_timing
from torchreid_adv.experiments.timing import attack_steps


def run(
    *,
    model: str = "osnet_x0_25",
    size: tuple[int, int] = (256, 128),
    images: int = 8,
    repeats: int = 10,
    memory: bool = True,
) -> dict[str, Any]:
    """Measure steps of learning an attack, see :func:`attack_steps`, and of training against it.

    Args:
        model: torchreid network, random weights.
        size: of the network's input.
        images: of a batch; the meta-test has as many.
        repeats: turns.
        memory: measure that of MetaDefense, too.
    """
    common: dict[str, Any] = {"model": model, "size": size, "images": images, "repeats": repeats}
    attack = attack_steps(**common)
    return {**attack, "defense": defense_timing.run(**common, memory=memory)}
