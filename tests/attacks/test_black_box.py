"""Square, NES and SPSA against loops for one image, and the score they may attack."""
# ruff: noqa: F811 (fixtures)

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from test_fgsm import CAMIDS, EPS, PIDS, SIZES, features, images, make_batch, model  # noqa: F401 (fixtures)
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import LinfDelta, References, build_attack
from torchreid_adv.attacks.average_precision import RankScore, average_precision, smooth_precision
from torchreid_adv.attacks.black_box.nes import Estimated
from torchreid_adv.attacks.black_box.square import Squares
from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.testing import check_attack

SEED, STEP = 5, 2 / 255
UNIT = build_distance("euclidean", normalize=True)


def distance(model, image, guides):
    with torch.no_grad():
        feature = F.normalize(model(torch.as_tensor(image)[None]), dim=1)
        return float((feature - F.normalize(guides, dim=1)).pow(2).sum(1).mean())


def slow_square(model, image, guides, draws, queries):
    """The published loop for one image: stripes, then ever smaller squares, kept if better."""
    clean = image.numpy()
    low, high = np.maximum(clean - EPS, 0), np.minimum(clean + EPS, 1)
    _, height, width = clean.shape
    best, best_loss = clean.copy(), distance(model, clean, guides)
    for number in range(queries - 1):
        tried = best.copy()
        if number == 0:
            up = torch.randint(2, (3, 1, width), generator=draws).numpy().astype(bool)
            tried = np.where(up, high, low)
        else:
            place, share = (number - 1) * 10_000 // (queries - 1), 0.8
            for limit in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000):
                share = share / 2 if place > limit else share
            side = max(1, round(math.sqrt(share * height * width)))
            h, w = min(side, height), min(side, width)
            down, right = torch.rand(2, generator=draws, dtype=torch.float64).tolist()
            top, left = int(down * (height - h + 1)), int(right * (width - w + 1))
            up = torch.randint(2, (3, 1, 1), generator=draws).numpy().astype(bool)
            area = np.s_[:, top : top + h, left : left + w]
            tried[area] = np.where(up, high[area], low[area])
        loss = distance(model, tried, guides)
        if loss > best_loss:
            best, best_loss = tried, loss
    return best, best_loss


