"""Hostile names of files, data sets and images: 50, most of which would lead out of a folder."""

import pytest

NAMES = [
    # up and away
    "..", "../bait.png", "../../bait.png", "query/../../bait.png", "query/../../../etc/passwd",
    "./../bait.png", "query/..", ".", "", "/", "//", "/etc/passwd", "//host/share/a.png",
    "{outside}/bait.png", "query//{outside}/bait.png", "~/bait.png/..", "~root/../a",
    "file:///etc/passwd", "https://example.org/a.png",
    # Windows
    "C:\\bait.png", "C:bait.png", "\\\\host\\share\\a.png", "..\\bait.png",
    "query\\..\\..\\bait.png",
    "CON", "query/nul.png", "COM1.png", "LPT9", "aux", "a.png:stream", "a.png.", "a ",
    "query. /a.png",
    # characters
    "a\0.png", "../bait.png\0.png", "a\n.png", "a\r\nb.png", "\x1b[2J\x1b]0;x\x07.png",
    "a\u202egnp.png",
    "a\u2028b.png", "\udcff.png", "\ud800.png", "\ufffe.png", "a\x7f.png",
    # long and many
    "a" * 300 + ".png", "a/" * 2000 + "b.png", "../" * 500 + "etc/passwd",
    # links that lie in the folder
    "link/bait.png", "link.png", "chain/link/bait.png", "loop/a.png", "absolute.png",
]  # fmt: skip
# harmless, and usual somewhere
PLAIN = ["=cmd.png", "-rf.png", "query/$(touch x).png", "query/`x`;&|.png", "'; DROP TABLE.png",
         "query/%2e%2e/a.png", "~/a.png", "query/<script>.png"]  # fmt: skip

STEP = 6  # the sample: every so many


every = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, id=ascii(name)[:40], marks=() if number % STEP == 0 else pytest.mark.slow
        )
        for number, name in enumerate(NAMES + PLAIN)
    ],
)
