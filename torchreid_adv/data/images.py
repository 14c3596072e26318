"""Reading and writing images, the only place that does it."""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from torchreid_adv import config
from torchreid_adv.core.files import write_bytes
from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.data.containers import fault, lacks_scans, png_ends_early, with_further_data
from torchreid_adv.errors import DataError
from torchreid_adv.registry import READERS

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
MODES = ("1", "L", "P", "RGB", "CMYK", "LA", "PA", "RGBA")
ALPHA = ("LA", "PA", "RGBA")
BYTES_PER_PIXEL = 4  # of the largest image: a longer file hides other data


@READERS.register("image")
def read_image(path: str | Path) -> Image.Image:
    """Read an image file as RGB, like torchreid's reader, but fail instead of retrying.

    Gray, palette and CMYK images are converted by Pillow; an alpha channel must be opaque.
    Orientation (EXIF), color profiles and gamma are not applied, as in torchreid; of a JPEG with
    several pictures (MPO) the first is used, as by every JPEG reader.

    Raises:
        DataError: the file is not a regular file, not a JPEG, PNG, BMP or WebP, cut off, damaged
            (as far as the format can show; a JPEG has no checksum), animated, too large, with 16
            bits per channel, or transparent; or its pixel data end before the last row.
    """
    return decode_image(_content(path), path)


def decode_image(content: bytes, path: str | Path) -> Image.Image:
    """Decode the content of an image file, as in :func:`read_image`.

    Args:
        content: content of the file.
        path: its name, for errors.
    """
    wrong = fault(content)
    if wrong:
        raise DataError(f"cannot decode image '{path}': {wrong}; remove or replace it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_header(image, path)
                image.load()
                _check_alpha(image, path)
                _check_rows(image, content, path)
                return image.convert("RGB")
    except DataError:
        raise
    except Image.UnidentifiedImageError as error:
        raise DataError(
            f"'{path}' is no {', '.join(FORMATS)} image; convert or remove it"
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"image '{path}' has more pixels than any limit allows: {error}") from error
    except Exception as error:  # decoders may raise anything on a broken file
        reason = str(error) or type(error).__name__
        raise DataError(f"cannot decode image '{path}' ({reason}); remove or replace it") from error


def is_turned(path: str | Path) -> bool:
    """Return whether viewers show an image turned or mirrored, which readers here do not do."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # reading it says what is wrong
        return False


def size_of(path: str | Path) -> tuple[int, int] | None:
    """Return width and height that an image's header states; None where it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except Exception:  # reading it says what is wrong
        return None


def _content(path: str | Path) -> bytes:
    limit = config.current().adv.data.max_pixels * BYTES_PER_PIXEL + 2**20
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would block, a device never ends
            raise DataError(f"'{path}' is a folder or a device, not an image file; remove it")
        if status.st_size > limit:
            raise DataError(
                f"image file '{path}' has {status.st_size} bytes, more than an image of "
                "adv.data.max_pixels needs; raise the limit if it is meant"
            )
        content = Path(path).read_bytes()
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"there is no image '{path}'") from error
    except (OSError, ValueError) as error:  # ValueError: invalid characters in the path
        raise DataError(f"cannot open image '{path}': {error}; remove or replace it") from error
    return content


def _check_rows(image: Image.Image, content: bytes, path: str | Path) -> None:
    """Refuse a file whose pixel data end before the last pixel; Pillow would fill the rest."""
    early = image.format == "PNG" and png_ends_early(content)
    if image.format in ("JPEG", "MPO"):
        with Image.open(io.BytesIO(with_further_data(content)), formats=("JPEG",)) as further:
            early = lacks_scans(content) or further.tobytes() != image.tobytes()
    if early:
        raise DataError(
            f"cannot decode image '{path}': its pixel data end before the last row; remove or "
            "replace it"
        )


def _check_header(image: Image.Image, path: str | Path) -> None:
    limit = config.current().adv.data.max_pixels
    if image.width * image.height > limit:
        raise DataError(
            f"image '{path}' has {image.width} x {image.height} pixels, more than "
            f"adv.data.max_pixels ({limit}); raise the limit if it is meant"
        )
    tiles = [(tile[0], str(tile[3])) for tile in getattr(image, "tile", [])]
    # Pillow would silently drop the lower 8 bits of 16-bit color
    if image.mode not in MODES or any(";16B" in arguments for _, arguments in tiles):
        raise DataError(
            f"image '{path}' (mode {image.mode}) has more than 8 bits per channel; "
            "convert it to an 8-bit RGB image"
        )
    if image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
        raise DataError(f"image '{path}' is animated; save the frame that is meant by itself")
    if any(decoder == "bmp_rle" for decoder, _ in tiles):  # decoded slowly, in Python
        raise DataError(f"image '{path}' is a compressed BMP; save it as PNG")


def _check_alpha(image: Image.Image, path: str | Path) -> None:
    transparent = image.mode in ALPHA or "transparency" in image.info
    if transparent and np.asarray(image.convert("RGBA"))[..., 3].min() < LEVELS:
        raise DataError(
            f"image '{path}' is partly transparent; flatten it onto a background of your choice"
        )


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 pixels (H, W, 3) as torchreid's test transform does.

    Args:
        image: uint8 array (h, w, 3).
        size: height and width, pixels.
    """
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def read_pixels(path: str | Path) -> np.ndarray:
    """Read an image file as a uint8 array (H, W, 3); errors as in :func:`read_image`."""
    return np.array(read_image(path))


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode a uint8 array (H, W, 3) as PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def write_png(path: Path, pixels: np.ndarray) -> bytes:
    """Write a PNG file atomically, and return its bytes."""
    content = encode_png(pixels)
    write_bytes(path, content)
    return content
