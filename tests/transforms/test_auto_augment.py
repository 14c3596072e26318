import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import AutoAugment, InterpolationMode

from torchreid_adv.benchmarks import published
from torchreid_adv.transforms.auto_augment import POLICIES, Augmentation, draw_augmentation
from torchreid_adv.transforms.boxes import Box

WHOLE = Box(0, 0, 64, 32)
IN_FLOAT32 = {"Color", "Contrast", "Sharpness", "ShearX"}  # torchvision rounds their magnitudes


@pytest.mark.parametrize("row", range(25))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_is_torchvisions(image, row, sign, monkeypatch):
    bicubic = POLICIES[row][0][0] == "ShearX"  # the paper's code shears so, and turns nearest
    mode = InterpolationMode.BICUBIC if bicubic else InterpolationMode.NEAREST
    theirs = AutoAugment(interpolation=mode, fill=[128.0] * 3)
    signs = torch.tensor([sign > 0] * 2)
    monkeypatch.setattr(theirs, "get_params", lambda rows: (row, torch.tensor([0.0, 0.0]), signs))
    ours = Augmentation(row, (True, True), (sign, sign)).of(image, WHOLE)
    difference = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs(image)))
    inexact = {name for name, *_ in POLICIES[row]} & IN_FLOAT32
    assert difference.max() <= (3 if inexact else 0)
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("row", range(25))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_legacy_row_is_the_published_one(image, row, sign, monkeypatch):
    monkeypatch.setattr(random, "choice", lambda signs: sign)
    theirs = image
    for _, operation, magnitude in published.policy()[row]:
        theirs = operation(theirs, magnitude)
    ours = Augmentation(row, (True, True), (sign, sign), legacy=True).of(image, WHOLE)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_rotation_goes_both_ways_but_in_legacy():
    image = np.zeros((64, 32, 3), np.uint8)
    image[10:14, 4:28] = 200
    picture = Image.fromarray(image)
    left, right = (Augmentation(10, (True, False), (s, s)).of(picture, WHOLE) for s in (1, -1))
    legacy = Augmentation(10, (True, False), (-1, -1), legacy=True).of(picture, WHOLE)
    assert left.tobytes() != right.tobytes()
    assert legacy.tobytes() == left.tobytes()
    assert left.getpixel((0, 63)) == (128, 128, 128)


def test_operations_come_as_often_as_the_policy_says():
    generator, count = torch.Generator().manual_seed(0), 20_000
    drawn = [draw_augmentation(generator) for _ in range(count)]
    names = Counter(
        name
        for a in drawn
        for (name, *_), done in zip(POLICIES[a.row], a.applied, strict=True)
        if done
    )
    expected = {
        "Equalize": 0.448,
        "Color": 0.152,
        "Rotate": 0.144,
        "Solarize": 0.144,
        "Posterize": 0.112,
        "Contrast": 0.08,
        "Invert": 0.072,
        "AutoContrast": 0.048,
        "ShearX": 0.024,
        "Sharpness": 0.016,
    }
    assert {n: c / count for n, c in names.items()} == pytest.approx(expected, abs=0.012)
    assert sum(not any(a.applied) for a in drawn) / count == pytest.approx(0.15, abs=0.012)
    assert sum(a.signs[0] for a in drawn) / count == pytest.approx(0, abs=0.03)


def test_a_row_that_does_nothing_leaves_the_image(image):
    nothing = Augmentation(3, (False, False), (1, 1))
    assert nothing.of(image, WHOLE).tobytes() == image.tobytes()
    assert str(nothing) == "unchanged"
    assert str(Augmentation(18, (True, True), (1, 1))) == "ShearX, Equalize"
