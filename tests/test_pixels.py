import numpy as np
import pytest
import torch

from torchreid_adv.core import pixels


def test_every_level_survives_the_way_to_a_tensor_and_back():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    tensor = pixels.to_tensor(image)
    assert tensor.shape == (3, 16, 16)
    assert float(tensor.max()) == 1.0
    assert (pixels.to_uint8(tensor) == image).all()


@pytest.mark.parametrize("levels", range(256))
def test_whole_levels_of_a_whole_number_is_that_number(levels):
    assert pixels.whole_levels(pixels.from_levels(levels)) == levels
    assert pixels.whole_levels(float(np.float32(levels) / np.float32(255))) == levels


def test_whole_levels_rounds_down():
    assert pixels.whole_levels(pixels.from_levels(5.9)) == 5


def test_quantize_rounds_and_keeps_the_bound_in_integers():
    clean = torch.tensor([100, 200, 0, 255, 10]).float().div(255).view(1, 1, 1, 5)
    moved = clean + torch.tensor([5.49, -9.0, -3.0, 4.0, 0.4]).div(255)
    stored = pixels.quantize(moved, clean, 5 / 255).mul(255).round().int().flatten().tolist()
    assert stored == [105, 195, 0, 255, 10]


def test_quantize_without_a_bound_only_rounds():
    image = torch.rand(3, 8, 8)
    stored = pixels.quantize(image, torch.zeros_like(image), None)
    assert torch.equal(stored, image.mul(255).round().div(255))


def test_quantize_is_idempotent():
    clean, moved = torch.randint(256, (2, 3, 9, 7)).float().div(255)
    once = pixels.quantize(moved, clean, 8 / 255)
    assert torch.equal(pixels.quantize(once, clean, 8 / 255), once)
