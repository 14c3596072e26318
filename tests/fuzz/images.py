"""Hostile images: 25 kinds, 20 of each, drawn from a seed."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from markets import write_market
from PIL import Image, ImageCms

from fuzz.child import write

EACH = 20
OK, REFUSED, EITHER = "ok", "refused", "either"
KINDS = {}  # name -> function(folder, number, generator) -> (path, what is expected)
SIZES = ((64, 32), (128, 64), (70, 29), (9, 7))


def kind(name):
    def add(function):
        KINDS[name] = function
        return function

    return add


def make(name, number, folder):
    """Write the image and return (path, what is expected of reading it)."""
    generator = np.random.default_rng([list(KINDS).index(name), number])
    folder.mkdir(parents=True, exist_ok=True)
    return KINDS[name](folder, number, generator)


def picture(generator, mode="RGB", size=None):
    height, width = size or SIZES[generator.integers(len(SIZES))]
    bands = len(Image.new(mode, (1, 1)).getbands())
    coarse = generator.integers(0, 256, (-(-height // 8), -(-width // 8), bands))
    smooth = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width]
    noisy = (smooth + generator.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noisy[..., 0] if bands == 1 else noisy, mode)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name, content):
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png(width, height, depth, color, rows, *extra):
    """Write a PNG by hand; ``rows`` are the bytes of the unfiltered image with filter bytes."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            *extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def flipped(content, generator, bits=1):
    changed = bytearray(content)
    for place in generator.integers(0, len(changed), bits):
        changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


@kind("JPEG")
def jpeg(folder, number, generator):
    options = {
        "quality": int(generator.integers(20, 100)),
        "progressive": bool(number % 2),
        "subsampling": number % 3,
    }
    image = picture(generator, "L" if number % 5 == 0 else "RGB")
    return write(folder / "a.jpg", encoded(image, "JPEG", **options)), OK


@kind("PNG, also by another suffix")
def plain_png(folder, number, generator):
    image = picture(generator, "L" if number % 4 == 0 else "RGB")
    return write(folder / f"a.{('png', 'jpg')[number % 2]}", encoded(image, "PNG")), OK


@kind("BMP")
def bmp(folder, number, generator):
    image = picture(generator).convert(("RGB", "L", "P", "1")[number % 4])
    return write(folder / "a.bmp", encoded(image, "BMP")), OK


@kind("WebP: plain, transparent, animated")
def webp(folder, number, generator):
    image = picture(generator)
    if number % 4 == 3:
        content = encoded(image, "WEBP", save_all=True, append_images=[image.rotate(180)])
        return write(folder / "a.webp", content), REFUSED
    if number % 4 == 2:
        image.putalpha(100)
    content = encoded(image, "WEBP", lossless=number % 4 > 0)
    return write(folder / "a.webp", content), REFUSED if number % 4 == 2 else OK


@kind("JPEG with flipped bits")
def flipped_jpeg(folder, number, generator):
    content = encoded(picture(generator), "JPEG", progressive=bool(number % 2))
    return write(folder / "a.jpg", flipped(content, generator, 1 + number % 3)), EITHER


@kind("PNG with flipped bits")
def flipped_png(folder, number, generator):
    return write(folder / "a.png", flipped(encoded(picture(generator), "PNG"), generator)), REFUSED


