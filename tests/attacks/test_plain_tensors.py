"""Attacks on plain tensors: what a batch with references gives, in the form that was given."""

import numpy as np
import pytest
import torch
from people import HEIGHT, WIDTH, Stripes, pixel_model
from torch import nn

import torchreid_adv as adv
from torchreid_adv.attacks import References
from torchreid_adv.core.pixels import to_uint8
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import ATTACKS

EPS = 8 / 255
PIDS = [3, 3, 5, 5]


@pytest.fixture
def model():
    return pixel_model(Stripes())


@pytest.fixture
def levels():
    draws = np.random.default_rng(0).integers(0, 256, (4, 3, HEIGHT, WIDTH), dtype=np.uint8)
    return torch.from_numpy(draws)


def batch_of(levels, pids):
    return adv.Batch(levels.float() / 255, pids=torch.tensor(pids))


def features_of(model, batch):
    with torch.no_grad():
        values = model(batch.images)
    return adv.Features(values, batch.pids, torch.zeros_like(batch.pids), batch.image_ids)


@pytest.mark.parametrize("name", ["fgsm", "ifgsm", "mifgsm", "sma", "pgd", "square"])
def test_images_of_one_identity_are_each_other_s_references(model, levels, name):
    attack = adv.build_attack(name, eps=EPS)
    batch = batch_of(levels, PIDS)
    references = References(features_of(model, batch), "leave_one_out")
    expected = to_uint8(attack(model, batch, references).images)
    moved = attack(model, levels, pids=PIDS)
    assert moved.dtype == torch.uint8
    difference = (moved.int() - levels.int()).abs()
    assert 0 < int(difference.max()) <= 8
    assert np.array_equal(moved.permute(0, 2, 3, 1).numpy(), expected)


def test_every_dtype_gives_the_same_whole_levels(model, levels):
    attack = adv.build_attack("ifgsm", eps=EPS)
    expected = attack(model, levels, pids=torch.tensor(PIDS))
    for dtype in (torch.float32, torch.float64):
        moved = attack(model, levels.to(dtype) / 255, pids=PIDS)
        assert moved.dtype == dtype
        assert not moved.requires_grad
        assert torch.equal((moved * 255).round().to(torch.uint8), expected)
        assert float((moved * 255 - (moved * 255).round()).abs().max()) < 1e-4


def test_a_bound_between_levels_is_kept_by_what_is_saved(model, levels):
    moved = adv.build_attack("ifgsm", eps=2.7 / 255)(model, levels, pids=PIDS)
    assert int((moved.int() - levels.int()).abs().max()) == 2


def test_floats_between_levels_are_left_between_them(model):
    images = torch.rand(4, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    kept = images.clone()
    moved = adv.build_attack("ifgsm", eps=EPS)(model, images, pids=PIDS)
    assert torch.equal(images, kept)
    assert 0 < float((moved - images).abs().max()) <= EPS + 1e-6
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


def test_a_gallery_is_what_images_are_held_against(model, levels):
    attack = adv.build_attack("ifgsm", eps=EPS)
    queries, gallery = levels[[0, 2]], levels[[1, 3]]
    moved = attack(model, queries, pids=[3, 5], gallery=gallery, gallery_pids=[3, 5])
    of_gallery = features_of(model, batch_of(gallery, [3, 5]))
    assert torch.equal(moved, attack(model, queries, pids=[3, 5], gallery=of_gallery))
    assert torch.equal(moved, attack(model, levels, pids=PIDS)[[0, 2]])  # the same references
    references = References(of_gallery)
    assert torch.equal(moved, attack(model, queries, references, pids=[3, 5]))


def test_the_attack_moves_features_away(model, levels):
    moved = adv.build_attack("ifgsm", eps=EPS)(model, levels, pids=PIDS)
    clean, after = model(levels.float() / 255), model(moved.float() / 255)
    pairs = [(0, 1), (2, 3)]
    for one, other in pairs:
        assert (after[one] - clean[other]).norm() > 1.1 * (clean[one] - clean[other]).norm()


def test_an_image_alone_is_its_own_reference_where_that_can_be(model, levels):
    for name in ("sma", "pgd"):
        moved = adv.build_attack(name, eps=EPS)(model, levels)
        assert bool((moved != levels).flatten(1).any(1).all())
    for name in ("ifgsm", "fgsm", "mifgsm"):
        with pytest.raises(ConfigError, match=r"4 of 4 images.*pids=.*gallery=") as error:
            adv.build_attack(name, eps=EPS)(model, levels)
        assert name in str(error.value)
    with pytest.raises(ConfigError, match=r"2 of 4 images \(first: 2, 3\)"):
        adv.build_attack("ifgsm", eps=EPS)(model, levels, pids=[1, 1, 2, 3])


NEED_MORE = {  # a classifier, or what was learned before
    "classification_ifgsm": "linear layer",
    "mis_ranking": "adv.attack.weights",
    "universal": "adv.attack.weights",
}


@pytest.mark.parametrize("name", ATTACKS.public)
def test_every_attack_takes_tensors_or_says_what_it_lacks(model, levels, name):
    if name in NEED_MORE:
        with pytest.raises(ConfigError, match=NEED_MORE[name]):
            adv.build_attack(name, eps=EPS)(model, levels, pids=PIDS)
        return
    moved = adv.build_attack(name, eps=EPS)(model, levels, pids=PIDS)
    assert moved.shape == levels.shape
    assert moved.dtype == torch.uint8
    assert int((moved.int() - levels.int()).abs().max()) <= 8 or name in ("odfa", "fna")


def test_modules_are_wrapped_where_their_input_is_known(levels):
    network = Stripes()
    attack = adv.build_attack("ifgsm", eps=EPS)
    with pytest.raises(ConfigError, match="size=, mean=, std="):
        attack(network, levels, pids=PIDS)
    network.pretrained_cfg = {
        "input_size": (3, HEIGHT, WIDTH), "mean": (0, 0, 0), "std": (1, 1, 1),
    }  # fmt: skip
    moved = attack(network.eval(), levels, pids=PIDS)
    assert torch.equal(moved, attack(pixel_model(network), levels, pids=PIDS))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((1, 3, 4, 4)), {}, "got ndarray"),
        (torch.zeros(3, 4, 4), {}, r"got \(3, 4, 4\)"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), {}, "int64"),
        (torch.full((2, 3, 4, 4), 200.0), {}, r"\[200, 200\]"),
        (torch.zeros(2, 3, 4, 4), {"pids": [1]}, "one number for each of 2 images"),
        (torch.zeros(2, 3, 4, 4), {"gallery": torch.zeros(2, 3, 4, 4)}, "gallery_pids="),
    ],
)
def test_what_is_wrong_is_said(model, images, labels, words):
    with pytest.raises(ConfigError, match=words):
        adv.build_attack("ifgsm", eps=EPS)(model, images, **labels)


def test_the_model_is_left_as_it_was(levels):
    network = nn.Sequential(nn.Dropout(), Stripes())
    model = pixel_model(network).train()
    weights = [p.requires_grad for p in model.parameters()]
    adv.build_attack("ifgsm", eps=EPS)(model, levels, pids=PIDS)
    assert model.training
    assert network.training
    assert [p.requires_grad for p in model.parameters()] == weights
