"""Reading and writing images: one way in, one way out."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from torchreid_adv import config
from torchreid_adv.errors import DataError
from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.pixels import LEVELS
from torchreid_adv.registry import READERS

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "GIF", "TIFF")
MODES = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "LA", "PA", "RGBA")
ALPHA = ("LA", "PA", "RGBA")


@READERS.register("image")
def read_image(path: str | Path) -> Image.Image:
    """Read an image file as RGB, as torchreid's reader does, but never in vain.

    Gray, palette and CMYK images are converted as Pillow does it; an alpha channel must be opaque.

    Raises:
        DataError: no file, no image, cut off, too large, 16 bits per channel, or transparent.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_header(image, path)
                image.load()
                _check_alpha(image, path)
                return image.convert("RGB")
    except FileNotFoundError as error:
        raise DataError(f"there is no image '{path}'") from error
    except Image.UnidentifiedImageError as error:
        raise DataError(
            f"'{path}' is not an image in a known format; remove or replace it"
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot decode image '{path}' ({error}); remove or replace it") from error


def _check_header(image: Image.Image, path: str | Path) -> None:
    limit = config.current().adv.data.max_pixels
    if image.width * image.height > limit:
        raise DataError(
            f"image '{path}' has {image.width} x {image.height} pixels, more than "
            f"adv.data.max_pixels ({limit}); raise the limit if it is meant"
        )
    if image.mode not in MODES or _sixteen_bit(image):
        raise DataError(
            f"image '{path}' (mode {image.mode}) has more than 8 bits per channel; "
            "convert it to an 8-bit RGB image"
        )


def _sixteen_bit(image: Image.Image) -> bool:
    """Tell whether a file holds 16-bit RGB, which Pillow would cut to 8 without a word."""
    return "16" in str([tile[3] for tile in getattr(image, "tile", [])])


def _check_alpha(image: Image.Image, path: str | Path) -> None:
    transparent = image.mode in ALPHA or "transparency" in image.info
    if transparent and np.asarray(image.convert("RGBA"))[..., 3].min() < LEVELS:
        raise DataError(
            f"image '{path}' is partly transparent; flatten it onto a background of your choice"
        )


def read_pixels(path: str | Path) -> np.ndarray:
    """Read an image file as a uint8 array (H, W, 3); errors as :func:`read_image`."""
    return np.array(read_image(path))


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode a uint8 array (H, W, 3) as PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def write_png(path: Path, pixels: np.ndarray) -> bytes:
    """Write a PNG file, whole or not at all, and return its bytes."""
    content = encode_png(pixels)
    write_bytes(path, content)
    return content
