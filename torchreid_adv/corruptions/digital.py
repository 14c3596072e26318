"""Digital: elastic deformation, pixels, JPEG, low resolution.

Elastic, pixelate and JPEG follow Michaelis et al. (2019), after Hendrycks and Dietterich (ICLR
2019). JPEG is Pillow's: its bytes depend on the version of libjpeg, which results name.
"""

from __future__ import annotations

import io
from fractions import Fraction

import cv2
import numpy as np
from PIL import Image

from torchreid_adv.corruptions.base import Conditions, corruption
from torchreid_adv.corruptions.exact import ONE, gaussian
from torchreid_adv.corruptions.resampling import box, cubic, repeated, resampled
from torchreid_adv.corruptions.zoom import packed, unpacked

ELASTIC = ("12.5", "16.25", "21.25", "25", "30")  # factors of the smoothed moves
_SMOOTH = Fraction(1, 100)  # of each side: sigma
_STEPS = 256  # of a pixel
_REACH = Fraction(1, 200)  # of the height: largest move before smoothing
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)  # of each side
JPEG = (25, 18, 15, 10, 7)
JPEG_LADDER = (75, 50, 25, 10, 5)
LOW_RESOLUTION = (Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4), Fraction(6))


@corruption("elastic_transform", family="digital", title="push pixels about, smoothly")
def elastic_transform(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image read at places moved by c G(U(-.005 H, .005 H)), linearly, mirrored outside.

    Departure: moves are drawn in 256 steps, and places and weights have steps of 1/256 pixel.
    """
    down, right = _moves(image, how)
    margin = int(max(abs(down).max(), abs(right).max())) // _STEPS + 2
    framed = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT)
    words, stride = packed(framed).reshape(-1), framed.shape[1]
    rows = np.arange(margin, margin + down.shape[0], dtype=np.int32)[:, None]
    columns = np.arange(margin, margin + down.shape[1], dtype=np.int32)
    place = ((rows + (down >> 8)) * stride + (columns + (right >> 8))).astype(np.intp)
    low, far = (moved.astype(np.uint8).astype(np.uint16) for moved in (down, right))
    both = (low * far + np.uint16(_STEPS // 2)) >> np.uint16(8)
    mixed = np.take(words, place) * (_STEPS - low - far + both).astype(np.uint64)
    for offset, weight in ((1, far - both), (stride, low - both), (stride + 1, both)):
        mixed += np.take(words[offset:], place) * weight.astype(np.uint64)
    return unpacked(mixed, 8)


def _moves(image: np.ndarray, how: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """Return moves down and to the right (H, W) in 1/256 pixel, int32."""
    height, width = image.shape[:2]
    smooth = gaussian(
        how.draws.centered((height, width, 2), 8),
        height * _SMOOTH,
        across=width * _SMOOTH,
        truncate=3,
        border=cv2.BORDER_REFLECT,
    )
    reach = height * _REACH * Fraction(how.pick(ELASTIC))
    down, right = cv2.split(np.rint(smooth * np.float32(reach / ONE)).astype(np.int32))
    return down, right


@corruption("pixelate", family="digital", title="leave fewer, larger pixels")
def pixelate(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image averaged down to c of its size, and enlarged by repeating pixels."""
    height, width = image.shape[:2]
    share = how.pick(PIXELATE)
    small = max(1, int(height * share)), max(1, int(width * share))
    return repeated(resampled(image, small, box), (height, width))


@corruption("jpeg_compression", family="digital", title="compress as JPEG, quality 25 to 7")
def jpeg_compression(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image after JPEG with Pillow's defaults, colors at half the resolution."""
    return _jpeg(image, how.pick(JPEG))


@corruption(
    "jpeg_quality", family="digital", title="compress as JPEG, quality 75 to 5", further=True
)
def jpeg_quality(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image after JPEG; the range reaches from what cameras store to the worst."""
    return _jpeg(image, how.pick(JPEG_LADDER))


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


@corruption(
    "low_resolution",
    family="digital",
    title="see a person from 1.5 to 6 times as far",
    further=True,
)
def low_resolution(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image reduced by 1.5, 2, 3, 4 or 6 and enlarged again, both bicubic."""
    height, width = image.shape[:2]
    factor = how.pick(LOW_RESOLUTION)
    small = max(1, int(height / factor)), max(1, int(width / factor))
    return resampled(resampled(image, small, cubic), (height, width), cubic)
