"""SMA, LTA, ODFA and FNA against independent float64 loops, an image at a time."""

import numpy as np
import pytest
import torch
from test_fgsm import EPS, PIDS, images, make_batch, model  # noqa: F401 (fixtures)
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Features
from torchreid_adv.transforms.grayscale import LocalGrayscale

SEED, STEPS, STEP = 3, 5, 1 / 255


@pytest.fixture
def others():
    draw = torch.Generator().manual_seed(2)
    values = torch.randn(8, 16, generator=draw, dtype=torch.float64)
    pids = torch.tensor([1, 1, 1, 2, 2, 3, 3, 4])
    return Features(values, pids, torch.zeros(8).long(), tuple(f"q{i}" for i in range(8)))


def unit(network, image):
    mean = torch.tensor(network.mean).double().view(3, 1, 1)
    std = torch.tensor(network.std).double().view(3, 1, 1)
    small = F.interpolate(image[None], network.size, mode="bilinear", antialias=True)
    return F.normalize(network.network((small - mean) / std), dim=1)[0]


def noise(image, name):
    draw = torch.rand(image.shape, generator=generator(SEED, "start", name), dtype=torch.float64)
    return (image + (draw * 2 - 1) * EPS).clamp(0, 1)


def climb(image, start, loss, momentum=0.0):
    """Sign ascent within the ball around ``image``, the loss given the number of the step."""
    low, high = np.maximum(image.numpy() - EPS, 0), np.minimum(image.numpy() + EPS, 1)
    current, memory = start.numpy().copy(), 0
    for step in range(STEPS):
        pixels = torch.tensor(current, requires_grad=True)
        loss(pixels, step).backward()
        gradient = pixels.grad.numpy()
        memory = momentum * memory + gradient / np.abs(gradient).sum()
        direction = memory if momentum else gradient
        current = np.minimum(np.maximum(current + STEP * np.sign(direction), low), high)
    return torch.tensor(current)


def slow_sma(network, image, name, features, pid):
    own = unit(network, image).detach()
    away = lambda pixels, step: ((unit(network, pixels) - own) ** 2).sum()  # noqa: E731
    return climb(image, noise(image, name), away)


def slow_odfa(network, image, name, features, pid):
    target = -unit(network, image).detach()
    near = lambda pixels, step: -((unit(network, pixels) - target) ** 2).sum()  # noqa: E731
    return climb(image, noise(image, name), near)


def gray_patch(image, draws):
    box = LocalGrayscale(p=1.0).draw(image.shape[1], image.shape[2], draws)
    patched = image.clone()
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    red, green, blue = image[:, rows, columns]
    patched[:, rows, columns] = 0.299 * red + 0.587 * green + 0.114 * blue
    return patched


def slow_lta(network, image, name, features, pid, redraw=True):
    draws = generator(SEED, "reference", name)
    views = [gray_patch(image, draws) for _ in range(STEPS)]
    references = [unit(network, views[n if redraw else 0]).detach() for n in range(STEPS)]
    away = lambda pixels, n: ((unit(network, pixels) - references[n]) ** 2).sum()  # noqa: E731
    return climb(image, image, away, momentum=1.0)


def slow_lta_minus(*arguments):
    return slow_lta(*arguments, redraw=False)


def slow_fna(network, image, name, features, pid):
    rows = F.normalize(features.values, dim=1)
    centers = {p: rows[features.pids == p].mean(0) for p in set(features.pids.tolist()) - {pid}}
    clean = unit(network, image).detach()
    far = max(centers.values(), key=lambda center: float((clean - center).norm()))

    def apart(pixels, step):
        feature = unit(network, pixels)
        push = sum(((feature - row) ** 2).sum() for row in rows[features.pids == pid])
        return push - ((feature - far) ** 2).sum()

    return climb(image, image, apart)


SLOW = {
    "sma": slow_sma,
    "lta": slow_lta,
    "lta_minus": slow_lta_minus,
    "odfa": slow_odfa,
    "fna": slow_fna,
}


@pytest.mark.parametrize("name", SLOW)
def test_against_a_slow_float64_loop(model, images, others, name):  # noqa: F811
    attack = build_attack(name, eps=EPS, steps=STEPS, step_size=STEP, seed=SEED)
    batch = make_batch(images)
    found = attack(model, batch, References(others))
    for row, image in enumerate(images):
        _, height, width = image.shape
        expected = SLOW[name](model, image, batch.image_ids[row], others, PIDS[row])
        difference = (found.images[row, :, :height, :width] - expected).abs().max()
        assert difference < 1e-12, (name, row)


@pytest.mark.parametrize("name", ["lta", "lta_minus"])
def test_a_gray_image_takes_a_random_start_and_its_neighbors_do_not(model, images, name):  # noqa: F811
    gray = images[0].mean(0, keepdim=True).expand(3, -1, -1).clone()
    attack = build_attack(name, eps=EPS, steps=STEPS)
    mixed = attack(model, make_batch([gray, *images[1:]]))
    alone = attack(model, make_batch([gray, *images[1:]], [1]))
    height, width = images[1].shape[1:]
    assert torch.equal(mixed.images[1, :, :height, :width], alone.images[0])
    assert not mixed.zero_gradient.any()
    moved = (mixed.images[0, :, :20, :9] - gray).abs().max()
    assert EPS / 2 < moved <= EPS + 1e-12


def test_the_image_itself_has_no_gradient_and_that_is_said(model, images):  # noqa: F811
    attack = build_attack("sma", eps=EPS, steps=STEPS)
    attack.start = "zero"
    found = attack(model, make_batch(images))
    assert found.zero_gradient.all()
    assert torch.equal(found.images, make_batch(images).images)


def test_opposite_direction_is_the_self_metric_attack_on_unit_features(model, images):  # noqa: F811
    """``|f + f0|^2 = 4 - |f - f0|^2``, so the same steps from the same start."""
    batch = make_batch(images)
    one, other = (
        build_attack(name, eps=EPS, steps=STEPS)(model, batch).images for name in ("sma", "odfa")
    )
    assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_the_furthest_identity_needs_two_of_them(model, images):  # noqa: F811
    features = Features(
        torch.randn(2, 16).double(), torch.tensor([1, 1]), torch.tensor([0, 1]), ("a", "b")
    )
    batch = make_batch(images, [0])
    with pytest.raises(ConfigError, match="two identities"):
        build_attack("fna", eps=EPS)(model, batch, References(features))


def test_a_seed_gives_the_same_and_another_gives_others(model, images):  # noqa: F811
    batch = make_batch(images)
    first, again, other = (
        build_attack("lta", eps=EPS, seed=seed)(model, batch).images for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert isinstance(batch, Batch)
