"""What the bytes of an image file tell before it is decoded: damage, and traps for the decoder.

Pillow does not compare the checksums of a PNG's pixels, so that a flipped bit can change some of
them without a word; and a small file can keep it busy for minutes.
"""

from __future__ import annotations

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
MAX_PARTS = 100_000  # chunks of a PNG, segments of a JPEG header; each costs some microseconds
MAX_SCANS = 100  # of a progressive JPEG, each a pass over all pixels; encoders write about ten

FILL = b"\xff"
_SCAN = b"\xff\xda"
_BARE = (0xD8, 0x01, *range(0xD0, 0xD8))  # JPEG markers without a length


def fault(content: bytes) -> str:
    """Return what is wrong with the content of an image file, "" where nothing shows."""
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
            place += 1  # which Pillow skips byte by byte, too
        elif marker[1] in _BARE:
            place += 2
        else:
            place += 2 + max(2, struct.unpack_from(">H", marker, 2)[0])
    return f"its header has more than {MAX_PARTS} segments"
