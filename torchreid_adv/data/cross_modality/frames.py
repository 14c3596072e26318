"""The frames of a tracklet that form a clip.

``restricted``, ``grid``, ``consecutive`` and ``dense`` are from MITML (Lin et al., Learning
Modal-Invariant and Temporal-Memory for Video-based Visible-Infrared Person Re-Identification,
2022); ``evenly``, ``random`` and ``all`` are from torchreid.
"""

from __future__ import annotations

from collections.abc import Callable

from torchreid_adv.errors import ConfigError, suggest

# number of frames, length of a clip -> frames of the clip, or of consecutive clips
Rule = Callable[[int, int], list[int]]


def restricted(count: int, length: int) -> list[int]:
    """Draw one frame of each of ``length`` equal chunks; the last frame fills up the last chunk."""
    step = -(-count // length)
    draws = _drawn(step, length)
    return [min(chunk * step + draw, count - 1) for chunk, draw in enumerate(draws)]


def grid(count: int, length: int) -> list[int]:
    """Take the first frame of each chunk of :func:`restricted`."""
    step = -(-count // length)
    return [min(chunk * step, count - 1) for chunk in range(length)]


def consecutive(count: int, length: int) -> list[int]:
    """Take ``length`` frames in a row from a drawn start; short tracklets repeat."""
    (start,) = _drawn(max(0, count - length - 1) + 1, 1)
    return [(start + place) % count for place in range(length)]


def dense(count: int, length: int) -> list[int]:
    """Take all frames in consecutive clips; the last clip repeats its frames."""
    rows: list[int] = []
    for start in range(0, count, length):
        clip = range(start, min(start + length, count))
        rows += [clip[place % len(clip)] for place in range(length)]
    return rows


def evenly(count: int, length: int) -> list[int]:
    """Take frames at equal distances, after dropping the remainder modulo ``length``."""
    if count < length:
        return [min(place, count - 1) for place in range(length)]
    return [place * (count // length) for place in range(length)]


def random(count: int, length: int) -> list[int]:
    """Draw ``length`` frames in their order, with repetition if there are too few."""
    import torch

    if count < length:
        return sorted(_drawn(count, length))
    return sorted(torch.randperm(count)[:length].tolist())


def _drawn(below: int, count: int) -> list[int]:
    """Draw whole numbers from PyTorch's generator, which only those who draw import."""
    import torch

    numbers: list[int] = torch.randint(below, (count,)).tolist()
    return numbers


def every(count: int, length: int) -> list[int]:
    """Take all frames."""
    return list(range(count))


# name -> (rule in training, in a test); whole tracklets need test batches of size 1
METHODS: dict[str, tuple[Rule, Rule]] = {
    "restricted": (restricted, grid),
    "grid": (grid, grid),
    "consecutive": (consecutive, grid),
    "dense": (restricted, dense),
    "evenly": (evenly, evenly),
    "random": (random, random),
    "all": (every, every),
}
STOCK = ("evenly", "random", "all")
WHOLE = ("dense", "all")
DRAWN = ("random",)  # different frames in each test


def frame_rule(method: str, *, training: bool) -> Rule:
    """Return the rule of a ``video.sample_method``.

    Raises:
        ConfigError: the name is unknown.
    """
    if method not in METHODS:
        raise ConfigError(f"unknown video.sample_method '{method}'{suggest(method, METHODS)}")
    return METHODS[method][0 if training else 1]
