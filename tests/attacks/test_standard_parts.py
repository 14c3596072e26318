"""The parts that the standard evaluation is made of, against answers that are known."""
# ruff: noqa: F811 (fixtures)

import functools
import itertools

import numpy as np
import pytest
import torch
from test_fgsm import EPS, PIDS, features, images, make_batch, model  # noqa: F401 (fixtures)
from torch import nn

from torchreid_adv.attacks import Budget, GradientAttack, LinfDelta, MetricDistance, References
from torchreid_adv.attacks.apgd import AutoStep, PullToNearest, checkpoints
from torchreid_adv.attacks.average_precision import RankLoss, RankMargin
from torchreid_adv.attacks.black_box.query_attack import QueryAttack, Signs
from torchreid_adv.attacks.combined import BestOf
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.testing import check_attack

UNIT = build_distance("euclidean", normalize=True)
PLAIN = build_distance("euclidean", normalize=False)


def apgd(objective, eps=EPS, steps=20, **options):
    rule = functools.partial(AutoStep, lr=2 * eps, steps=steps)
    return GradientAttack(objective, LinfDelta(eps), rule, steps, keep="best", **options)


def noise(eps=EPS, tries=5):
    return QueryAttack(RankLoss(UNIT), Budget(eps=eps), Signs, cost=1, queries=1 + tries)


def test_an_attack_by_apgd_keeps_what_every_attack_promises():
    check_attack(apgd(RankMargin(UNIT), steps=3))


@pytest.mark.slow
def test_the_other_parts_keep_what_every_attack_promises():
    targeted = apgd(MetricDistance(UNIT, targeted=True), steps=2)
    check_attack(noise())
    check_attack(BestOf([apgd(RankMargin(UNIT), steps=2), noise(tries=2)], UNIT))
    check_attack(PullToNearest(targeted, UNIT, place=0))


def test_the_schedule_is_the_published_one():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == []


def slow_apgd(value_and_gradient, clean, eps, steps):
    """Algorithm 1 of the paper for one image, in plain numpy."""
    low, high = np.maximum(clean - eps, 0), np.minimum(clean + eps, 1)

    def inside(point):
        return np.minimum(np.maximum(point, low), high)

    size, marks = 2 * eps, [0, *checkpoints(steps)]
    points, (value, way) = [clean], value_and_gradient(clean)
    values, best, best_way, top = [value], clean, way, value
    then_top, halved = value, True
    for step in range(steps):
        if step in marks[1:]:
            start = marks[marks.index(step) - 1]
            rose = sum(values[i + 1] > values[i] for i in range(start, step))
            less = rose <= 0.75 * (step - start)
            halved, then_top = less or (not halved and then_top >= top), top
            if halved:
                size, points[-1], way = size / 2, best, best_way
        share = 0.75 if step else 1.0
        plain = inside(points[-1] + size * np.sign(way))
        last = points[-2] if step else points[-1]
        point = points[-1] + share * (plain - points[-1]) + (1 - share) * (points[-1] - last)
        points.append(inside(point))
        value, way = value_and_gradient(points[-1])
        values.append(value)
        if value > top:
            best, best_way, top = points[-1], way, value
    return best, top


def test_apgd_against_a_slow_loop_for_one_image(model, images, features):
    found = apgd(MetricDistance(UNIT), steps=24)(
        model, Batch(images[0][None], pids=torch.tensor(PIDS[:1])), References(features)
    )
    for row, image in enumerate(images[:1]):
        guides = torch.nn.functional.normalize(features.values[features.pids == PIDS[row]], dim=1)

        def value_and_gradient(point, guides=guides):
            pixels = torch.from_numpy(point).requires_grad_()
            own = torch.nn.functional.normalize(model(pixels[None]), dim=1)
            loss = (own - guides).pow(2).sum(1).mean()
            (way,) = torch.autograd.grad(loss, pixels)
            return loss.item(), way.numpy()

        _, top = slow_apgd(value_and_gradient, image.numpy(), EPS, 24)
        assert float(found.after[row]) == pytest.approx(top, rel=1e-9)


def test_the_best_point_is_what_comes_back(model, images, features):
    found = apgd(MetricDistance(UNIT), steps=15)(model, make_batch(images), References(features))
    assert torch.equal(found.after, found.trace.max(0).values)
    again = MetricDistance(UNIT).bind(
        functools.partial(model, sizes=make_batch(images).sizes),
        make_batch(images),
        References(features),
    )(found.images)
    assert torch.allclose(again, found.after, rtol=1e-9)


class Linear(nn.Module):
    """Features that are a matrix times the pixels."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.as_tensor(weights))

    def forward(self, images):
        return images.flatten(1) @ self.weights.T


def linear_model(weights, size):
    return PixelModel(Linear(weights), size=size, mean=(0, 0, 0), std=(1, 1, 1)).eval()


def test_a_linear_embedding_of_one_number_reaches_its_analytic_optimum():
    """The distance to a reference below grows to (f - r + eps |w|_1)^2."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(1, 3 * 8 * 4, generator=generator, dtype=torch.float64)
    images = 0.5 + 0.2 * torch.rand(5, 3, 8, 4, generator=generator, dtype=torch.float64)
    model, eps = linear_model(weights, (8, 4)), 8 / 255
    values = model(images).detach()
    references = Features(values - 3, torch.arange(5), torch.ones(5).long(), tuple("abcde"))
    batch = Batch(images, pids=torch.arange(5), camids=torch.zeros(5).long())
    found = apgd(MetricDistance(PLAIN), eps)(model, batch, References(references))
    optimum = (3 + eps * weights.abs().sum()) ** 2
    assert float((found.after / optimum).min()) > 0.999999


