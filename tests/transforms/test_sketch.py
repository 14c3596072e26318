import cv2
import numpy as np
import pytest
from PIL import Image

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.channels import blurred, sketch_box, sketched

SIZES = [(256, 128), (64, 32), (14, 14), (5, 3), (1, 40), (40, 1), (1, 1), (333, 211)]


def by_opencv(gray: np.ndarray) -> np.ndarray:
    """The paper's sketch, as its code asks OpenCV for it."""
    blur = cv2.GaussianBlur(255 - gray, ksize=(27, 27), sigmaX=0, sigmaY=0).reshape(gray.shape)
    return np.asarray(cv2.divide(gray, 255 - blur, scale=256)).reshape(gray.shape)


def by_formula(gray: np.ndarray) -> np.ndarray:
    """Float64 Gaussian of sigma 4.4 with mirrored borders, then the dodge."""
    reach = 13
    weights = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * 4.4**2))
    weights /= weights.sum()
    padded = np.pad(255.0 - gray, reach, mode="reflect")
    rows = np.apply_along_axis(np.convolve, 1, padded, weights, mode="valid")
    blur = np.rint(np.apply_along_axis(np.convolve, 0, rows, weights, mode="valid"))
    divisor = 255 - blur
    dodged = 256.0 * gray / np.where(divisor == 0, 1, divisor)
    return np.where(divisor == 0, 0, np.rint(dodged).clip(0, 255))


@pytest.mark.parametrize("size", SIZES)
def test_the_blur_is_opencvs_to_the_bit(size):
    draw = np.random.default_rng(1)
    for deviation in (5, 40, 400):
        levels = draw.normal(128, deviation, size).clip(0, 255).astype(np.uint8)
        expected = cv2.GaussianBlur(levels, (27, 27), 0).reshape(size)
        assert np.array_equal(blurred(levels).reshape(size), expected)


def test_the_blur_rounds_ties_as_opencv():
    """Of 2**16 possible sums one is a tie, so that only many pixels tell."""
    levels = np.random.default_rng(2).integers(0, 256, (1024, 1024), dtype=np.uint8)
    assert np.array_equal(blurred(levels), cv2.GaussianBlur(levels, (27, 27), 0))


@pytest.mark.parametrize("size", SIZES)
def test_a_sketch_is_opencvs_to_the_bit(size):
    gray = np.random.default_rng(3).integers(0, 256, size, dtype=np.uint8)
    assert np.array_equal(sketched(gray), by_opencv(gray))


def test_a_sketch_is_near_the_formula_in_floats(image):
    gray = np.asarray(image.convert("L"))
    difference = np.abs(sketched(gray).astype(float) - by_formula(gray))
    assert difference.max() <= 6  # steep where the divisor is small
    assert difference.mean() < 0.5


def test_flat_images_become_white_and_black_stays_black():
    for level, expected in ((0, 0), (1, 255), (128, 255), (255, 255)):
        flat = np.full((40, 30), level, np.uint8)
        assert (sketched(flat) == expected).all()


@pytest.mark.parametrize(
    "box", [Box(0, 0, 64, 32), Box(20, 10, 9, 7), Box(0, 0, 1, 1), Box(60, 25, 4, 7)]
)
def test_the_sketch_of_a_box_is_the_boxs_part_of_the_whole(image, box):
    whole = by_opencv(np.asarray(image.convert("L")))
    part = whole[box.top : box.top + box.height, box.left : box.left + box.width]
    assert np.array_equal(np.asarray(sketch_box(image, box)), part)


def test_the_entry_shows_the_sketch_in_every_channel(image):
    result = TRANSFORMS.build("sketch", p=1.0)(image)
    expected = by_opencv(np.asarray(image.convert("L")))
    assert result.mode == "RGB"
    assert all(np.array_equal(np.asarray(band), expected) for band in result.split())
    assert isinstance(result, Image.Image)
