"""Checks of the bytes of an image file before decoding: damage, and traps for the decoder.

Pillow does not verify the checksums of a PNG's pixels, so a flipped bit can silently change some of
them; and a small file can keep it busy for minutes. It also decodes files whose pixel data end
before the last row, and fills the rest with gray or black.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
MAX_PARTS = 100_000  # chunks of a PNG, segments of a JPEG header; each takes some microseconds
# no 0xFF: data bits without markers
FURTHER = bytes((183 + 89 * n + n * n) % 251 for n in range(96))
MAX_SCANS = 100  # of a progressive JPEG, each a pass over all pixels; encoders write about ten

FILL = b"\xff"
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_PIECE = 2**20  # bytes decompressed at a time
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the color type of a PNG
_ADAM7 = (  # left, top, and steps right and down of the passes of an interlaced PNG
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_END_OF_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_BARE = (0xD8, 0x01, *range(0xD0, 0xD8))  # JPEG markers without a length


def fault(content: bytes) -> str:
    """Return what is wrong with the content of an image file, "" if nothing is found."""
    if content.startswith(PNG):
        return _png_fault(content)
    return _jpeg_fault(content) if content.startswith(JPEG) else ""


def _png_fault(content: bytes) -> str:
    view = memoryview(content)
    place = len(PNG)
    for _ in range(MAX_PARTS):
        if place + 12 > len(content):
            return "it is cut off"
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            return "it is cut off"
        if zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            return "a checksum in it is wrong, it was damaged"
        if kind == b"IEND":
            return ""
        place = end + 4
    return f"it has more than {MAX_PARTS} chunks"


def _jpeg_fault(content: bytes) -> str:
    if content.count(_SCAN) > MAX_SCANS:
        return f"it has more than {MAX_SCANS} scans"
    place = len(JPEG)
    for _ in range(MAX_PARTS):
        marker = content[place : place + 4]
        if len(marker) < 4 or marker.startswith(_SCAN):
            return ""
        if marker[:1] != FILL or marker[1:2] in (b"\0", FILL):
            place += 1  # Pillow also skips these byte by byte
        elif marker[1] in _BARE:
            place += 2
        else:
            place += 2 + max(2, struct.unpack_from(">H", marker, 2)[0])
    return f"its header has more than {MAX_PARTS} segments"


def png_size(content: bytes) -> tuple[int, int] | None:
    """Return height and width of a PNG from its header, None if it is cut off."""
    if len(content) < 24:
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return height, width


def png_ends_early(content: bytes) -> bool:
    """Tell whether the pixel data of a PNG hold fewer rows than its header says."""
    stream, missing = zlib.decompressobj(), _png_bytes(content)
    for part in _png_data(content):
        while part and missing > 0 and not stream.eof:
            missing -= len(stream.decompress(part, _PIECE))
            part = stream.unconsumed_tail
    while missing > 0 and not stream.eof:
        piece = stream.decompress(b"", _PIECE)
        missing -= len(piece)
        if not piece:
            break
    return missing > 0


def _png_data(content: bytes) -> Iterator[bytes]:
    place = len(PNG)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"IDAT":
            yield content[place + 8 : place + 8 + length]
        place += 12 + length


def _png_bytes(content: bytes) -> int:
    """Return the number of bytes of the rows of a PNG, each with its filter byte."""
    width, height, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    bits = depth * _CHANNELS[color]
    total = 0
    for left, top, right, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def lacks_scans(content: bytes) -> bool:
    """Tell whether a progressive JPEG ends before the scan that completes its coefficients."""
    left: dict[tuple[int, int], int] = {}  # component and coefficient -> bits still to come
    for _, kind, body in _places(content):
        if kind == 0xC2:
            left |= {(body[6 + 3 * n], k): 16 for n in range(body[5]) for k in range(64)}
        elif kind == 0xDA and left:
            first, last, bits = body[-3], body[-2], body[-1] & 15
            components = body[1 : 1 + 2 * body[0] : 2]
            left |= {
                (component, k): bits
                for component in components
                for k in range(first, min(last, 63) + 1)
            }
    return any(left.values())


def with_further_data(content: bytes) -> bytes:
    """Return a JPEG with extra bits at the end of every scan and restart interval.

    A decoder skips them if the data are complete, and decodes them as pixels if not.
    """
    pieces, place, restarts = [], 0, False
    for start, kind, _ in _places(content):
        restarts |= kind == 0xDD
        if kind != 0xDA:
            continue
        stop = _end_of_scan(content, start)
        data, count = _RESTART.subn(lambda marker: FURTHER + marker[0], content[start:stop])
        further = FURTHER + FILL + bytes([0xD0 + count % 8]) + FURTHER if restarts else FURTHER
        pieces += [content[place:start], data, further]
        place = stop
    return b"".join([*pieces, content[place:]])


def _places(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the end of each segment of a JPEG, the kind of its marker and its content."""
    place = len(JPEG)
    while place + 4 <= len(content):
        marker = content[place : place + 4]
        if marker.startswith(_END):
            return
        if marker[:1] != FILL or marker[1:2] in (b"\0", FILL):
            place += 1
        elif marker[1] in _BARE:
            place += 2
        else:
            begin, place = place + 4, place + 2 + max(2, struct.unpack_from(">H", marker, 2)[0])
            yield place, marker[1], content[begin:place]
            if marker.startswith(_SCAN):
                place = _end_of_scan(content, place)


def _end_of_scan(content: bytes, start: int) -> int:
    end = _END_OF_SCAN.search(content, start)
    return end.start() if end else len(content)