@kind("JPEG cut off")
def cut_jpeg(folder, number, generator):
    content = encoded(picture(generator, size=(128, 64)), "JPEG", progressive=bool(number % 2))
    return write(folder / "a.jpg", content[: len(content) * (number + 1) // 21]), REFUSED


@kind("PNG cut off")
def cut_png(folder, number, generator):
    content = encoded(picture(generator, size=(128, 64)), "PNG")
    end = len(content) - 1 if number == EACH - 1 else len(content) * (number + 1) // 21
    return write(folder / "a.png", content[:end]), REFUSED


@kind("empty and a few bytes")
def tiny(folder, number, generator):
    start = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"RIFF\x04\0\0\0WEBP")
    content = start[number % 5] + generator.bytes(number // 5)
    return write(folder / "a.jpg", content), REFUSED


@kind("text and HTML")
def text(folder, number, generator):
    words = ("404 Not Found\n", "<!DOCTYPE html><html><body>sign in</body></html>", "\ufeffid,x\n",
             "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")  # fmt: skip
    return write(folder / "a.jpg", (words[number % 4] * (1 + number)).encode()), REFUSED


@kind("SVG and documents")
def svg(folder, number, generator):
    words = (
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>',
        "%PDF-1.7\n%\xe2\xe3\n1 0 obj <<>> endobj\n",
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    )
    suffix = (".svg", ".jpg")[number % 2]
    return write(folder / f"a{suffix}", words[number % 4].encode("latin1") * (1 + number)), REFUSED


@kind("GIF, TIFF, PPM and other formats")
def other_format(folder, number, generator):
    form = ("GIF", "TIFF", "PPM", "ICO", "PCX", "TGA", "SGI", "DDS", "JPEG2000", "ICNS")[
        number % 10
    ]
    image = picture(generator, size=(16, 16)).convert("P" if form == "GIF" else "RGB")
    options = {"save_all": True, "append_images": [image]} if number == 10 else {}
    return write(folder / "a.jpg", encoded(image, form, **options)), REFUSED


@kind("16 bits per channel")
def sixteen(folder, number, generator):
    color, bands = ((0, 1), (2, 3), (4, 2), (6, 4))[number % 4]
    height, width = SIZES[number % len(SIZES)]
    rows = b"".join(b"\0" + generator.bytes(width * bands * 2) for _ in range(height))
    return write(folder / "a.png", png(width, height, 16, color, rows)), REFUSED


@kind("CMYK")
def cmyk(folder, number, generator):
    image = picture(generator, "CMYK")
    return write(folder / "a.jpg", encoded(image, "JPEG", quality=50 + 2 * number)), OK


@kind("opaque alpha")
def opaque(folder, number, generator):
    mode = ("RGBA", "LA", "P", "RGB")[number % 4]
    image = picture(generator).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(255)
    options = {"transparency": bytes([255] * 9)} if mode == "P" else {}
    form = "WEBP" if number % 8 == 0 else "PNG"
    if form == "WEBP":
        options = {"lossless": True, "exact": True}
    return write(folder / "a.png", encoded(image, form, **options)), OK


@kind("transparent")
def transparent(folder, number, generator):
    mode = ("RGBA", "LA", "P", "L", "RGB")[number % 5]
    image = picture(generator).convert(mode)
    options = {}
    if mode in ("RGBA", "LA"):
        alpha = Image.new("L", image.size, 255)
        alpha.putpixel((int(generator.integers(image.width)), 0), int(generator.integers(255)))
        image.putalpha(alpha)
    elif mode == "P":
        image.putpixel((1, 1), 7)
        options["transparency"] = 7
    else:
        options["transparency"] = image.getpixel((1, 1))
    return write(folder / "a.png", encoded(image, "PNG", **options)), REFUSED


@kind("palette and few gray levels")
def palette(folder, number, generator):
    if number % 2:
        depth = (1, 2, 4, 8)[number // 2 % 4]
        height, width = SIZES[number % len(SIZES)]
        line = -(-width * depth // 8)
        rows = b"".join(b"\0" + generator.bytes(line) for _ in range(height))
        return write(folder / "a.png", png(width, height, depth, 0, rows)), OK
    colors = (2, 4, 16, 256)[number // 2 % 4]
    image = picture(generator).quantize(colors)
    return write(folder / "a.png", encoded(image, "PNG")), OK


@kind("EXIF orientation")
def oriented(folder, number, generator):
    exif = Image.Exif()
    exif[0x0112] = 1 + number % 8
    form = ("JPEG", "PNG", "WEBP")[number % 3]
    options = {"lossless": True} if form == "WEBP" else {}
    return write(folder / "a.jpg", encoded(picture(generator), form, exif=exif, **options)), OK


@kind("color profile")
def profile(folder, number, generator):
    space = ("sRGB", "LAB", "XYZ")[number % 3]
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
    icc = generator.bytes(300) if number % 4 == 3 else icc
    form = ("JPEG", "PNG")[number % 2]
    return write(folder / "a.jpg", encoded(picture(generator), form, icc_profile=icc)), OK


@kind("extreme shapes")
def extreme(folder, number, generator):
    width, height = ((1, 1), (1, 60_000), (60_000, 1), (2, 9_999), (1, 2))[number % 5]
    form = ("PNG", "JPEG", "BMP", "PNG")[number // 5]
    return write(folder / "a.png", encoded(picture(generator, size=(height, width)), form)), OK


@kind("more pixels than the limit")
def too_large(folder, number, generator):
    side = (5001, 9_500, 13_400, 65_000)[number % 4]
    if number == 1:  # a whole one, 90 million pixels in some kilobytes
        packer = zlib.compressobj(9)
        body = b"".join(packer.compress(b"\0" * (side + 1)) for _ in range(side)) + packer.flush()
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    elif number % 5 == 0:
        content = bytearray(encoded(picture(generator, size=(8, 8)), "BMP"))
        content[18:26] = struct.pack("<ii", side, side)
    elif number % 5 == 1:
        content = bytearray(encoded(picture(generator, size=(8, 8)), "JPEG"))
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", min(side, 65_500), min(side, 65_500))
    else:
        content = png(side, side * (1 + number), 8, (0, 2, 3)[number % 3], b"\0" * 99)
    return write(folder / "a.png", bytes(content)), REFUSED


@kind("no regular file")
def irregular(folder, number, generator):
    path = folder / "a.jpg"
    how = number % 10
    if how == 0:
        path.symlink_to("a.jpg")
    elif how == 1:
        path.mkdir()
    elif how == 2:
        os.mkfifo(path)
    elif how == 3:
        path.symlink_to("nothing.jpg")
    elif how == 4:
        path.symlink_to(("/dev/zero", "/dev/tty")[number // 10])
    elif how == 5:
        os.mkfifo(folder / "pipe")
        path.symlink_to("pipe")
    elif how == 6:
        (folder / "b.jpg").symlink_to("a.jpg")
        path.symlink_to("b.jpg")
    elif how == 7:
        path = Path(f"/proc/self/{('mem', 'fd/0')[number // 10]}")
    elif how == 8:
        path = folder / ("x" * 300 + ".jpg")
    else:
        path = folder / "a\0.jpg"
    return path, REFUSED


@kind("chunk, scan and header bombs")
def bombs(folder, number, generator):
    image = picture(generator, size=(16, 16))
    how = number % 10
    zeros = zlib.compress(bytes(200_000_000 if number == 0 else 3_000_000), 9)
    plain = encoded(image, "PNG")
    head, rest = plain[:33], plain[33:]
    if how == 0:
        content = head + chunk(b"zTXt", b"k\0\0" + zeros) + rest
    elif how == 1:
        content = head + chunk(b"iCCP", b"k\0\0" + zeros) + rest
    elif how == 2:
        content = head + chunk(b"iTXt", b"k\0\1\0\0\0" + zeros) + rest
    elif how == 3:
        content = head + 900 * chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(900_000))) + rest
    elif how == 4:
        content = head + 400_000 * chunk(b"teXt", b"") + rest
    elif how == 5:
        content = head + 400_000 * chunk(b"IDAT", b"") + rest
    else:
        side = 5000 if number == 6 else 64
        wide = Image.new("L", (side, side)) if how == 6 else image.convert("L")
        content = encoded(wide, "JPEG", progressive=True)
        last = content[content.rindex(b"\xff\xda") : -2]
        filler = {7: b"\xff", 8: b"\xff\xe5\0\2", 9: b"\xff\xfe\0\x0aadded to"}.get(how)
        if filler:
            content = content[:2] + filler * 3_000_000 + content[2:]
        else:
            content = content[:-2] + last * 5000 + content[-2:]
    return write(folder / "a.png", content), REFUSED


def market_with(folder, names):
    """Write a small data set whose queries have these names, too; return its root."""
    root = write_market(folder, identities=2, images=1, distractors=0)
    query = root / "market1501" / "Market-1501-v15.09.15" / "query"
    content = next(query.iterdir()).read_bytes()
    for name in names:
        with open(os.path.join(os.fsencode(query), os.fsencode(name)), "wb") as file:
            file.write(content)
    return root


@kind("names: bytes, twins, controls")
def names(folder, number, generator):
    stem = f"0101_c{1 + number % 3}s1_9999{number:02d}"
    how = number % 10
    found = (
        [stem.encode() + b"_\xff\xfe.jpg"],
        [f"{stem}_caf\u00e9.jpg", f"{stem}_cafe\u0301.jpg"],
        [f"{stem}_a.jpg", f"{stem}_A.jpg"],
        [f"{stem}\n.jpg"],
        [f"{stem}\x1b[2J.jpg"],
        [f"{stem}\u202egpj.jpg"],
        [f"{stem}_{'x' * 225}.jpg"],
        [f"{stem}:stream.jpg"],
        [f"{stem}\\..\\x.jpg"],
        [f"{stem}_\u4eba \u00e9 (1)=+.jpg"],
    )[how]
    return market_with(folder, found), OK if how == 9 else REFUSED


@kind("names without identity or camera")
def nameless(folder, number, generator):
    found = (
        "photo.jpg", "c1.jpg", "0101_s1_000001.jpg", "0101_c.jpg", "_c1s1.jpg", "9999_c1s1_1.jpg",
        "0101_c9s1_1.jpg", "-5_c1s1_1.jpg", "-_c1.jpg", "0101c1s1.jpg", "Thumbs.jpg", " .jpg",
        "0101_cx.jpg", "--1_c1.jpg", "1502_c1.jpg", "0101_c7s1_1.jpg", "0101_C1s1_1.jpg",
        "c1_0101.jpg", ".jpg", "0101 _c1.jpg",
    )[number]  # fmt: skip
    return market_with(folder, [found]), OK if found == ".jpg" else REFUSED


assert len(KINDS) == 25, len(KINDS)
READ_AS_DATA_SETS = ("names: bytes, twins, controls", "names without identity or camera")
