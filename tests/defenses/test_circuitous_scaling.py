"""Circuitous scaling against Pillow, its exact operator, and attacks that know of it or do not."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import build_attack
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import to_tensor
from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.defenses.circuitous_scaling import PRESETS, CircuitousScaling
from torchreid_adv.defenses.jpeg import Jpeg
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel

SIZE = (256, 128)
SIZES = {
    "A": [(110, 50)],
    "B": [(220, 100)],
    "AB": [(110, 50), (220, 100)],
    "jad": [(110, 50), (220, 100), (110, 50)],
    "jad2": [(90, 40), (200, 90), (90, 40)],
}


def scaling(preset, **options):
    return build_defense("circuitous_scaling", preset=preset, **options)


def smooth_images(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 16, 8, generator=draw)
    images = F.interpolate(small, SIZE, mode="bicubic", align_corners=False).clamp(0, 1)
    return (images * 255).round() / 255


def lines(length, sizes, antialias=True):
    """The matrix (length, length) of a chain along one side, by resizing unit vectors."""
    matrix = torch.eye(length, dtype=torch.float64)[:, None]
    for size in [*sizes, length]:
        # two columns, because PyTorch's antialiased resizing of a single one is wrong
        columns = matrix[..., None].expand(-1, -1, -1, 2)
        matrix = F.interpolate(columns, (size, 2), mode="bicubic", antialias=antialias)[..., 0]
    return matrix[:, 0].T


def factor(sizes, antialias=True):
    """Share of white noise's energy that a chain keeps."""
    down = lines(SIZE[0], [h for h, _ in sizes], antialias)
    along = lines(SIZE[1], [w for _, w in sizes], antialias)
    return float(down.pow(2).sum() / SIZE[0] * along.pow(2).sum() / SIZE[1])


@pytest.mark.parametrize(
    ("preset", "share"),
    [("jad", 0.0545), ("A", 0.0827), ("jad2", 0.0362), ("AB", 0.0793), ("B", 0.3316)],
)
def test_white_noise_keeps_the_known_share_of_its_energy(preset, share):
    assert abs(factor(SIZES[preset]) - share) < 5e-4
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(6, 3, *SIZE, generator=generator) * 0.01
    gray = torch.full_like(noise, 0.5)
    kept = (scaling(preset)(gray + noise) - 0.5).pow(2).sum() / noise.pow(2).sum()
    assert abs(float(kept) - share) < 0.03 * share


def test_without_antialiasing_the_noise_would_stay():
    assert factor(SIZES["jad"], antialias=False) > 0.4


def test_it_is_the_linear_operator_of_its_matrices():
    down = lines(SIZE[0], [h for h, _ in SIZES["jad"]])
    along = lines(SIZE[1], [w for _, w in SIZES["jad"]])
    images = 0.35 + 0.3 * torch.rand(2, 3, *SIZE, dtype=torch.float64)
    assert (scaling("jad")(images) - down @ images @ along.T).abs().max() < 1e-12


def test_sums_stay_sums():
    generator = torch.Generator().manual_seed(2)
    image = 0.4 + 0.2 * torch.rand(1, 3, *SIZE, generator=generator)
    noise = (torch.rand(1, 3, *SIZE, generator=generator) - 0.5) * 0.1
    defense, gray = scaling("jad"), torch.full_like(image, 0.5)
    change = defense(image + noise) - defense(image)
    assert (change - (defense(gray + noise) - defense(gray))).abs().max() < 1e-5


@pytest.mark.parametrize("preset", ["A", "B", "AB", "jad", "jad2"])
@pytest.mark.parametrize("exact", [False, True])
def test_one_color_stays_as_it_is(preset, exact):
    image = torch.tensor([0, 77, 255]).view(1, 3, 1, 1).expand(1, 3, 128, 64) / 255
    found = scaling(preset, exact=exact)(image.contiguous())
    assert (found - image[..., :1, :1]).abs().max() < 1e-6


