import os

import numpy as np
import pytest
from PIL import Image

from torchreid_adv import config
from torchreid_adv.data.images import encode_png, read_image, read_pixels, write_png
from torchreid_adv.errors import DataError


def noise(mode, size=(9, 7)):
    generator = np.random.default_rng(0)
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (size[1], size[0], bands) if bands > 1 else (size[1], size[0])
    return Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8), mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("L", "png"), ("CMYK", "jpg"), ("L", "jpg"), ("RGB", "bmp")],
)
def test_usual_modes_are_read_as_torchreid_reads_them(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    noise(mode).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    assert (read_pixels(path) == expected).all()


def test_palette_and_bilevel(tmp_path):
    for mode in ("P", "1"):
        path = tmp_path / f"{mode}.png"
        noise("RGB").convert(mode).save(path)
        assert (read_pixels(path) == np.asarray(Image.open(path).convert("RGB"))).all()


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path):
    image = noise("RGB")
    image.putalpha(255)
    image.save(tmp_path / "opaque.png")
    assert (read_pixels(tmp_path / "opaque.png") == np.asarray(image.convert("RGB"))).all()
    image.putpixel((3, 3), (1, 2, 3, 254))
    image.save(tmp_path / "clear.png")
    with pytest.raises(DataError, match="partly transparent"):
        read_image(tmp_path / "clear.png")


def sixteen_bit_rgb(path):
    """Write a 16-bit RGB PNG by hand; Pillow cannot."""
    import struct
    import zlib

    def part(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = (b"\0" + bytes(range(12))) * 2
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", header)
        + part(b"IDAT", zlib.compress(rows))
        + part(b"IEND", b"")
    )


def test_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900).save(tmp_path / "g.png")
    sixteen_bit_rgb(tmp_path / "c.png")
    for name in ("g.png", "c.png"):
        with pytest.raises(DataError, match="more than 8 bits"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("suffix", ["gif", "tiff", "ppm", "ico", "pcx"])
def test_other_formats_are_refused(tmp_path, suffix):
    noise("L", (16, 16)).save(tmp_path / f"x.{suffix}")
    (tmp_path / f"x.{suffix}").rename(tmp_path / "x.jpg")
    with pytest.raises(DataError, match="no JPEG, PNG, BMP, WEBP image"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animations_are_refused(tmp_path, suffix):
    frames = [noise("RGB"), noise("RGB").rotate(180)]
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="animated"):
        read_image(tmp_path / f"x.{suffix}")


def test_of_a_jpeg_with_several_pictures_the_first_counts(tmp_path):
    first, second = noise("RGB", (16, 8)), noise("RGB", (9, 7))
    first.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[second])
    expected = np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB"))
    assert expected.shape == (8, 16, 3)
    assert (read_pixels(tmp_path / "x.jpg") == expected).all()


def test_orientation_is_not_applied_as_in_torchreid(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise("RGB").save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg").size == (9, 7)


@pytest.mark.parametrize("bit", [1, 128])
def test_a_flipped_bit_in_the_pixels_of_a_png_is_noticed(tmp_path, bit):
    path = tmp_path / "x.png"
    noise("RGB").save(path)
    content = path.read_bytes()
    for place in range(content.index(b"IDAT"), len(content) - 12):
        changed = bytearray(content)
        changed[place] ^= bit
        path.write_bytes(changed)
        with pytest.raises(DataError, match="checksum"):
            read_image(path)


def test_a_jpeg_that_would_be_decoded_for_minutes_is_refused(tmp_path):
    path = tmp_path / "x.jpg"
    noise("L", (64, 64)).save(path, progressive=True)
    content = path.read_bytes()
    last = content[content.rindex(b"\xff\xda") : -2]
    read_image(path)
    path.write_bytes(content[:-2] + 100 * last + content[-2:])
    with pytest.raises(DataError, match="more than 100 scans"):
        read_image(path)


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xe5\0\2", b"\xff\xe5\0\3x"])
def test_an_endless_jpeg_header_is_refused(tmp_path, filler):
    path = tmp_path / "x.jpg"
    noise("L").save(path)
    content = path.read_bytes()
    path.write_bytes(content[:2] + 9 * filler + content[2:])
    read_image(path)
    path.write_bytes(content[:2] + 100_001 * filler + content[2:])
    with pytest.raises(DataError, match="header has more than 100000"):
        read_image(path)


def test_a_compressed_bmp_is_refused(tmp_path):
    path = tmp_path / "x.bmp"
    noise("L", (4, 2)).save(path)
    content = bytearray(path.read_bytes())
    content[30] = 1  # run-length encoded
    path.write_bytes(content)
    with pytest.raises(DataError, match="compressed BMP"):
        read_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(DataError, match="not an image file"):
        read_image(tmp_path / "x.jpg")


def test_a_file_longer_than_any_image_is_refused_unread(tmp_path):
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(DataError, match="200000000 bytes"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_image_is_refused(tmp_path, content):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.jpg"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_cut_off_files_are_refused(tmp_path, suffix, share):
    path = tmp_path / f"x.{suffix}"
    noise("RGB", (64, 128)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"cannot decode|not an image"):
        read_image(path)


def test_missing_and_folders(tmp_path):
    with pytest.raises(DataError, match="there is no image"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError):
        read_image(tmp_path)


def test_the_pixel_limit_is_checked_before_decoding(tmp_path):
    noise("L", (300, 200)).save(tmp_path / "big.png")
    config.current().adv.data.max_pixels = 60_000
    read_image(tmp_path / "big.png")
    config.current().adv.data.max_pixels = 59_999
    with pytest.raises(DataError, match=r"300 x 200 pixels, more than adv\.data\.max_pixels"):
        read_image(tmp_path / "big.png")


def test_png_keeps_every_pixel(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (11, 5, 3), dtype=np.uint8)
    content = write_png(tmp_path / "deep" / "a.png", pixels)
    assert (tmp_path / "deep" / "a.png").read_bytes() == content == encode_png(pixels)
    assert (read_pixels(tmp_path / "deep" / "a.png") == pixels).all()
