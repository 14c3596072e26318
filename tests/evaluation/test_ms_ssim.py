"""Structural similarity at several scales against loops over windows."""

import itertools
import math

import pytest
import torch

from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.similarity import WEIGHTS, ms_ssim


def pair(height, width, noise=0.1):
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, height, width, generator=draws, dtype=torch.float64)
    moved = images + noise * torch.randn(images.shape, generator=draws, dtype=torch.float64)
    return images, moved.clamp(0, 1)


def window():
    line = [math.exp(-(offset**2) / 4.5) for offset in range(-5, 6)]
    return torch.tensor([[a * b / sum(line) ** 2 for b in line] for a in line]).double()


def slow_parts(x, y):
    """The mean similarity of two planes and its mean without luminance, window by window."""
    weights, whole, structure = window(), [], []
    for top, left in itertools.product(range(x.shape[0] - 10), range(x.shape[1] - 10)):
        a, b = (plane[top : top + 11, left : left + 11] for plane in (x, y))
        mean_a, mean_b = float((weights * a).sum()), float((weights * b).sum())
        var_a = float((weights * (a - mean_a) ** 2).sum())
        var_b = float((weights * (b - mean_b) ** 2).sum())
        both = float((weights * (a - mean_a) * (b - mean_b)).sum())
        structure.append((2 * both + 0.0009) / (var_a + var_b + 0.0009))
        luminance = (2 * mean_a * mean_b + 0.0001) / (mean_a**2 + mean_b**2 + 0.0001)
        whole.append(luminance * structure[-1])
    return sum(whole) / len(whole), sum(structure) / len(structure)


def halved(plane):
    rows, columns = (math.ceil(side / 2) for side in plane.shape)
    small = torch.empty(rows, columns, dtype=plane.dtype)
    for row, column in itertools.product(range(rows), range(columns)):
        small[row, column] = plane[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean()
    return small


def test_two_scales_are_the_weighted_product_of_loops_over_windows():
    images, moved = pair(26, 23)  # half of it still holds a window, a quarter does not
    power = [weight / sum(WEIGHTS[:2]) for weight in WEIGHTS[:2]]
    for row in range(2):
        channels = []
        for x, y in zip(images[row], moved[row], strict=True):
            _, fine = slow_parts(x, y)
            coarse, _ = slow_parts(halved(x), halved(y))
            channels.append(fine ** power[0] * coarse ** power[1])
        found = ms_ssim(images, moved)[row]
        assert float(found) == pytest.approx(sum(channels) / 3, rel=1e-9)


@pytest.mark.parametrize("size", [(11, 16), (64, 32), (161, 170)])
def test_equal_images_are_alike_and_more_noise_is_less_alike(size):
    assert torch.allclose(ms_ssim(*pair(*size, noise=0)), torch.ones(2, dtype=torch.float64))
    small, large = ms_ssim(*pair(*size, noise=0.05)), ms_ssim(*pair(*size, noise=0.3))
    assert (large < small).all()
    assert (small < 1).all()


def test_opposite_images_still_have_a_gradient_that_is_finite():
    images, _ = pair(24, 24)
    moved = (1 - images).requires_grad_()
    ms_ssim(images, moved).sum().backward()
    assert moved.grad.isfinite().all()


def test_images_without_a_window_are_refused():
    with pytest.raises(ConfigError, match="11 pixels or more each way"):
        ms_ssim(*pair(10, 20))
