"""JPEG, bit depth, total variation and random resizing against Pillow, scipy and slicing."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy.fft import dctn, idctn
from torch.nn import functional as F

from torchreid_adv.core.pixels import to_tensor
from torchreid_adv.defenses import build_defense
from torchreid_adv.defenses.jpeg import _cosine_transform
from torchreid_adv.errors import ConfigError


def smooth(height=70, width=45, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_is_pillows(quality):
    image = smooth()
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    found = build_defense("jpeg", quality=quality)(to_tensor(image)[None])[0]
    assert torch.equal(found, to_tensor(np.asarray(Image.open(buffer))))


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_the_surrogate_of_jpeg_is_near_it(quality):
    defense, image = build_defense("jpeg", quality=quality), to_tensor(smooth())[None]
    difference = (defense.surrogate(image) - defense(image)).abs()
    lost = (image - defense(image)).abs().mean()
    assert difference.mean() < 1.5 / 255
    assert difference.mean() < lost


def test_the_cosine_transform_is_scipys():
    block = np.random.default_rng(0).normal(size=(8, 8))
    matrix = _cosine_transform().numpy()
    assert np.allclose(matrix @ block @ matrix.T, dctn(block, norm="ortho"), atol=1e-12)
    assert np.allclose(matrix.T @ block @ matrix, idctn(block, norm="ortho"), atol=1e-12)


def test_bit_depth_rounds_to_whole_steps():
    image = torch.linspace(0, 1, 48).view(1, 3, 4, 4)
    found = build_defense("bit_depth", bits=2)(image)
    assert torch.allclose(found, torch.tensor(np.rint(image.numpy() * 3) / 3))
    pixels = image.clone().requires_grad_()
    build_defense("bit_depth", bits=2)(pixels).sum().backward()
    assert torch.equal(pixels.grad, torch.ones_like(image))


def energy(image, original, weight):
    variation = np.abs(np.diff(image, axis=-1)).sum() + np.abs(np.diff(image, axis=-2)).sum()
    return ((image - original) ** 2).sum() / 2 + weight * variation


def test_total_variation_finds_the_minimum():
    generator = torch.Generator().manual_seed(0)
    image = 0.3 + 0.4 * torch.rand(1, 3, 12, 9, generator=generator, dtype=torch.float64)
    found = build_defense("total_variation", weight=0.05, steps=5000)(image).numpy()
    least = energy(found, image.numpy(), 0.05)
    draws = np.random.default_rng(0)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(50):
            other = found + size * draws.normal(size=found.shape)
            assert energy(other, image.numpy(), 0.05) > least
    for toward in (image.numpy(), image.mean((2, 3), keepdim=True).numpy()):
        for share in (1e-3, 1e-2, 1e-1):
            other = found + share * (toward - found)
            assert energy(other, image.numpy(), 0.05) > least
    usual = build_defense("total_variation", weight=0.05)(image).numpy()
    assert energy(usual, image.numpy(), 0.05) < 1.02 * least


def test_a_step_edge_only_loses_contrast():
    """Two halves of width w each move by weight / w towards each other."""
    image = torch.full((1, 3, 6, 20), 0.2, dtype=torch.float64)
    image[..., 10:] = 0.8
    found = build_defense("total_variation", weight=0.05, steps=3000)(image)
    assert torch.allclose(found[..., :10], torch.tensor(0.205, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(found[..., 10:], torch.tensor(0.795, dtype=torch.float64), atol=1e-5)


def test_rrp_of_the_paper_is_pillows_resize_and_border():
    image = smooth(128, 64)
    small = ImageOps.expand(Image.fromarray(image).resize((50, 110), Image.BICUBIC), 5)
    wanted = to_tensor(np.asarray(small.resize((128, 256), Image.BICUBIC)))
    exact = build_defense("rrp_paper", exact=True)(to_tensor(image)[None])[0]
    assert torch.equal(exact, wanted)
    assert (build_defense("rrp_paper")(to_tensor(image)[None])[0] - wanted).abs().max() <= 2 / 255


@pytest.mark.parametrize("exact", [False, True])
def test_rrp_may_place_the_small_image_anywhere_in_its_frame(exact):
    image = smooth(128, 64)
    small = Image.fromarray(image).resize((50, 110), Image.BICUBIC)
    defense = build_defense("rrp_paper", place="random", seed=3, exact=exact)
    assert defense.random
    places = set()
    for number in range(400):
        steps = defense.draw(128, 64, torch.Generator().manual_seed(number))
        frame = steps[1]
        assert (frame.left + frame.right, frame.top + frame.bottom) == (10, 10)
        assert min(frame) >= 0
        places.add((frame.left, frame.top))
    assert {left for left, _ in places} == {top for _, top in places} == set(range(11))
    framed = Image.new("RGB", (60, 120))
    framed.paste(small, (frame.left, frame.top))
    wanted = to_tensor(np.asarray(framed.resize((128, 256), Image.BICUBIC)))
    found = defense.exact(to_tensor(image)[None], steps)[0]
    assert (found - wanted).abs().max() <= (0 if exact else 2 / 255)
    several = torch.stack([to_tensor(image), to_tensor(image[:, ::-1].copy())])
    once = defense(several)
    assert torch.equal(once, defense(several))
    assert torch.equal(once[:1], defense(several[:1]))
    assert not torch.equal(once, defense.reseeded(4)(several))
    with pytest.raises(ConfigError, match="place is one of center, random"):
        build_defense("rrp_paper", place="corner")


def test_xies_defense_keeps_the_published_proportions():
    defense = build_defense("rrp_xie", final=[299, 299])
    assert defense.canvas == (331, 331)
    draws = [defense.draw(9, 9, torch.Generator().manual_seed(n)) for n in range(3000)]
    sizes = {place.height for place in draws}
    assert sizes == set(range(310, 331))
    assert all(place.height == place.width for place in draws)
    assert all(0 <= place.top <= 331 - place.height for place in draws)
    assert max(place.top + place.height for place in draws) == 331
    assert 0.45 < np.mean([place.mirrored for place in draws]) < 0.55


def test_xies_defense_places_the_nearest_neighbors():
    defense = build_defense("rrp_xie", final=[20, 10], seed=1)
    image = torch.rand(1, 3, 33, 17)
    place = defense.draw(33, 17, torch.Generator().manual_seed(0))
    rows = [int(y * 33 / place.height) for y in range(place.height)]
    columns = [int(x * 17 / place.width) for x in range(place.width)]
    wanted = torch.zeros(1, 3, *defense.canvas)
    inside = image[:, :, rows][..., columns]
    down, along = (
        slice(place.top, place.top + place.height),
        slice(place.left, place.left + place.width),
    )
    wanted[:, :, down, along] = inside
    assert torch.equal(defense.exact(image, place._replace(mirrored=False)), wanted)
    assert torch.equal(defense.exact(image, place._replace(mirrored=True)), wanted.flip(-1))
    assert F.pad(inside, (0, 0)).shape[-2:] == (place.height, place.width)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jpeg", {"quality": 0}),
        ("jpeg", {"quality": 75.5}),
        ("bit_depth", {"bits": 9}),
        ("bit_depth", {"bits": True}),
        ("total_variation", {"weight": 0}),
        ("total_variation", {"weight": "a little"}),
        ("total_variation", {"steps": 0}),
        ("rrp_paper", {"border": -1}),
        ("rrp_paper", {"size": [1, 2]}),
        ("rrp_xie", {"smallest": 1.2}),
        ("rrp_xie", {"mirror": 2}),
    ],
)
def test_what_cannot_be_is_refused(name, options):
    with pytest.raises(ConfigError):
        build_defense(name, **options)
