"""What a corruption is, and how one is applied: by kind, severity and draws that images seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from torchreid_adv.corruptions.draws import Draws, content_key
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import CORRUPTIONS

T = TypeVar("T")
SEVERITIES = (1, 2, 3, 4, 5)
FAMILIES = ("noise", "blur", "weather", "digital", "occlusion")
SCALES = ("published", "input")
PUBLISHED_HEIGHT = 224  # of the photographs that the published radii were chosen for
IMAGENET_C = "https://arxiv.org/abs/1903.12261"
CIL = "https://arxiv.org/abs/2111.00880"


@dataclass(frozen=True)
class Conditions:
    """Under which conditions an image is corrupted.

    Args:
        severity: from 1 to 5.
        draws: random numbers of this image.
        scale: factor of radii and lengths in pixels; 1 = as published.
        other: uint8 (h, w, 3), a picture of another person, for kinds that show one.
    """

    severity: int
    draws: Draws
    scale: Fraction = Fraction(1)
    other: np.ndarray | None = None

    def pick(self, values: Sequence[T]) -> T:
        """Return the value of this severity, of five."""
        return values[self.severity - 1]

    def pixels(self, length: float | Fraction) -> Fraction:
        """Return a length in pixels at this scale, exactly."""
        return Fraction(str(length)) * self.scale

    def whole_pixels(self, length: int) -> int:
        """Return a length in whole pixels at this scale, at least 1."""
        return max(1, int(length * self.scale + Fraction(1, 2)))


Corruption = Callable[[np.ndarray, Conditions], np.ndarray]


def corruption(
    name: str, *, family: str, title: str, paper: str = IMAGENET_C, further: bool = False
) -> Callable[[Corruption], Corruption]:
    """Return a decorator that registers a kind of corruption.

    It takes uint8 (H, W, 3) and returns a new array of that shape; it changes nothing it was given.

    Args:
        name: of the kind.
        family: one of :data:`FAMILIES`.
        title: what it does, in a line.
        paper: where its parameters come from.
        further: not one of the 20 kinds that the published mean is taken over.
    """
    if family not in FAMILIES:
        raise ConfigError(
            f"a family of corruptions is one of {', '.join(FAMILIES)}, got '{family}'"
        )
    return CORRUPTIONS.register(name, family=family, title=title, paper=paper, further=further)


def published_kinds() -> tuple[str, ...]:
    """Return the 20 kinds of the published protocol, by name."""
    return tuple(kind for kind in CORRUPTIONS if not CORRUPTIONS.facts(kind)["further"])


def needs_other(kind: str) -> bool:
    """Tell whether a kind shows a picture of another person."""
    return CORRUPTIONS.name_of(kind) == "occlusion_person"


def corrupt(
    image: np.ndarray,
    kind: str,
    *,
    severity: int = 3,
    draw: int = 0,
    scale: str = "published",
    other: np.ndarray | None = None,
) -> np.ndarray:
    """Corrupt an image; the same pixels, kind, severity and draw give the same bytes everywhere.

    Args:
        image: uint8 (H, W, 3), RGB, of any size.
        kind: an entry of CORRUPTIONS.
        severity: from 1 to 5.
        draw: number of the random draw, from 0.
        scale: ``published``: radii in pixels as they were chosen for images 224 pixels high,
            whatever the size; ``input``: radii times height / 224.
        other: uint8 (h, w, 3), a picture of another person, for ``occlusion_person``.

    Returns:
        uint8 (H, W, 3), a new array.

    Raises:
        ConfigError: an unknown kind or scale, a severity outside 1 to 5, an image of another type
            or shape, or ``occlusion_person`` without a picture.

    Example:
        >>> foggy = corrupt(image, "fog", severity=4)
    """
    _check_image(image)
    if severity not in SEVERITIES:
        raise ConfigError(f"a severity is a whole number from 1 to 5, got {severity!r}")
    if scale not in SCALES:
        raise ConfigError(f"the scale of corruptions is one of {', '.join(SCALES)}, got '{scale}'")
    name = CORRUPTIONS.name_of(kind)
    if needs_other(name) and other is None:
        raise ConfigError(
            f"'{name}' covers a person with another one; pass that one's picture as other"
        )
    if other is not None:
        _check_image(other)
    factor = Fraction(len(image), PUBLISHED_HEIGHT) if scale == "input" else Fraction(1)
    key = content_key(image, name, severity, draw)
    return CORRUPTIONS.get(name)(image, Conditions(severity, Draws(key), factor, other))


def drawn(image: np.ndarray, repeat: int, kinds: Sequence[str] = ()) -> tuple[str, int]:
    """Return the kind and severity that the published protocol draws for an image.

    Both are uniform and independent. Here they are seeded by the image itself and the number of
    the repeat, so that every model and every order of loading sees the same ones.

    Args:
        image: uint8 (H, W, 3).
        repeat: number of the repeat, from 0.
        kinds: to draw from; none = the 20 published ones.
    """
    names = tuple(kinds) or published_kinds()
    draws = Draws(content_key(image, "draw", repeat))
    return names[draws.integer(len(names))], SEVERITIES[draws.integer(len(SEVERITIES))]


def _check_image(image: np.ndarray) -> None:
    shape: tuple[int, ...] = getattr(image, "shape", ())
    kind = getattr(image, "dtype", type(image).__name__)
    if kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        got = f"{kind} {tuple(shape)}"
        raise ConfigError(
            f"a corruption takes an RGB image as uint8 (H, W, 3), got {got}; convert a file with "
            "numpy.asarray(PIL.Image.open(FILE).convert('RGB'))"
        )
