"""Attention, features and noise by hand and by slow code."""

import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scripts.tiny_model import Tiny
from torch.nn import functional as F

from torchreid_adv.defenses import build_defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.report.attention import (
    ModelImages,
    agreement,
    attention_maps,
    last_layer,
    overlay,
)
from torchreid_adv.report.embedding import KINDS, cloud, variants
from torchreid_adv.report.stages import kept, noises, sparsity


def images(count, seed=0):
    generator = np.random.default_rng(seed)
    return [
        Image.fromarray(generator.integers(0, 256, (64, 32, 3), np.uint8)) for _ in range(count)
    ]


@pytest.fixture
def sitting():
    torch.manual_seed(3)
    model = PixelModel(Tiny().eval(), size=(64, 32))
    clean = images(3)
    moved = [np.asarray(image).astype(int) + 4 * (-1) ** n for n, image in enumerate(clean)]
    adversarial = [Image.fromarray(m.clip(0, 255).astype(np.uint8)) for m in moved]
    return ModelImages("T", model, clean, adversarial)


def grad_cam_by_hand(network, image, reference):
    """Maps weighted by their mean gradients, the positive part, stretched to the input."""
    maps = network.norm(network.conv(image)).relu().detach().requires_grad_()
    pooled = network.pool(maps)  # relu is a function, so the pooling layer is the last one
    pooled = pooled.detach().requires_grad_()
    (network.linear(pooled.flatten(1)) * reference).sum().backward()
    weights = pooled.grad.mean((2, 3), keepdim=True)
    found = (weights * pooled).sum(1).relu()[0].detach().numpy()
    found = (found - found.min()) / (1e-7 + found.max() - found.min())
    return found


def test_maps_are_grad_cam_of_the_projection_on_the_clean_feature(sitting):
    toward = sitting.features(sitting.clean)
    maps = attention_maps(sitting, sitting.adversarial, toward)
    assert [one.shape for one in maps] == [(64, 32)] * 3
    assert all(one.min() >= 0 and one.max() <= 1 for one in maps)
    for number, image in enumerate(sitting.inputs(sitting.adversarial).split(1)):
        coarse = grad_cam_by_hand(sitting.model.network, image, toward[number])
        shrunk = F.adaptive_avg_pool2d(torch.from_numpy(maps[number])[None], (8, 4))[0].numpy()
        assert np.corrcoef(coarse.ravel(), shrunk.ravel())[0, 1] > 0.95


def test_the_network_is_left_as_it_was(sitting):
    network = sitting.model.network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attention_maps(sitting, sitting.clean, sitting.features(sitting.clean))
    assert network.training
    assert all(weight.grad is None for weight in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.conv._forward_hooks


def test_the_last_layer_with_places_is_found(sitting):
    network = sitting.model.network
    assert last_layer(network, torch.zeros(1, 3, 64, 32)) is network.pool
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    with pytest.raises(ConfigError, match="no layer with a spatial map"):
        last_layer(flat, torch.zeros(1, 3, 2, 2))


def test_without_the_package_a_sentence_says_what_to_install(sitting, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(ConfigError, match=r"pip install 'torchreid_adv\[pictures\]'"):
        attention_maps(sitting, sitting.clean, sitting.features(sitting.clean))


def test_agreement_is_correlation():
    ramp = np.linspace(0, 1, 12).reshape(4, 3)
    assert agreement([ramp, ramp, ramp], [2 * ramp + 1, -ramp, 0 * ramp]) == pytest.approx(
        [1, -1, 0]
    )


def test_an_overlay_is_warm_where_the_map_is_high():
    gray = Image.new("RGB", (4, 8), (128, 128, 128))
    found = np.zeros((8, 4), np.float32)
    found[:4] = 0.95
    shown = np.asarray(overlay(gray, found)).astype(int)
    assert shown.shape == (8, 4, 3)
    assert (shown[0, :, 0] > shown[0, :, 2] + 50).all()
    assert (shown[7, :, 2] > shown[7, :, 0]).all()


@pytest.mark.parametrize(
    ("values", "sparse"),
    [
        ([1, -1, 1, -1], 0.0),
        ([0, 0, 5, 0], 1.0),
        ([0, 0, 0, 0], 0.0),
        ([3, 4, 0, 0], (2 - 7 / 5) / (2 - 1)),
    ],
)
def test_sparsity_by_hand(values, sparse):
    assert sparsity(torch.tensor(values, dtype=torch.float32)) == pytest.approx(sparse)


def test_noise_of_a_stage_is_the_difference_of_what_it_makes_of_both(sitting):
    stage = build_defense("circuitous_scaling", sizes=[[28, 12]], final=(64, 32))
    before, (after,) = noises(sitting, 0, {"A": stage})
    pair = [np.asarray(side[0]) / 255 for side in (sitting.clean, sitting.adversarial)]
    assert np.allclose(before.numpy(), (pair[1] - pair[0]).transpose(2, 0, 1), atol=1e-6)
    both = [stage(torch.from_numpy(one).float().permute(2, 0, 1)[None])[0] for one in pair]
    assert torch.allclose(after, both[1] - both[0], atol=1e-6)
    energy = float((both[1] - both[0]).square().sum() / before.square().sum())
    assert kept(before, after) == pytest.approx(energy, rel=1e-4)
    assert kept(torch.zeros(2), torch.zeros(2)) == 0


def test_variants_are_gray_sketch_and_fusions_the_same_for_a_seed():
    (image,) = images(1)
    first, again, other = (variants(image, seed) for seed in (1, 1, 2))
    assert len(first) == len(KINDS) == 16
    assert [one.tobytes() for one in first] == [one.tobytes() for one in again]
    assert [one.tobytes() for one in first[2:]] != [one.tobytes() for one in other[2:]]
    gray = np.asarray(first[0])
    assert (gray == np.asarray(image.convert("L"))[..., None]).all()


def test_distances_of_a_cloud_are_means_of_cosine_distances(sitting):
    found = cloud(sitting, 2)
    assert found.variants.shape == (2, 16, 16)
    clean, after = (sitting.features(side[:2]) for side in (sitting.clean, sitting.adversarial))
    slow = [1 - F.cosine_similarity(a, b, dim=0).item() for a, b in zip(clean, after, strict=True)]
    assert found.distances["adversarial"] == pytest.approx(sum(slow) / 2, abs=1e-6)
    slow = [
        1 - F.cosine_similarity(clean[n], sitting.features([one])[0], dim=0).item()
        for n in range(2)
        for one in variants(sitting.clean[n], n)
    ]
    assert found.distances["variants"] == pytest.approx(math.fsum(slow) / len(slow), abs=1e-5)
