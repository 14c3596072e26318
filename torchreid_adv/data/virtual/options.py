"""How much is rendered: the parameters of a set of virtual people."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from torchreid_adv.errors import ConfigError

# torchreid's Market-1501 reader asserts pids up to this one
_LAST_PID = 1501

_LIMITS: dict[str, tuple[int, int]] = {
    "train_identities": (1, _LAST_PID),
    "test_identities": (1, _LAST_PID),
    "cameras_per_identity": (2, 6),
    "images_per_camera": (2, 50),
    "distractors": (0, 100_000),
    "seed": (0, 2**32 - 1),
    "height": (64, 512),
    "frames": (2, 500),
    "tracklets": (1, 20),
    "width": (32, 256),
}


def check_limits(options: Any) -> None:
    """Refuse a value outside its range.

    Raises:
        ConfigError: with the key and the range.
    """
    for field in dataclasses.fields(options):
        (low, high), value = _LIMITS[field.name], getattr(options, field.name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(
                f"adv.virtual.{field.name} is a whole number from {low} to {high}, got {value!r}"
            )


def digest_of(options: Any) -> str:
    """Return 8 hex digits that tell options from others."""
    text = json.dumps(dataclasses.asdict(options), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class VirtualOptions:
    """Size and seed of a rendered set.

    Args:
        train_identities: people in ``bounding_box_train``.
        test_identities: people in ``query`` and ``bounding_box_test``, none of them in training.
        cameras_per_identity: cameras that see a person, at most those the style has.
        images_per_camera: images of a person by each of them; in testing one of them is the query.
        distractors: gallery images (pid 0) of people who match no query.
        seed: another seed gives other people, scenes crops and poses of the same style.
        height: image height in pixels; styles b and c vary around it.
        width: image width in pixels; styles b and c vary around it.

    Raises:
        ConfigError: a value outside its range.
    """

    train_identities: int = 120
    test_identities: int = 60
    cameras_per_identity: int = 4
    images_per_camera: int = 3
    distractors: int = 100
    seed: int = 0
    height: int = 128
    width: int = 64

    def __post_init__(self) -> None:
        check_limits(self)
        if self.train_identities + self.test_identities > _LAST_PID:
            raise ConfigError(
                f"adv.virtual.train_identities + test_identities is at most {_LAST_PID} (the "
                f"Market-1501 layout), got {self.train_identities + self.test_identities}"
            )

    def digest(self) -> str:
        """Return 8 hex digits that tell these options from others."""
        return digest_of(self)


@dataclasses.dataclass(frozen=True)
class WalkOptions:
    """Size and seed of a rendered set of tracklets.

    Args:
        train_identities: people to train on.
        test_identities: people to test on, none of them in training.
        cameras_per_identity: cameras that see a person, at most those the style has.
        tracklets: of a person by each camera, as many visible as infrared.
        frames: of a tracklet.
        seed: another seed gives other people, scenes and walks.
        height: of a frame in pixels.
        width: of a frame in pixels.

    Raises:
        ConfigError: a value outside its range.
    """

    train_identities: int = 120
    test_identities: int = 60
    cameras_per_identity: int = 4
    tracklets: int = 1
    frames: int = 12
    seed: int = 0
    height: int = 128
    width: int = 64

    def __post_init__(self) -> None:
        check_limits(self)

    def digest(self) -> str:
        """Return 8 hex digits that tell these options from others."""
        return digest_of(self)