def test_it_commutes_with_normalization():
    images = 0.3 + 0.4 * torch.rand(2, 3, *SIZE, dtype=torch.float64)
    model, defense = PixelModel(nn.Identity(), size=SIZE), scaling("jad")
    inside = torch.stack([(defense(image[None]) - 0.4)[0] / 0.2 for image in images])
    normalized = (images - 0.4) / 0.2
    scaled = (defense(normalized * 0.1 + 0.5) - 0.5) / 0.1  # brought to where nothing is clamped
    assert (inside - scaled).abs().max() < 1e-12
    assert model(defense(images)).shape == (2, 3, *SIZE)


def chain_with_pillow(levels, preset):
    picture = Image.fromarray(levels)
    for height, width in SIZES["AB" if preset == "jad3" else preset]:
        picture = picture.resize((width, height), Image.BICUBIC)
    if preset == "jad3":
        framed = Image.new("RGB", (picture.width + 10, picture.height + 10))
        framed.paste(picture, (5, 5))
        picture = framed.resize((50, 110), Image.BICUBIC)
    return np.asarray(picture.resize((SIZE[1], SIZE[0]), Image.BICUBIC))


@pytest.mark.parametrize("preset", [*SIZES, "jad3"])
@pytest.mark.parametrize("stored", [(128, 64), (256, 128), (71, 33)])
def test_tensors_are_near_pillow_and_exact_is_pillow(preset, stored):
    draws = np.random.default_rng(0)
    small = Image.fromarray(draws.integers(0, 256, (8, 4, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((stored[1], stored[0]), Image.BICUBIC))
    grainy = (smooth + draws.normal(0, 5, smooth.shape)).clip(0, 255).astype(np.uint8)
    noise = draws.integers(0, 256, (*stored, 3), dtype=np.uint8)
    most = 2 if len(PRESETS[preset]) == 1 else 3  # Pillow rounds after each of four or eight passes
    for levels in (smooth, grainy, noise):
        wanted = to_tensor(chain_with_pillow(levels, preset))
        image = to_tensor(levels)[None]
        assert torch.equal(scaling(preset, exact=True)(image)[0], wanted)
        difference = (scaling(preset)(image)[0] - wanted).abs() * 255
        assert difference.max() <= most
        assert difference.mean() <= 0.5


def test_every_preset_is_tested():
    assert {*SIZES, "jad3"} == set(PRESETS)


def test_the_gradient_of_a_small_chain_is_right():
    defense = build_defense(
        "circuitous_scaling", sizes=[[5, 4], [9, 7], [5, 4]], final=[8, 6]
    ).double()
    image = 0.4 + 0.2 * torch.rand(1, 3, 8, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(defense, image.requires_grad_())


class Net(nn.Module):
    """Four random convolutions."""

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            widths = (3, 16, 32, 32, 64)
            self.layers = nn.Sequential(
                *(
                    part
                    for a, b in itertools.pairwise(widths)
                    for part in (nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU())
                )
            )

    def forward(self, images):
        return self.layers(images).mean((2, 3))


@pytest.fixture(scope="module")
def attacked():
    """Images, a model, and noise made without a defense."""
    model = PixelModel(Net(0), size=SIZE).eval()
    images = smooth_images(2)
    return images, model, noise_of(model, images)


def noise_of(model, images):
    attack = build_attack("sma", eps=5 / 255, steps=15, step_size=1 / 255)
    return attack(model, Batch(images)).images - images


def kept_energy(defense, images, noise):
    change = defense(images + noise) - defense(images)
    return float(change.pow(2).sum() / noise.pow(2).sum())


@torch.no_grad()
def moved(model, images, noise):
    """Mean squared distance of unit features, with noise and without."""
    before, after = (F.normalize(model(x), dim=1) for x in (images, images + noise))
    return float((after - before).pow(2).sum(1).mean())


def test_noise_of_an_attack_loses_energy_in_the_papers_order(attacked):
    images, _, noise = attacked
    kept = {name: kept_energy(scaling(name), images, noise) for name in SIZES}
    assert 0.03 < kept["jad"] < 0.10
    assert kept["jad2"] < kept["jad"] < kept["A"] < kept["B"]


def test_an_attack_through_it_undoes_most_of_its_effect(attacked):
    images, model, oblivious = attacked
    defended = Defended(scaling("jad"), model)
    adaptive = noise_of(defended, images)
    assert moved(defended, images, adaptive) > 3 * moved(defended, images, oblivious)
    assert kept_energy(scaling("jad"), images, adaptive) > 0.3


class Identity(CircuitousScaling):
    """The wrong stand-in."""

    def surrogate(self, images, drawn=None):
        return images


def test_the_chain_is_the_better_stand_in_of_pillow(attacked):
    images, model, _ = attacked
    exact, identity = scaling("jad", exact=True), Identity(exact=True)
    assert torch.equal(exact(images), identity(images))
    with_chain = noise_of(Defended(exact, model), images)
    with_identity = noise_of(Defended(identity, model), images)
    defended = Defended(exact, model)
    assert moved(defended, images, with_chain) > 3 * moved(defended, images, with_identity)


class RoundsNothing(Jpeg):
    """The wrong stand-in for JPEG, too."""

    def surrogate(self, images, drawn=None):
        return images


def test_the_soft_codec_is_the_better_stand_in_of_jpeg(attacked):
    images, model, _ = attacked
    jpeg = build_defense("jpeg", quality=30)
    with_codec = noise_of(Defended(jpeg, model), images)
    with_identity = noise_of(Defended(RoundsNothing(quality=30), model), images)
    defended = Defended(jpeg, model)
    assert moved(defended, images, with_codec) > 3 * moved(defended, images, with_identity)


def test_random_sizes_stay_within_their_percentage_and_vary():
    defense = scaling("jad3", randomized=10)
    draws = [defense.draw(128, 64, torch.Generator().manual_seed(n)) for n in range(200)]
    first = np.array([steps[0] for steps in draws])
    assert (abs(first - [110, 50]) <= [11, 5]).all()
    assert (first.min(0) <= [101, 46]).all()
    assert (first.max(0) >= [119, 54]).all()
    assert len({steps[0] for steps in draws} & {steps[3] for steps in draws}) < 150
    assert {steps[2] for steps in draws} == {(5,)}
    assert {steps[4] for steps in draws} == {SIZE}


def test_draws_belong_to_the_image_and_the_seed():
    images = smooth_images(3)
    defense = scaling("jad", randomized=10, seed=4)
    together = defense(images)
    assert torch.equal(together[2], defense(images[[2, 0]])[0])
    assert torch.equal(together, scaling("jad", randomized=10, seed=4)(images))
    assert not torch.equal(together, defense.reseeded(5)(images))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preset": "jda"}, "did you mean 'jad'"),
        ({"preset": ["jad"]}, "unknown preset"),
        ({"sizes": [[110, -50]]}, r"\[height, width\]"),
        ({"sizes": [110, 50]}, r"\[height, width\]"),
        ({"sizes": []}, "list of"),
        ({"final": [256, 1]}, "final"),
        ({"mode": "lanczos"}, "mode is one of"),
        ({"randomized": 51}, "percent"),
        ({"randomized": "much"}, "percent"),
        ({"seed": -1}, "seed"),
        ({"size": 3}, "takes no option 'size'"),
    ],
)
def test_what_cannot_be_is_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_defense("circuitous_scaling", **options)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_proportional_preset_is_the_printed_one_at_the_printed_input(preset):
    printed, half = scaling(preset), scaling(preset, proportional=True, final=(128, 64))
    assert scaling(preset, proportional=True).steps == printed.steps
    for step, full in zip(half.steps, printed.steps, strict=True):
        assert step == (full if len(full) == 1 else (full[0] // 2, full[1] // 2))
