"""The drawing surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from torchreid_adv.data.virtual.solids import Light, Part
from torchreid_adv.data.virtual.sweep import Surface, sweep


class Canvas:
    """Float32 RGB planes (3, H, W) in [0, 1] with the mask (H, W) of what was painted on them.

    Planes, because numpy runs along the last axis: rows of pixels are faster than triples.
    """

    def __init__(self, image: np.ndarray, *, light: Light, folds: np.ndarray) -> None:
        """Take over ``image``; ``folds`` is a noise image (H, W) around 0."""
        self.image = image
        self.mask = np.zeros(image.shape[1:], np.float32)
        self._size = image.shape[1], image.shape[2]
        self._light = light
        self._folds = folds

    def paint(self, parts: Sequence[Part]) -> None:
        """Draw parts one over the other, each with a contact shadow on those before it."""
        for surface in sweep(parts, self._light, self._folds, self._size):
            self._lay(surface)

    def seen(self, surface: Surface) -> np.ndarray:
        """Return what a surface adds to the picture: its color, lit, (3, h, w) or (1, h, w)."""
        return np.asarray(surface.color() * surface.shade)

    def _lay(self, surface: Surface) -> None:
        rows, columns = surface.window
        image, mask, keep = self.image[:, rows, columns], self.mask[surface.window], surface.keep
        if surface.part.contact:
            shadow = np.multiply(surface.near, mask, out=surface.near)
            shadow *= surface.part.contact
            keep -= shadow
        image *= keep
        image += self.seen(surface)
        np.maximum(mask, surface.alpha, out=mask)
