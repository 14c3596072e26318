"""A user's function as a distance: what it gives, and what is refused."""

import sys
import types

import pytest
import torch
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import FunctionDistance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Reranking, evaluate
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.testing import check_attack


def manhattan(a, b):
    return (a[:, None] - b[None]).abs().sum(2)


def squared(a, b):
    return (a[:, None] - b[None]).pow(2).sum(2)


def row(a, b):
    return manhattan(a, b)[0]


def infinite(a, b):
    return manhattan(a, b) / 0


def detached(a, b):
    return manhattan(a, b).detach()


def flat(a, b):
    return manhattan(a, b).sign() + 0 * a.sum(1, keepdim=True)


def mixing(a, b):
    return manhattan(a, b).softmax(1)


def failing(a, b):
    return a @ b


def nothing(a, b):
    return None


@pytest.fixture
def module():
    """A module that can be imported by name, ``my_metrics``, holding these functions."""
    made = types.ModuleType("my_metrics")
    vars(made).update({f.__name__: f for f in (manhattan, squared, row, infinite, detached)})
    made.number = 5
    sys.modules["my_metrics"] = made
    yield made
    del sys.modules["my_metrics"]


def test_a_name_finds_the_function(module):
    distance = build_distance("my_metrics:manhattan", normalize=True)
    a, b = torch.randn(3, 5), torch.randn(4, 5)
    wanted = torch.cdist(F.normalize(a, dim=1), F.normalize(b, dim=1), p=1)
    assert torch.allclose(distance(a, b), wanted, atol=1e-6)
    assert distance.name == "my_metrics:manhattan"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my_metrics:manhatan", "did you mean 'manhattan'"),
        ("my_metrics:number", "has no function 'number'"),
        ("no_such_module:f", "cannot be imported"),
        ("my_metrics:", "named 'module:function'"),
        (":manhattan", "named 'module:function'"),
        ("my_metrics:a:b", "named 'module:function'"),
        ("my_metrics:manhattan()", "named 'module:function'"),
        ("../my_metrics:manhattan", "named 'module:function'"),
    ],
)
def test_other_names_are_refused_in_a_sentence(module, name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_distance(name)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (row, r"returns a tensor \(3, 4\).*got \(4,\)"),
        (infinite, "NaN or infinity"),
        (detached, "no gradient"),
        (flat, "gradient.*is zero"),
        (mixing, "changes with the others"),
        (failing, "fails on features"),
        (nothing, "got NoneType"),
    ],
)
def test_what_is_no_distance_is_refused_in_a_sentence(function, sentence):
    distance = FunctionDistance(function, name="my_metrics:f")
    with torch.no_grad(), pytest.raises(ConfigError, match=sentence) as caught:
        distance.map(torch.randn(2, 6))
    assert "\n" not in str(caught.value)


def test_trying_leaves_the_random_state():
    before = torch.get_rng_state()
    FunctionDistance(manhattan, name="m:f").map(torch.randn(2, 6, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before)


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(24, 8)

    def forward(self, images):
        return self.last(F.adaptive_avg_pool2d(images, (4, 2)).flatten(1))


def scene():
    draws = torch.Generator().manual_seed(4)
    torch.manual_seed(0)
    model = PixelModel(Toy().double(), size=(16, 8)).eval()
    images = torch.rand(3, 3, 16, 8, generator=draws).double()
    batch = Batch(images, pids=torch.tensor([1, 2, 1]), camids=torch.zeros(3).long())
    features = Features(
        torch.randn(6, 8, generator=draws).double(),
        torch.tensor([1, 1, 1, 2, 2, 3]),
        torch.arange(6),
        tuple("abcdef"),
    )
    return model, batch, features


@pytest.mark.parametrize("targeted", [False, True])
def test_the_attack_follows_the_mean_distance_to_all_references(targeted):
    """One sign step, against a gradient written out per image."""
    model, batch, features = scene()
    distance = FunctionDistance(manhattan, name="m:manhattan", normalize=True)
    attack = build_attack("fgsm", eps=4 / 255, distance=distance, targeted=targeted)
    found = attack(model, batch, References(features))
    for row_number, pid in enumerate([1, 2, 1]):
        image = batch.images[row_number : row_number + 1].clone().requires_grad_()
        feature = F.normalize(model(image), dim=1)
        guides = F.normalize(features.values[features.pids == pid], dim=1)
        loss = sum((feature[0] - guide).abs().sum() for guide in guides) / len(guides)
        (gradient,) = torch.autograd.grad(loss, image)
        sign = -gradient.sign() if targeted else gradient.sign()
        wanted = (image.detach() + sign * 4 / 255).clamp(0, 1)
        assert torch.allclose(found.images[row_number], wanted[0], atol=1e-12)
        before = (-loss if targeted else loss).detach()
        assert float(found.before[row_number]) == pytest.approx(float(before), rel=1e-9)


def test_a_function_that_is_euclidean_gives_the_images_of_the_registered_distance():
    model, batch, features = scene()
    distances = [FunctionDistance(squared, name="m:squared"), build_distance("euclidean")]
    first, second = (
        build_attack("ifgsm", eps=4 / 255, distance=d)(model, batch, References(features))
        for d in distances
    )
    assert torch.allclose(first.images, second.images, atol=1e-12)
    assert torch.allclose(first.after, second.after, rtol=1e-9)


def test_keeps_what_every_attack_promises():
    check_attack(
        build_attack("ifgsm", eps=8 / 255, distance=FunctionDistance(manhattan, name="m:f"))
    )


def test_evaluation_ranks_by_the_function():
    _, _, features = scene()
    gallery = Features(
        features.values + 0.1, features.pids, features.camids + 10, features.image_ids
    )
    distance = FunctionDistance(squared, name="m:squared")
    found = evaluate(features, gallery, distance=distance)
    assert found.mAP == evaluate(features, gallery, distance=build_distance("euclidean")).mAP


@pytest.mark.parametrize("name", ["fna", "sma", "odfa"])
def test_attacks_that_reckon_with_mapped_features_refuse_it(name):
    model, batch, features = scene()
    distance = FunctionDistance(manhattan, name="m:f")
    attack = build_attack(name, eps=4 / 255, distance=distance)
    with pytest.raises(ConfigError, match="'m:f'"):
        attack(model, batch, References(features))


def test_re_ranking_refuses_it():
    _, _, features = scene()
    with pytest.raises(ConfigError, match="re-ranking"):
        evaluate(features, features.replace(features), rerank=Reranking(),
                 distance=FunctionDistance(manhattan, name="m:f"))  # fmt: skip
