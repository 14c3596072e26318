"""Every attack against an independent float64 loop written here, on mixed, non-square sizes."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.attacks.fgsm import iteration_rule
from torchreid_adv.core.batch import Batch, pad
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import Features, PixelModel

EPS = 6 / 255
SIZES = [(20, 9), (17, 12), (24, 8), (20, 9)]


class Toy(nn.Module):
    """Convolution, BatchNorm, smooth nonlinearity: differentiable everywhere."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8 * 4 * 2, 16)

    def forward(self, images):
        maps = torch.tanh(self.norm(self.conv(images)))
        return self.last(F.adaptive_avg_pool2d(maps, (4, 2)).flatten(1))


@pytest.fixture
def model():
    torch.manual_seed(0)
    toy = Toy().double()
    toy.norm.running_mean.normal_(0, 0.2)
    toy.norm.running_var.uniform_(0.5, 2)
    return PixelModel(toy, size=(16, 10)).eval()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    draws = [torch.randint(256, (3, h, w), generator=generator) for h, w in SIZES]
    draws[0][:, :3, :3] = 0  # corners where the [0, 1] clamp acts
    draws[1][:, :3, :3] = 255
    return [draw.double() / 255 for draw in draws]


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(2)
    return Features(
        values=torch.randn(7, 16, generator=generator, dtype=torch.float64),
        pids=torch.tensor([1, 1, 1, 2, 2, 3, 3]),
        camids=torch.tensor([0, 1, 2, 0, 1, 0, 2]),
        image_ids=tuple(f"q{i}" for i in range(7)),
    )


PIDS, CAMIDS = [1, 2, 3, 1], [1, 1, 0, 0]


def make_batch(images, rows=range(4)):
    canvas, sizes = pad([images[row] for row in rows])
    return Batch(
        canvas,
        sizes=sizes,
        pids=torch.tensor([PIDS[row] for row in rows]),
        camids=torch.tensor([CAMIDS[row] for row in rows]),
        image_ids=tuple(f"g{row}" for row in rows),
    )


def slow_attack(model, image, guides, *, metric, steps, step, momentum, targeted):
    """The published loop for one image: sum of distances to every guide, sign steps, clamps."""
    network, size = model.network, model.size
    mean, std = torch.tensor(model.mean).double(), torch.tensor(model.std).double()
    low, high = np.maximum(image.numpy() - EPS, 0), np.minimum(image.numpy() + EPS, 1)
    current, memory = image.numpy().copy(), np.zeros(image.shape)
    for _ in range(steps):
        pixels = torch.tensor(current, requires_grad=True)
        resized = F.interpolate(pixels[None], size, mode="bilinear", antialias=True)
        feature = network((resized - mean.view(3, 1, 1)) / std.view(3, 1, 1))[0]
        loss = 0
        for guide in guides:
            if metric == "euclidean":
                difference = feature / feature.norm() - guide / guide.norm()
                loss = loss + (difference**2).sum()
            else:
                loss = loss + 1 - (feature @ guide) / (feature.norm() * guide.norm())
        loss.backward()
        gradient = pixels.grad.numpy()
        if momentum:
            memory = momentum * memory + gradient / np.abs(gradient).sum()
            gradient = memory
        sign = -np.sign(gradient) if targeted else np.sign(gradient)
        current = np.minimum(np.maximum(current + step * sign, low), high)
    return torch.tensor(current)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("name", "options", "slow"),
    [
        ("fgsm", {}, {"steps": 1, "step": EPS, "momentum": 0}),
        ("ifgsm", {}, {"steps": 7, "step": 1 / 255, "momentum": 0}),
        ("mifgsm", {}, {"steps": 7, "step": 1 / 255, "momentum": 1}),
        (
            "mifgsm",
            {"steps": 4, "step_size": 2.5 / 255, "momentum": 0.7},
            {"steps": 4, "step": 2.5 / 255, "momentum": 0.7},
        ),
    ],
)
def test_against_a_slow_float64_loop(
    model, images, features, name, options, slow, metric, targeted
):
    targets = {"1": 3, "2": 1, "3": 2} if targeted else {}
    attack = build_attack(name, eps=EPS, distance=metric, targeted=targeted, **options)
    found = attack(model, make_batch(images), References(features, targets=targets))
    for row, image in enumerate(images):
        wanted = targets.get(str(PIDS[row]), PIDS[row])
        guides = features.values[features.pids == wanted]
        expected = slow_attack(model, image, guides, metric=metric, targeted=targeted, **slow)
        height, width = SIZES[row]
        assert torch.allclose(found.images[row, :, :height, :width], expected, atol=1e-12, rtol=0)
        assert float(found.images[row, :, height:].abs().sum()) == 0
        assert float(found.images[row, :, :, width:].abs().sum()) == 0


def test_other_cameras_only(model, images, features):
    attack = build_attack("ifgsm", eps=EPS)
    found = attack(model, make_batch(images), References(features, rule="other"))
    for row, image in enumerate(images):
        rows = (features.pids == PIDS[row]) & (features.camids != CAMIDS[row])
        slow = {"steps": 7, "step": 1 / 255, "momentum": 0, "targeted": False}
        expected = slow_attack(model, image, features.values[rows], metric="euclidean", **slow)
        height, width = SIZES[row]
        assert torch.allclose(found.images[row, :, :height, :width], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["fgsm", "ifgsm", "mifgsm"])
