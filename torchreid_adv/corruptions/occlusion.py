"""Occlusion: a part of the person is hidden by gray, by scene or by another person.

Shares of the area are 10 to 50 percent. Gray blocks are what random erasing puts into training
images, so that a model trained with it has seen them; people and scene are harder.
"""

from __future__ import annotations

from math import isqrt

import cv2
import numpy as np

from torchreid_adv.corruptions.base import Conditions, corruption

SHARES = (10, 20, 30, 40, 50)  # percent of the area
RANDOM_ERASING = "https://arxiv.org/abs/1708.04896"
_MARGIN = 6  # the outer sixth of a crop's width is scene


@corruption(
    "occlusion_gray",
    family="occlusion",
    title="cover a block by the mean color",
    paper=RANDOM_ERASING,
    further=True,
)
def occlusion_gray(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image with a block, height to width U(.5, 2), in the image's mean color."""
    top, left, high, wide = _block(image, how)
    covered = image.copy()
    count = image.shape[0] * image.shape[1]
    covered[top : top + high, left : left + wide] = image.sum(axis=(0, 1), dtype=np.int64) // count
    return covered


@corruption(
    "occlusion_scene",
    family="occlusion",
    title="cover a block with the background next to the person",
    paper="none; this package's own",
    further=True,
)
def occlusion_scene(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image with a block that continues the scene at its left or right margin."""
    top, left, high, wide = _block(image, how)
    margin = max(1, image.shape[1] // _MARGIN)
    side = image[:, :margin] if how.draws.integer(2) else image[:, -margin:]
    columns = np.arange(wide) % (2 * margin)
    columns = np.minimum(columns, 2 * margin - 1 - columns)  # mirrored, so that no edge shows
    covered = image.copy()
    covered[top : top + high, left : left + wide] = side[top : top + high][:, columns]
    return covered


@corruption(
    "occlusion_person",
    family="occlusion",
    title="put another person in front",
    paper="none; this package's own",
    further=True,
)
def occlusion_person(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image under a part of another person: from below, the left or the right.

    What is shown is the other person's picture at the size of this one: from below its upper part,
    as somebody nearer to the camera looks, from a side its half on that side.
    """
    assert how.other is not None
    height, width = image.shape[:2]
    other = cv2.resize(how.other, (width, height), interpolation=cv2.INTER_LINEAR)
    share, covered = how.pick(SHARES), image.copy()
    high, wide = max(1, height * share // 100), max(1, width * share // 100)
    edge = how.draws.integer(3)
    if edge == 0:
        covered[height - high :] = other[:high]
    elif edge == 1:
        covered[:, :wide] = other[:, width - wide :]
    else:
        covered[:, width - wide :] = other[:, :wide]
    return covered


def _block(image: np.ndarray, how: Conditions) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a block of the severity's share of the area."""
    height, width = image.shape[:2]
    area = height * width * how.pick(SHARES) // 100
    ratio = 512 + how.draws.integer(1537)  # height to width, in 1/1024
    high = min(height, max(1, isqrt(area * ratio // 1024)))
    wide = min(width, max(1, area // high))
    high = min(height, max(1, area // wide))
    return how.draws.integer(height - high + 1), how.draws.integer(width - wide + 1), high, wide
