"""The base of random transforms: draws are separate from their use, and inputs are checked."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor

from torchreid_adv.errors import ConfigError

Drawn = TypeVar("Drawn")


class RandomTransform(ABC, Generic[Drawn]):
    """:meth:`draw` decides and :meth:`apply` acts, so a draw can be inspected and replayed."""

    @abstractmethod
    def draw(
        self, height: int, width: int, generator: torch.Generator | None = None
    ) -> Drawn | None:
        """Draw the change of an image of that size, or None for no change.

        Args:
            height: height of the image, pixels.
            width: width of the image, pixels.
            generator: None = PyTorch's global generator, which torch seeds per worker.
        """

    @abstractmethod
    def apply(self, image: Any, drawn: Drawn | None) -> Any:
        """Return the changed image; the image itself if nothing was drawn."""

    def size(self, image: Any) -> tuple[int, int]:
        """Return height and width of an input.

        Raises:
            ConfigError: it is not an RGB Pillow image.
        """
        if not isinstance(image, Image.Image):
            raise ConfigError(
                f"{type(self).__name__} takes RGB Pillow images, got a {type(image).__name__}; it "
                "belongs before ToTensor: register it with stage='pil'"
            )
        if image.mode != "RGB":
            raise ConfigError(
                f"{type(self).__name__} takes RGB images, got Pillow mode '{image.mode}'; let the "
                "transform before it return image.convert('RGB')"
            )
        return image.height, image.width

    def __call__(self, image: Any) -> Any:
        """Draw and apply.

        Raises:
            ConfigError: the transform does not accept this kind of input.
        """
        height, width = self.size(image)
        return self.apply(image, self.draw(height, width))


class Mixture:
    """Draws at most one of several names, each with its probability.

    Args:
        probabilities: name -> probability; the remainder draws None.

    Raises:
        ConfigError: a value is not a probability, or they exceed 1 in total.

    Example:
        >>> Mixture({"gray": 1.0}).draw(None)
        'gray'
    """

    def __init__(self, probabilities: dict[str, float]) -> None:
        for name, p in probabilities.items():
            check_probability(name, p)
        total = math.fsum(probabilities.values())
        if total > 1 + 1e-9:
            raise ConfigError(
                f"the probabilities {', '.join(probabilities)} add up to {total:.4g}; at most one "
                "happens to an image, so lower them until they add up to 1 or less"
            )
        self.probabilities = probabilities

    def draw(self, generator: torch.Generator | None) -> str | None:
        """Draw a name, or None."""
        left = torch.rand((), generator=generator).item()
        for name, p in self.probabilities.items():
            if left < p:
                return name
            left -= p
        return None


def check_probability(name: str, value: Any) -> float:
    """Check an option that is a probability, and return it.

    Raises:
        ConfigError: it is not a number in [0, 1].
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ConfigError(f"{name} is a probability in [0, 1], got {value!r}")
    return float(value)


def tensor_size(image: Tensor) -> tuple[int, int]:
    """Return height and width of a tensor (..., 3, H, W).

    Raises:
        ConfigError: the tensor has another shape.
    """
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ConfigError(f"image tensors are (..., 3, H, W), got shape {tuple(image.shape)}")
    return image.shape[-2], image.shape[-1]
