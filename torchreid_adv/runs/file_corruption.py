"""The corruption of each image file of a data set: fixed, or drawn by the published protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from torchreid_adv.config import AdvConfig
from torchreid_adv.corruptions.base import (
    SCALES,
    SEVERITIES,
    corrupt,
    drawn,
    needs_other,
    published_kinds,
)
from torchreid_adv.corruptions.draws import TAG, Draws, content_key
from torchreid_adv.data.images import read_pixels
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.registry import CORRUPTIONS

if TYPE_CHECKING:
    from torchreid_adv.data.records import Record


@dataclass(frozen=True, kw_only=True)
class FileCorruption:
    """Corrupts image files; each file's pixels and the number of the draw seed its corruption.

    The result does not depend on the order or names of the files, or on the process.

    Args:
        kinds: one, or those to draw from; none = the 20 published ones.
        severity: from 1 to 5; 0 = drawn.
        draw: number of the draw; another number gives other kinds, severities and noise.
        scale: ``published`` or ``input``, see :func:`corrupt`.
        others: images whose people may cover others (``occlusion_person``).

    Raises:
        ConfigError: an unknown kind or scale, or a severity outside 0 to 5.
    """

    kinds: tuple[str, ...] = ()
    severity: int = 0
    draw: int = 0
    scale: str = "published"
    others: tuple[Record, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(map(CORRUPTIONS.name_of, self.kinds)))
        if self.severity not in (0, *SEVERITIES):
            raise ConfigError(f"a severity is from 1 to 5, or 0 = drawn; got {self.severity!r}")
        if self.scale not in SCALES:
            raise ConfigError(f"the scale is one of {', '.join(SCALES)}, got '{self.scale}'")

    @classmethod
    def configured(cls, cfg: AdvConfig) -> FileCorruption:
        """Return the corruption of ``adv.corruption.*``."""
        keys = cfg.adv.corruption
        return cls(
            kinds=tuple(keys.kinds),
            severity=keys.severity,
            draw=keys.draw,
            scale=keys.scale,
        )

    @property
    def drawn_from(self) -> tuple[str, ...]:
        """The kinds that an image may get."""
        return self.kinds or published_kinds()

    def facts(self) -> dict[str, Any]:
        """Return the facts that decide the bytes, as plain values."""
        return {
            "version": TAG,
            "kinds": list(self.drawn_from),
            "severity": self.severity,
            "draw": self.draw,
            "scale": self.scale,
        }

    def choice(self, image: np.ndarray) -> tuple[str, int]:
        """Return the kind and the severity that an image, uint8 (H, W, 3), gets."""
        kind, severity = drawn(image, self.draw, self.drawn_from)
        return kind, self.severity or severity

    def label(self, image: np.ndarray) -> str:
        """Return kind and severity as in a manifest, ``fog 3``."""
        kind, severity = self.choice(image)
        return f"{kind} {severity}"

    def __call__(self, record: Record, image: np.ndarray) -> np.ndarray:
        """Return the corrupted pixels of a file.

        Args:
            record: of the file; its identity is never the person in front.
            image: its pixels, uint8 (H, W, 3).

        Raises:
            DataError: another person is needed, and there is none.
        """
        kind, severity = self.choice(image)
        other = self._other(record, image) if needs_other(kind) else None
        return corrupt(
            image, kind, severity=severity, draw=self.draw, scale=self.scale, other=other
        )

    def _other(self, record: Record, image: np.ndarray) -> np.ndarray:
        """Return an image of another identity, from the same camera if there is one."""
        people = [r for r in self.others if r.pid != record.pid and r.pid > 0]
        near = [r for r in people if r.camid == record.camid] or people
        if not near:
            raise DataError(
                f"'{record.image_id}' must be covered by another person, and the gallery has none;"
                " leave occlusion_person out of adv.corruption.kinds"
            )
        place = Draws(content_key(image, "other", self.draw)).integer(len(near))
        return read_pixels(near[place].path)


def people_of(gallery: Sequence[Record]) -> tuple[Record, ...]:
    """Return the image files of a gallery whose people may cover others, sorted by name."""
    return tuple(sorted(file for record in gallery for file in record.seen))
