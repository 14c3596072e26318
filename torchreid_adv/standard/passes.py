"""How many images pass forward and backward through a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from torchreid_adv.models.pixel_model import PixelModel


@dataclass(frozen=True)
class Passes:
    """Numbers of images, not of calls.

    Args:
        forward: images that went through a model.
        backward: images that a gradient came back for.
    """

    forward: int = 0
    backward: int = 0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward)

    def __sub__(self, other: Passes) -> Passes:
        return Passes(self.forward - other.forward, self.backward - other.backward)

    @property
    def total(self) -> int:
        """Forward and backward passes together."""
        return self.forward + self.backward


class PassCounter:
    """A forward hook that counts every image of a batch, also one that only fills it.

    Draws of a defense count one by one, because the network gets each as an image. Copies of a
    model share the counter, because attacks work on a prepared copy.
    """

    def __init__(self) -> None:
        self.passes = Passes()

    def __deepcopy__(self, memory: dict[int, Any]) -> PassCounter:
        return self

    def __call__(self, module: nn.Module, inputs: Any, features: Tensor) -> None:
        """Count features (N, D) now, and again when a gradient comes back for them."""
        self.passes += Passes(forward=len(features))
        if features.requires_grad:
            features.register_hook(self._back)

    def _back(self, gradient: Tensor) -> None:
        self.passes += Passes(backward=len(gradient))


@contextlib.contextmanager
def counted(model: nn.Module) -> Iterator[PassCounter]:
    """Count the passes through a model's networks, also in copies made inside the block.

    Features of stored files are extracted without these hooks and do not count.
    """
    counter = PassCounter()
    networks: list[nn.Module] = [part for part in model.modules() if isinstance(part, PixelModel)]
    handles = [part.register_forward_hook(counter) for part in networks or [model]]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()