def test_a_batch_is_its_images_one_by_one(model, images, features, name):
    attack, references = build_attack(name, eps=EPS), References(features)
    together = attack(model, make_batch(images), references)
    for row, (height, width) in enumerate(SIZES):
        alone = attack(model, make_batch(images, [row]), references)
        assert torch.equal(together.images[row, :, :height, :width], alone.images[0])
        assert math.isclose(together.after[row], alone.after[0], rel_tol=1e-12)


@pytest.mark.parametrize("name", ["fgsm", "ifgsm", "mifgsm"])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_objective_rises_and_bounds_hold(model, images, features, name, targeted):
    attack = build_attack(name, eps=EPS, targeted=targeted)
    batch = make_batch(images)
    clean = batch.images.clone()
    found = attack(model, batch, References(features))
    assert torch.equal(batch.images, clean)
    assert (found.after > found.before).all()
    assert float((found.images - clean).abs().max()) <= EPS + 1e-15
    assert float(found.images.min()) >= 0
    assert float(found.images.max()) <= 1
    assert found.trace.shape == (attack.steps + 1, 4)
    assert not found.zero_gradient.any()


def test_the_same_input_gives_the_same_output(model, images, features):
    attack = build_attack("mifgsm", eps=EPS)
    first, second = (attack(model, make_batch(images), References(features)) for _ in range(2))
    assert torch.equal(first.images, second.images)


def test_losses_are_mean_distances_to_the_references(model, images, features):
    found = build_attack("ifgsm", eps=EPS)(model, make_batch(images), References(features))
    for row, image in enumerate(images):
        feature = F.normalize(model(image[None]), dim=1)
        guides = F.normalize(features.values[features.pids == PIDS[row]], dim=1)
        expected = (feature - guides).pow(2).sum(1).mean().detach()
        assert math.isclose(float(found.before[row]), float(expected), rel_tol=1e-9)


def test_an_image_that_is_its_own_reference_has_no_gradient_and_says_so(model, images):
    batch = make_batch(images, [0])
    own = Features(
        model(batch.images, sizes=batch.sizes).detach(),
        pids=batch.pids,
        camids=batch.camids,
        image_ids=("self",),
    )
    found = build_attack("mifgsm", eps=EPS)(model, batch, References(own))
    assert torch.isfinite(found.images).all()
    drift = (found.images - batch.images).abs().max()
    assert bool(found.zero_gradient[0]) == (float(drift) == 0)


def test_eps_zero_changes_nothing(model, images, features):
    batch = make_batch(images)
    found = build_attack("ifgsm", eps=0)(model, batch, References(features))
    assert torch.equal(found.images, batch.images)


@pytest.mark.parametrize(
    ("levels", "steps"),
    [
        (0, 1), (1, 1), (2, 2), (3, 3), (4, 5), (5, 6), (6, 7), (8, 10), (10, 12), (12, 15),
        (16, 20), (20, 24), (32, 36),
    ],
)  # fmt: skip
def test_iteration_rule(levels, steps):
    assert iteration_rule(levels / 255) == steps


def test_iteration_rule_rounding():
    assert [iteration_rule(2 / 255, how) for how in ("floor", "round", "ceil")] == [2, 2, 3]
    assert [iteration_rule(3 / 255, how) for how in ("floor", "round", "ceil")] == [3, 4, 4]
    with pytest.raises(ConfigError, match="did you mean 'round'"):
        iteration_rule(0.1, "rond")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"eps": 8}, r"in \[0, 1\] pixel units, got 8; for 8 gray levels pass 8 / 255"),
        ({"eps": -0.1}, "pixel units"),
        ({"eps": "8/255"}, "pixel units, got '8/255'"),
        ({"eps": 0.1, "step_size": 2}, "step_size is in"),
        ({"eps": 0.1, "steps": 0}, "at least one step"),
        ({"eps": 0.1, "stepz": 3}, "did you mean 'steps'"),
        ({"eps": 0.1, "distance": "manhattan"}, "unknown distance"),
        ({"eps": 0.1, "precision": "int8"}, "precision is one of"),
    ],
)
def test_wrong_options_are_named(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_attack("ifgsm", **options)


def test_references_are_needed_and_must_be_there(model, images, features):
    attack, batch = build_attack("ifgsm", eps=EPS), make_batch(images)
    with pytest.raises(ConfigError, match="needs references"):
        attack(model, batch)
    with pytest.raises(DataError, match=r"2 of 4 images have no reference.*g1"):
        attack(model, batch, References(features, targets={"1": 2, "2": 9}))
    with pytest.raises(ConfigError, match="pids"):
        attack(model, Batch(batch.images), References(features))


def test_leave_one_out_excludes_the_image_itself(features):
    references = References(features, rule="leave_one_out")
    mask = references.mask(torch.tensor([1, 1]), None, ["q0", "other"])
    assert mask[0].tolist() == [False, True, True, False, False, False, False]
    assert mask[1].tolist() == [True, True, True, False, False, False, False]
