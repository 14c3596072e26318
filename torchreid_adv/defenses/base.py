"""Defense: pixels to pixels, with a gradient for attackers and draws for each image."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from torchreid_adv.core import pixels
from torchreid_adv.core.batch import generator
from torchreid_adv.core.described import Described
from torchreid_adv.core.manifest import sha256
from torchreid_adv.errors import ConfigError

D = TypeVar("D", bound="Defense")

MOST_SEED = 2**63 - 1


class Defense(Described, nn.Module, ABC):
    """Changes stored pixels before a model resizes them.

    A new defense overrides :meth:`exact` and declares its attributes. If its exact form has no
    useful gradient, it sets ``differentiable = False`` and overrides :meth:`surrogate`, too: the
    forward pass is exact, the backward pass is the surrogate's (BPDA, Athalye et al., Obfuscated
    Gradients Give a False Sense of Security, 2018). A random defense sets ``random = True`` and
    overrides :meth:`draw`; both forms then get the draw, one image at a time.

    Attributes:
        differentiable: the exact form has the gradient that an attacker needs.
        random: an image comes out differently for another ``seed``.
        aggregates: features should be averaged over several draws.
        optimizes: it solves a problem for each image instead of computing a formula.
        draws: default number of draws to average.
        seed: seed of the draws.
    """

    differentiable: bool = True
    random: bool = False
    aggregates: bool = False
    optimizes: bool = False
    draws: int = 1
    seed: int = 0

    @abstractmethod
    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Apply the defense: images (N, 3, H, W) in [0, 1] -> (N, 3, H', W') in [0, 1].

        Args:
            images: all of one size; each image is processed independently.
            drawn: the draw of :meth:`draw` for the single image; None if nothing is random.
        """

    def surrogate(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the differentiable approximation of :meth:`exact`, of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} has no surrogate()")

    def draw(self, height: int, width: int, generator: torch.Generator) -> Any:
        """Draw the change of an image of that size, in pixels."""
        raise NotImplementedError(f"{type(self).__name__} is random and has no draw()")

    @property
    def has_gradient(self) -> bool:
        """Whether an attack can differentiate through it."""
        return self.differentiable or type(self).surrogate is not Defense.surrogate

    def forward(self, images: Tensor) -> Tensor:
        """Return defended images (N, 3, H', W') in [0, 1], each independent of the others.

        Args:
            images: (N, 3, H, W) in [0, 1], all of one size.
        """
        if not self.random:
            return self._through(images)
        height, width = images.shape[-2:]
        generators = image_generators(images, self.seed)
        drawn = [self.draw(height, width, generator) for generator in generators]
        pairs = zip(images.split(1), drawn, strict=True)
        return torch.cat([self._through(image, plan) for image, plan in pairs])

    def _through(self, images: Tensor, *drawn: Any) -> Tensor:
        """Return the exact form, with the surrogate's gradient if it has none itself."""
        if self.differentiable:
            return self.exact(images, *drawn)
        with torch.no_grad():
            hard = self.exact(images, *drawn)
        if not (torch.is_grad_enabled() and images.requires_grad and self.has_gradient):
            return hard
        soft = self.surrogate(images, *drawn)
        return hard + (soft - soft.detach())  # the exact form: the parentheses are 0

    def of_image(self, image: Image.Image) -> Image.Image:
        """Return the defended form of an RGB Pillow image, rounded to whole levels."""
        with torch.no_grad():
            defended = self(pixels.to_tensor(np.array(image))[None])
        return Image.fromarray(pixels.to_uint8(defended)[0])

    def reseeded(self: D, seed: int) -> D:
        """Return the same defense with other draws."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def describe(self) -> dict[str, Any]:
        """Describe the defense for a report."""
        facts: dict[str, Any] = {"differentiable": self.differentiable, "random": self.random}
        return {**facts, "seed": self.seed} if self.random else facts


def require_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse an option that is not a number from low to high, both included.

    Raises:
        ConfigError: the value is out of range.
    """
    kinds = (int,) if whole else (int, float)
    kind = "a whole number" if whole else "a number"
    fits = type(value) in kinds and low <= value <= high
    require(fits, f"{name} is {kind} from {low:g} to {high:g}, got {value!r}")


def require(is_valid: bool, sentence: str) -> None:
    """Refuse an invalid option of a defense.

    Raises:
        ConfigError: with that sentence, unless ``is_valid``.
    """
    if not is_valid:
        raise ConfigError(sentence)


_further: ContextVar[tuple[object, ...]] = ContextVar("further_draws", default=())


@contextlib.contextmanager
def other_draws(*key: object) -> Iterator[None]:
    """Give every random defense other draws inside the block, the same for the same key.

    Nested blocks extend the key. Attacks run inside a block: the attacker knows how a defense
    draws, but not the draws.
    """
    token = _further.set((*_further.get(), *key))
    try:
        yield
    finally:
        _further.reset(token)


def image_generators(images: Tensor, seed: int) -> list[torch.Generator]:
    """Return one CPU generator per image (N, 3, H, W), keyed by its gray levels.

    A stored file and its tensor get the same draw, in any order, batch or process.
    """
    further = _further.get()
    return [
        generator("defense", seed, *further, image.shape, sha256(image.tobytes()))
        for image in pixels.to_uint8(images)
    ]
