"""SSIM against a slow loop over windows, and of files."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.similarity import ssim
from torchreid_adv.report.noise import file_similarity


def slow(x, y):
    """Wang et al., eq. 13, window by window, in plain numbers."""
    weights = np.array(
        [[math.exp(-(a * a + b * b) / 4.5) for b in range(-5, 6)] for a in range(-5, 6)]
    )
    weights /= weights.sum()
    values = []
    for c in range(x.shape[0]):
        for top in range(x.shape[1] - 10):
            for left in range(x.shape[2] - 10):
                u, v = (im[c, top : top + 11, left : left + 11] for im in (x, y))
                mu, mv = (weights * u).sum(), (weights * v).sum()
                var_u, var_v = (weights * (u - mu) ** 2).sum(), (weights * (v - mv) ** 2).sum()
                both = (weights * (u - mu) * (v - mv)).sum()
                top_line = (2 * mu * mv + 1e-4) * (2 * both + 9e-4)
                values.append(top_line / ((mu**2 + mv**2 + 1e-4) * (var_u + var_v + 9e-4)))
    return np.mean(values)


def test_it_is_what_a_slow_loop_finds():
    images = np.random.default_rng(0).random((2, 3, 14, 13))
    found = ssim(*(torch.from_numpy(image)[None] for image in images))
    assert found.shape == (1,)
    assert float(found) == pytest.approx(slow(*images), abs=1e-9)


def test_an_image_is_itself_and_a_small_change_leaves_more_than_another_image():
    first, second = torch.rand(2, 1, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    assert float(ssim(first, first)) == pytest.approx(1)
    changed = (first + 8 / 255 * torch.sign(second - 0.5)).clamp(0, 1)
    assert float(ssim(first, changed)) > 0.8 > 0.3 > float(ssim(first, second))


def test_a_file_is_held_against_its_own_stored_form_at_that_size(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    image.resize((60, 80), Image.Resampling.BILINEAR).save(tmp_path / "b.png")
    assert file_similarity(tmp_path / "a.png", tmp_path / "b.png") == pytest.approx(1)


def test_images_of_two_sizes_are_a_sentence():
    with pytest.raises(ConfigError, match="11 pixels or more each way"):
        ssim(torch.rand(1, 3, 12, 12), torch.rand(1, 3, 12, 13))
