"""Images: no hang, no traceback, no pixel that an independent decoder does not give."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from fuzz import images
from fuzz.child import digest, load_market, read, read_as_nobody, read_as_torchreid


def rule(path):
    """What an accepted file must give: decoded by OpenCV, or CMYK by its formula."""
    content = path.read_bytes()
    with Image.open(path) as image:
        if image.mode == "CMYK":
            bands = np.asarray(image).astype(int)
            clear = 255 - bands[..., 3:]
            product = bands[..., :3] * clear + 128
            return (clear - ((product + (product >> 8)) >> 8)).astype(np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    return np.ascontiguousarray(decoded[..., ::-1])


def try_one(child, tally, kind, number, folder):
    path, expected = images.make(kind, number, folder / f"{number}")
    if kind in images.READ_AS_DATA_SETS:
        outcome, answer, _ = child.run(load_market, path, patience=30)
        tally("images", kind, outcome)
    else:
        outcome, answer, _ = child.run(read, path)
        tally("images", kind, outcome)
        if outcome == "accepted":
            assert answer == digest(rule(path)), (kind, number)
        if number % 7 == 0:
            assert child.run(read_as_torchreid, path)[:2] == (outcome, answer)
    wanted = {
        images.OK: ("accepted",),
        images.REFUSED: ("refused (3)",),
        images.EITHER: ("accepted", "refused (3)"),
    }
    assert outcome in wanted[expected], (kind, number, outcome, answer)


@pytest.mark.parametrize("kind", images.KINDS)
def test_images_of_every_kind(child, tally, tmp_path, kind):
    for number in (2, 7):
        try_one(child, tally, kind, number, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", images.KINDS)
def test_all_images_of_a_kind(child, tally, tmp_path, kind):
    for number in set(range(images.EACH)) - {2, 7}:
        try_one(child, tally, kind, number, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become nobody")
def test_a_file_without_permission_is_refused(child, tmp_path):
    path, _ = images.make("JPEG", 0, tmp_path)
    path.chmod(0)
    outcome, answer, _ = child.run(read_as_nobody, path)
    assert outcome == "refused (3)"
    assert "Permission denied" in answer