def slow_estimate(model, image, guides, draws, queries, signs, pairs=3, sigma=0.02, coarse=3):
    """Sign steps along differences of answers for one image, of which the best is kept."""
    clean = image.numpy()
    _, height, width = clean.shape
    current, best, best_loss = clean.copy(), clean.copy(), distance(model, clean, guides)
    for _ in range((queries - 1) // (2 * pairs + 1)):
        gradient = np.zeros_like(clean)
        for _ in range(pairs):
            shape = (3, math.ceil(height / coarse), math.ceil(width / coarse))
            way = torch.randn(shape, generator=draws).numpy().astype(np.float64)
            way = np.where(way < 0, -1, 1) if signs else way
            way = way.repeat(coarse, 1).repeat(coarse, 2)[:, :height, :width]
            up, down = (np.clip(current + sign * sigma * way, 0, 1) for sign in (1, -1))
            rise = distance(model, up, guides) - distance(model, down, guides)
            gradient += rise / (2 * sigma) * way / pairs
        current = current + STEP * np.sign(gradient)
        current = np.clip(current, np.maximum(clean - EPS, 0), np.minimum(clean + EPS, 1))
        loss = distance(model, current, guides)
        if loss > best_loss:
            best, best_loss = current.copy(), loss
    return best, best_loss


def slow(name, model, image, guides, row, queries):
    if name == "square":
        return slow_square(model, image, guides, generator(SEED, "square", f"g{row}"), queries)
    draws = generator(SEED, "estimate", f"g{row}")
    return slow_estimate(model, image, guides, draws, queries, name == "spsa")


@pytest.mark.parametrize("name", ["square", "nes", "spsa"])
def test_against_a_slow_float64_loop(model, images, features, name):
    options = (
        {}
        if name == "square"
        else {"pairs": 3, "sigma": 0.02, "coarse": 3, "step_size": STEP, "momentum": 0.0}
    )
    attack = build_attack(name, eps=EPS, queries=60, seed=SEED, **options)
    found = attack(model, make_batch(images), References(features))
    for row, image in enumerate(images):
        guides = features.values[features.pids == PIDS[row]]
        expected, loss = slow(name, model, image, guides, row, 60)
        height, width = SIZES[row]
        difference = found.images[row, :, :height, :width].numpy() - expected
        assert np.abs(difference).max() < 1e-12, (name, row)
        assert math.isclose(float(found.after[row]), loss, rel_tol=1e-9)


@pytest.mark.parametrize("name", ["square", "nes", "spsa"])
@pytest.mark.parametrize("score", ["ap", "smooth_ap"])
def test_it_keeps_what_attacks_promise(name, score):
    options = {"queries": 60} if name == "square" else {"queries": 60, "pairs": 4, "sigma": 0.05}
    check_attack(build_attack(name, eps=64 / 255, score=score, **options))


class Counting(nn.Module):
    """Whole gray levels in, features out: no gradient anywhere, every image counted."""

    def __init__(self, network):
        super().__init__()
        self.network, self.count = network, 0

    def forward(self, images):
        assert not torch.is_grad_enabled()
        self.count += len(images)
        return self.network((images * 10).round() / 10)

    def __deepcopy__(self, memo):
        raise TypeError("no copies")


@pytest.mark.parametrize(("name", "queries"), [("square", 40), ("nes", 1 + 3 * 11), ("spsa", 34)])
def test_only_answers_are_used_and_every_one_is_counted(model, images, features, name, queries):
    options = {} if name == "square" else {"pairs": 5, "sigma": 0.1}
    counting = Counting(model.network)
    whole = PixelModel(counting, size=model.size)
    attack = build_attack(name, eps=EPS, queries=40, **options)
    found = attack(whole, make_batch(images), References(features))
    assert counting.count == 4 * queries == int(found.queries.sum())
    assert attack.describe()["queries"] == queries
    assert int(found.spent[-1]) == queries
    assert int(found.spent[0]) == 1


@pytest.mark.parametrize("name", ["square", "nes"])
def test_the_curve_never_falls_and_ends_where_the_attack_does(model, images, features, name):
    attack = build_attack(name, eps=EPS, queries=120, score="smooth_ap", temperature=0.1)
    found = attack(model, make_batch(images), References(features))
    assert found.trace.shape == (len(found.spent), 4)
    assert (found.trace[1:] >= found.trace[:-1]).all()
    assert torch.equal(found.trace[-1], found.after)
    assert (found.spent[1:] > found.spent[:-1]).all()
    again = RankScore(UNIT, temperature=0.1).bind(
        lambda x: model(x, sizes=make_batch(images).sizes), make_batch(images), References(features)
    )
    assert torch.allclose(again(found.images), found.after)


@pytest.mark.parametrize(("name", "rounds"), [("square", 89), ("nes", 12)])
def test_images_on_the_way_are_those_that_were_best_by_then(model, images, features, name, rounds):
    """What was best after a round is what the next proposal starts from."""
    attack = build_attack(name, eps=EPS, queries=90, **({} if name == "square" else {"pairs": 3}))
    seen, kind = {}, attack.proposals

    def watched(batch, bounds, rounds):
        proposals = kind(batch, bounds, rounds)
        propose = proposals.propose

        def recorded(best, losses_of, number):
            seen[number] = best.clone()
            return propose(best, losses_of, number)

        proposals.propose = recorded
        return proposals

    attack.proposals = watched
    found = attack(model, make_batch(images), References(features))
    places = [round(rounds * k * k / 81) for k in range(1, 9)]
    assert list(found.passed) == [n for n in dict.fromkeys(places) if n]
    for row, passed in found.passed.items():
        assert torch.equal(passed, seen[row])
    assert list(found.stages()) == [int(found.spent[row]) for row in found.passed]
    rows = [0, *found.passed, rounds]
    assert torch.equal(found.facts()["losses"], found.trace[rows])


def test_a_seed_gives_the_same_bytes_and_another_gives_others(model, images, features):
    batch, references = make_batch(images), References(features)
    first, again, other = (
        build_attack("square", eps=EPS, queries=30, seed=seed)(model, batch, references).images
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("signs", [False, True])
def test_the_estimate_is_the_gradient_in_the_mean(signs):
    slope = torch.linspace(-1, 1, 60, dtype=torch.float64).view(1, 3, 5, 4)
    batch = Batch(torch.full((1, 3, 5, 4), 0.5).double())
    bounds = LinfDelta(0.1)
    bounds.reset(batch)
    options = {"coarse": 1, "step_size": 0.01, "momentum": 0.0, "seed": 0}
    proposals = Estimated(batch, bounds, 1, pairs=2000, sigma=0.01, signs=signs, **options)
    found = proposals.estimate(batch.images, lambda x: (x * slope).flatten(1).sum(1))
    assert float(F.cosine_similarity(found.flatten(), slope.flatten(), dim=0)) > 0.98
    assert math.isclose(float(found.norm()), float(slope.norm()), rel_tol=0.1)


def test_the_published_schedule_of_squares():
    batch, bounds = Batch(torch.rand(1, 3, 8, 4)), LinfDelta(0.1)
    squares = Squares(batch, bounds, 10_000)
    shares = [squares.share(number) for number in (1, 11, 12, 51, 52, 1001, 1002, 8001, 8002)]
    halvings = [0, 0, 1, 1, 2, 4, 5, 8, 9]
    assert shares == [0.8 / 2**count for count in halvings]


def test_average_precision_is_scikit_learns():
    draws = torch.Generator().manual_seed(0)
    distances = torch.rand(5, 30, generator=draws, dtype=torch.float64)
    positives = torch.rand(5, 30, generator=draws) < 0.3
    expected = [
        average_precision_score(matches, -row)
        for matches, row in zip(positives, distances, strict=True)
    ]
    assert np.allclose(average_precision(distances, positives), expected)
    smooth = smooth_precision(distances, positives, 1e-6)
    assert np.allclose(smooth, expected)
    assert not np.allclose(smooth_precision(distances, positives, 1.0), expected)


def test_the_score_leaves_out_the_own_camera_and_the_image_itself(model, images):
    draws = torch.Generator().manual_seed(3)
    values = torch.randn(12, 16, generator=draws, dtype=torch.float64)
    pids, camids = torch.arange(12) % 3 + 1, torch.arange(12) % 2
    names = ("g0", *(f"r{i}" for i in range(11)))
    others, batch = Features(values, pids, camids, names), make_batch(images)
    for rule in ("all", "other", "leave_one_out"):
        losses = RankScore(UNIT).bind(
            lambda x: model(x, sizes=batch.sizes), batch, References(others, rule=rule)
        )(batch.images)
        for row, image in enumerate(images):
            ranked = []
            for other in range(12):
                same = int(pids[other]) == PIDS[row]
                if rule == "other" and same and int(camids[other]) == CAMIDS[row]:
                    continue
                if rule == "leave_one_out" and names[other] == f"g{row}":
                    continue
                ranked.append((distance(model, image, values[other : other + 1]), same))
            hits = [same for _, same in sorted(ranked)]
            precision = np.mean([sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit])
            assert math.isclose(float(losses[row]), 1 - precision, rel_tol=1e-9)


def test_a_targeted_score_is_the_precision_of_the_target(model, images, features):
    batch = make_batch(images)
    embed = lambda x: model(x, sizes=batch.sizes)  # noqa: E731
    targets = {"1": 3, "2": 3, "3": 1}
    pulled = RankScore(UNIT, targeted=True).bind(
        embed, batch, References(features, targets=targets)
    )
    pushed = RankScore(UNIT).bind(embed, batch, References(features, targets=targets))
    assert torch.allclose(pulled(batch.images), 1 - pushed(batch.images))


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("square", {"score": "smoth_ap"}, "did you mean 'smooth_ap'"),
        ("square", {"score": "smooth_ap", "temperature": 0}, "temperature above 0"),
        ("square", {"p": 0}, "share of an image"),
        ("square", {"queries": 1}, "queries=1 is too few"),
        ("nes", {"queries": 20}, "costs 21 queries"),
        ("nes", {"sigma": 2.0}, "sigma is in"),
        ("spsa", {"pairs": 0}, "1 or more"),
    ],
)
def test_wrong_options_are_named(name, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_attack(name, eps=EPS, **options)


def test_references_and_still_images_are_needed(model, images, features):
    attack, batch = build_attack("square", eps=EPS, score="ap", queries=5), make_batch(images)
    with pytest.raises(ConfigError, match="needs references"):
        attack(model, batch)
    with pytest.raises(DataError, match="1 of 4 images have no reference"):
        attack(model, batch, References(features, targets={"1": 3, "2": 9, "3": 1}))
    with pytest.raises(ConfigError, match="still images"):
        attack(model, Batch(torch.rand(1, 2, 3, 8, 4)), References(features))
    with pytest.raises(ConfigError, match="0 or more"):
        RankScore(UNIT, temperature=-1.0)