def test_a_tiny_linear_embedding_reaches_what_brute_force_finds():
    """12 pixels: the largest distance lies at a corner of the ball, and all corners are tried."""
    generator = torch.Generator().manual_seed(1)
    eps, starts = 8 / 255, 100
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=12)), dtype=torch.float64)
    weights = torch.randn(3, 12, generator=generator, dtype=torch.float64)
    model = linear_model(weights, (2, 2))
    images = 0.5 + 0.1 * torch.rand(5, 3, 2, 2, generator=generator, dtype=torch.float64)
    values = model(images).detach() + 0.1 * torch.randn(5, 3, generator=generator).double()
    references = Features(values, torch.arange(5), torch.ones(5).long(), tuple("abcde"))
    pids = torch.arange(5).repeat_interleave(starts)
    batch = Batch(images[pids], pids=pids, camids=torch.zeros_like(pids))
    attack = apgd(MetricDistance(PLAIN), eps, steps=50, start="random")
    found = attack(model, batch, References(references)).after.view(5, starts).amax(1)
    for row in range(5):
        tried = (images[row].flatten() + eps * corners) @ weights.T
        optimum = (tried - values[row]).pow(2).sum(1).max()
        assert float(found[row] / optimum) == pytest.approx(1, abs=1e-6)


def test_the_margin_is_that_of_a_slow_loop(model, images, features):
    batch = make_batch(images)
    references = References(features, rule="other")
    embed = functools.partial(model, sizes=batch.sizes)
    with torch.no_grad():
        losses = RankMargin(UNIT).bind(embed, batch, references)(batch.images)
        mapped = UNIT.map(embed(batch.images))
    others = UNIT.map(features.values)
    for row in range(len(batch)):
        apart = [float((mapped[row] - other).pow(2).sum()) for other in others]
        same = [p == int(batch.pids[row]) for p in features.pids.tolist()]
        junk = [
            s and c == int(batch.camids[row])
            for s, c in zip(same, features.camids.tolist(), strict=True)
        ]
        right = [d for d, s, j in zip(apart, same, junk, strict=True) if s and not j]
        wrong = sorted(d for d, s in zip(apart, same, strict=True) if not s)
        valid = sorted(d for d, j in zip(apart, junk, strict=True) if not j)[:10]
        expected = (np.mean(right) - np.mean(wrong[:3])) / (valid[-1] - valid[0])
        assert float(losses[row]) == pytest.approx(expected, rel=1e-6)


def test_the_best_of_two_is_never_worse_than_either(model, images, features):
    batch, references = make_batch(images), References(features)
    attacks = [apgd(RankMargin(UNIT), steps=3), apgd(MetricDistance(UNIT), steps=3), noise()]
    best = BestOf(attacks, UNIT)(model, batch, references)
    alone = [BestOf([attack], UNIT)(model, batch, references) for attack in attacks]
    assert torch.allclose(best.after, torch.stack([one.after for one in alone]).amax(0))


def test_a_pull_goes_to_the_nearest_wrong_identity(model, images, features):
    batch = make_batch(images)
    attack = apgd(MetricDistance(UNIT, targeted=True), steps=5)
    embed = functools.partial(model, sizes=batch.sizes)
    with torch.no_grad():
        clean = UNIT.map(embed(batch.images))
    mapped = UNIT.map(features.values)
    targets = {}
    for row, name in enumerate(batch.image_ids):
        others = sorted(set(features.pids.tolist()) - {int(batch.pids[row])})
        centers = [mapped[features.pids == pid].mean(0) for pid in others]
        targets[name] = others[int(np.argmin([float((clean[row] - c).norm()) for c in centers]))]
    expected = attack(model, batch, References(features, targets=targets))
    found = PullToNearest(attack, UNIT, place=0)(model, batch, References(features, rule="other"))
    assert torch.equal(found.images, expected.images)
    with pytest.raises(ConfigError, match="no wrong one number 3"):
        PullToNearest(attack, UNIT, place=2)(model, batch, References(features))


def test_what_cannot_be_is_refused(model, images, features):
    with pytest.raises(ConfigError, match="keep is one of"):
        GradientAttack(RankMargin(UNIT), LinfDelta(EPS), AutoStep, 3, keep="first")
    with pytest.raises(ConfigError, match="all of one bound"):
        BestOf([noise(0.1), noise(0.2)], UNIT)
    alone = Features(features.values[:3], features.pids[:3], features.camids[:3], tuple("abc"))
    with pytest.raises(DataError, match="two identities"):
        apgd(RankMargin(UNIT))(
            model, Batch(images[0][None], pids=torch.tensor([1])), References(alone)
        )
