"""A model behind a defense is a model: sizes, draws, weights, wrappers, files."""

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from torchreid_adv.core.batch import pad
from torchreid_adv.defenses import Defended, Defense, build_defense
from torchreid_adv.defenses.base import other_draws
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import Ensemble, PixelModel, fingerprint
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.prepare import Prepared

SIZE = (64, 32)
SIZES = [(64, 32), (50, 40), (70, 29), (64, 32)]


def crops(sizes=SIZES):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(256, (3, h, w), generator=generator) / 255 for h, w in sizes]


def pixel_model(network=None, size=SIZE):
    return PixelModel(network or nn.Flatten(), size=size)


DEFENSES = [
    ("circuitous_scaling", {"final": [64, 32]}),
    ("circuitous_scaling", {"final": [64, 32], "randomized": 10}),
    ("circuitous_scaling", {"final": [64, 32], "exact": True}),
    ("jpeg", {}),
    ("rrp_xie", {"final": [64, 32]}),
    ("total_variation", {"steps": 5}),
]


@pytest.mark.parametrize(("name", "options"), DEFENSES)
def test_images_of_many_sizes_are_as_alone(name, options):
    images = crops()
    model = Defended(build_defense(name, **options), pixel_model(), draws=1)
    canvas, sizes = pad(images)
    canvas[1, :, 50:] = 0.7  # what pads the canvas does not matter
    together = model(canvas, sizes=sizes)
    for row, image in enumerate(images):
        assert torch.equal(together[row], model(image[None])[0])


def test_the_defense_comes_before_the_models_resize():
    image, defense = crops()[1][None], build_defense("jpeg", quality=30)
    model = pixel_model()
    assert torch.equal(Defended(defense, model)(image), model(defense(image)))


def test_features_of_draws_are_averaged():
    defense = build_defense("rrp_xie", final=[64, 32], seed=3)
    canvas, sizes = pad(crops())
    model, found = pixel_model(), Defended(defense, pixel_model(), draws=4)(canvas, sizes=sizes)
    for row, image in enumerate(crops()):
        draws = [model(defense(image[None]))]
        for number in range(1, 4):
            with other_draws("draw", number):
                draws.append(model(defense(image[None])))
        assert not torch.equal(draws[0], draws[1])
        assert torch.allclose(found[row], torch.cat(draws).mean(0), atol=1e-6)


def test_tracklets_are_taken():
    clips = torch.stack([torch.stack(crops([(64, 32)] * 3)) for _ in range(2)])
    model = Defended(build_defense("jpeg"), pixel_model())
    assert torch.equal(model(clips), model(clips.flatten(0, 1)))


class Clips(nn.Module):
    def forward(self, images):
        assert images.shape[:3] == (4, 3, 3)  # two draws of two clips
        return images.mean((1, 3, 4))


def test_a_model_of_tracklets_is_given_tracklets():
    clips = torch.stack([torch.stack(crops([(64, 32)] * 3)) for _ in range(2)])
    model = Defended(build_defense("rrp_xie"), Clips(), draws=2)
    assert model(clips).shape == (2, 3)


def test_weights_have_the_names_of_the_model_and_load_through_it():
    network = build_network("osnet_x0_25")
    model = Defended(build_defense("jpeg"), network)
    assert [*model.state_dict()] == [*network.state_dict()]
    other = build_network("osnet_x0_25")
    model.load_state_dict(other.state_dict())
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    parallel = nn.DataParallel(Defended(build_defense("jpeg"), network))
    names = [f"module.{name}" for name in network.state_dict()]
    assert [*parallel.state_dict()] == names
    parallel.load_state_dict(parallel.state_dict())
    assert fingerprint(Defended(build_defense("jpeg"), pixel_model(network)).network) == (
        fingerprint(network)
    )


def test_torchreids_loader_fills_it(tmp_path):
    source, network = build_network("osnet_x0_25"), build_network("osnet_x0_25")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "weights.pth")
    model = Defended(build_defense("jpeg"), network)
    torchreid_module("utils").load_pretrained_weights(model, str(tmp_path / "weights.pth"))
    assert torch.equal(network.conv1.conv.weight, source.conv1.conv.weight)


