"""Images whose pixel data end before the last row are refused; whole ones of every kind are not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from torchreid_adv.data.images import read_image, read_pixels
from torchreid_adv.errors import DataError

JPEGS = [
    {}, {"progressive": True}, {"optimize": True}, {"subsampling": 0}, {"subsampling": 2},
    {"restart_marker_blocks": 3}, {"restart_marker_rows": 1},
    {"progressive": True, "restart_marker_rows": 1},
]  # fmt: skip
MODES = ("RGB", "L", "CMYK")
SIZES = ((64, 32), (40, 24), (17, 100))


def picture(height, width, noise):
    rows = np.linspace(0, 255, height)[:, None, None] * np.ones((1, width, 3))
    noisy = rows + np.random.default_rng(0).normal(0, noise, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def jpeg(size, noise, mode, quality, **options):
    buffer = io.BytesIO()
    picture(*size, noise).convert(mode).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_a_jpeg_that_ends_early_is_refused_and_a_whole_one_is_not(tmp_path, options):
    path = tmp_path / "a.jpg"
    for number, size in enumerate(SIZES):
        for quality in (30, 90):
            whole = jpeg(size, 5 + 50 * number, MODES[number], quality, **options)
            path.write_bytes(whole)
            expected = np.array(Image.open(io.BytesIO(whole)).convert("RGB"))  # Pillow's own
            assert (read_pixels(path) == expected).all()
            start = whole.find(b"\xff\xda") + 14
            for part in (0.3, 0.6, 0.9):
                end = start + int((len(whole) - 2 - start) * part)
                path.write_bytes(whole[:end].rstrip(b"\xff") + b"\xff\xd9")
                with pytest.raises(
                    DataError, match=r"end before the last row|truncated|cannot decode"
                ):
                    read_image(path)


def chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(content, rows, height):
    """A PNG of valid chunks that holds some rows of another one's pixels."""
    places = [content.index(kind) for kind in (b"IHDR", b"IDAT")]
    width, _, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    start, (length,) = places[1] + 4, struct.unpack_from(">I", content, places[1] - 4)
    data = zlib.decompress(content[start : start + length])
    line = len(data) // height
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    body = zlib.compress(data[: rows * line])
    parts = [(b"IHDR", head), (b"IDAT", body[:9]), (b"IDAT", body[9:]), (b"IEND", b"")]
    return content[:8] + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_a_png_of_too_few_rows_is_refused_and_a_whole_one_is_not(tmp_path, mode):
    image, path = picture(40, 20, 30).convert(mode), tmp_path / "a.png"
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    for rows in (40, 39, 20, 1):
        path.write_bytes(png(buffer.getvalue(), rows, 40))
        if rows == 40:
            assert (read_pixels(path) == np.array(image.convert("RGB"))).all()
        else:
            with pytest.raises(DataError, match=r"end before the last row|truncated"):
                read_image(path)


def test_bytes_of_an_interlaced_png_are_counted():
    """Adam7 by hand: 5 x 3 pixels of RGB in passes of 1x1, 1x1, 2x1, 1x1..., with a filter each."""
    from torchreid_adv.data.containers import _png_bytes

    def passes(width, height):
        starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                  (1, 0, 2, 2), (0, 1, 1, 2)]  # fmt: skip
        for left, top, right, down in starts:
            columns = len(range(left, width, right))
            rows = len(range(top, height, down))
            yield rows * (1 + 3 * columns) if columns else 0

    for width, height in ((5, 3), (1, 1), (8, 8), (32, 64)):
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
        assert _png_bytes(content) == sum(passes(width, height))