def test_a_copy_is_whole():
    model = Defended(build_defense("jpeg"), pixel_model(build_network("osnet_x0_25")))
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert isinstance(twin, Defended)
    assert [*twin.state_dict()] == [*model.state_dict()]
    twin.load_state_dict(model.state_dict())


def test_torchreid_counts_the_parameters_once():
    count = torchreid_module("utils").compute_model_complexity
    network = build_network("osnet_x0_25")
    params, flops = count(network, (1, 3, 64, 32))
    defense = build_defense("circuitous_scaling", final=SIZE)
    assert count(Defended(defense, network), (1, 3, 64, 32)) == (params, flops)
    random = build_defense("circuitous_scaling", final=SIZE, randomized=10)
    assert count(Defended(random, network, draws=3), (1, 3, 64, 32)) == (params, 3 * flops)


def test_the_model_answers_for_what_is_not_here():
    model = Defended(build_defense("jpeg"), pixel_model())
    assert model.size == SIZE
    assert model.mean == model.model.mean
    with pytest.raises(AttributeError):
        _ = model.nothing_like_it


@pytest.mark.parametrize("name", ["circuitous_scaling", "rrp_xie", "jpeg"])
def test_prepared_gives_the_same_features(name):
    network = build_network("osnet_x0_25")
    options = {} if name == "jpeg" else {"final": [64, 32]}
    defense = build_defense(name, **options)
    model = Defended(defense, pixel_model(network), draws=2 if defense.random else 1).eval()
    images = torch.stack(crops([(64, 32)] * 2))
    with torch.no_grad():
        before, after = model(images), Prepared(model, images)(images)
    assert (before - after).abs().max() <= 1e-4 * before.abs().max()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in Prepared(model, images).modules())


@pytest.mark.parametrize(("name", "options"), DEFENSES)
def test_files_give_what_tensors_give_within_rounding(name, options):
    model = Defended(build_defense(name, **options), pixel_model(), draws=None)
    images = crops()
    transform = pickle.loads(pickle.dumps(model.file_transform()))
    files = [Image.fromarray((i * 255).round().byte().permute(1, 2, 0).numpy()) for i in images]
    found = model.of_files([transform(file) for file in files])
    canvas, sizes = pad(images)
    direct = model(canvas, sizes=sizes)
    # a rounding after the defense and two of Pillow's resize, half a level each
    assert (found - direct).abs().max() <= 1.6 / 255 / 0.22


def test_an_ensemble_behind_a_defense():
    members = [pixel_model(size=(64, 32)), pixel_model(size=(32, 16))]
    model = Defended(build_defense("jpeg"), Ensemble(members))
    images = torch.stack(crops([(64, 32)] * 2))
    assert model(images).shape == (2, 3 * (64 * 32 + 32 * 16))
    assert model.size == [(64, 32), (32, 16)]
    file = Image.fromarray(np.zeros((64, 32, 3), np.uint8))
    assert model.of_files([model.file_transform()(file)] * 2).shape == (2, 3 * (64 * 32 + 32 * 16))


def test_one_more_draw_changes_nothing_for_what_is_not_random():
    with pytest.raises(ConfigError, match="not random"):
        Defended(build_defense("jpeg"), pixel_model(), draws=2)
    with pytest.raises(ConfigError, match="1 or more"):
        Defended(build_defense("rrp_xie"), pixel_model(), draws=0)


@pytest.mark.parametrize(
    ("draws", "asked", "samples"), [(1, None, 10), (30, None, 1), (4, None, 3), (1, 7, 7)]
)
def test_an_attack_sees_ten_draws_unless_told_otherwise(draws, asked, samples):
    model = Defended(build_defense("rrp_xie"), pixel_model(), draws=draws, eot_samples=asked)
    assert model.eot_samples == samples
    assert Defended(build_defense("jpeg"), pixel_model(), eot_samples=asked).eot_samples == 1


class Halves(Defense):
    """A learned defense: its weights are its own."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def exact(self, images):
        return images * self.factor


def test_weights_of_a_defense_are_kept_apart():
    model = Defended(Halves(), nn.Linear(2, 2))
    assert {*model.state_dict()} == {"defense.factor", "weight", "bias"}
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    assert not model.defense.factor.any()
    assert not model.model.weight.any()


def test_a_defense_without_an_exact_form_says_so():
    with pytest.raises(TypeError, match="exact"):
        Defense()
