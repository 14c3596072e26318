"""Attacks on ranks against loops for one image, their selections and their own figures."""
# ruff: noqa: F811 (fixtures)

import dataclasses
import math

import numpy as np
import pytest
import torch
from test_fgsm import EPS, PIDS, SIZES, images, make_batch, model  # noqa: F401 (fixtures)
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.attacks.deep_ranking import ERS, CandidateRank, QueryRank, robustness_score
from torchreid_adv.attacks.rank_attack import Database, percentile_rank
from torchreid_adv.core.batch import generator
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Features

SEED, STEPS, STEP, WIDTH = 2, 4, 1 / 255, 3
NAMES = ["ca_plus", "ca_minus", "qa_plus", "qa_minus", "sp_qa", "tma", "ltm", "gtm", "gtt"]
UNIT = build_distance("euclidean", normalize=True)


@pytest.fixture
def others():
    """Seventeen images of four identities; the last one is the batch's own image g1."""
    draw = torch.Generator().manual_seed(9)
    values = torch.randn(17, 16, generator=draw, dtype=torch.float64)
    names = (*(f"r{i}" for i in range(16)), "g1")
    pids = torch.tensor([*(i % 4 + 1 for i in range(16)), 2])
    return Features(values, pids, torch.arange(17) % 3, names)


def unit(model, pixels):
    return F.normalize(model(pixels[None]), dim=1)[0]


class Slow:
    """One image's objective and figure, written with loops over the other side."""

    def __init__(self, name, model, image, row, others):
        self.name, self.model, self.row = name, model, row
        self.rows = list(F.normalize(others.values, dim=1))
        self.usable = [i for i, other in enumerate(others.image_ids) if other != f"g{row}"]
        self.own = [i for i in self.usable if others.pids[i] == PIDS[row]]
        self.foreign = [i for i in self.usable if others.pids[i] != PIDS[row]]
        clean = unit(model, image).detach()
        order = sorted(self.usable, key=lambda i: self.d(clean, self.rows[i]))
        self.kept = order[:5] if name == "sp_qa" else []
        order = [i for i in order if i not in self.kept]
        if name in ("ca_minus", "qa_minus"):  # the nearest 1 % are fewer than the width
            order = order[:WIDTH]
        width = 1 if name == "tma" else WIDTH
        draws = generator(SEED, "selection", f"g{row}")
        self.chosen = [order[i] for i in torch.randperm(len(order), generator=draws)[:width]]
        if name == "gtt":
            self.chosen = order[:1]
        self.nearest = min(self.foreign, key=lambda i: self.d(clean, self.rows[i]))

    @staticmethod
    def d(a, b):
        return ((a - b) ** 2).sum()

    def hinge(self, f, chosen, sign):
        """Mean over the chosen and the database of how far the order is from the wished one."""
        terms = []
        for i in chosen:
            for x in self.usable:
                if self.name.startswith("ca") and x == i:
                    continue
                if self.name.startswith("ca"):
                    gap = self.d(self.rows[i], f) - self.d(self.rows[i], self.rows[x])
                else:
                    gap = self.d(f, self.rows[i]) - self.d(f, self.rows[x])
                terms.append(F.relu(sign * gap))
        return torch.stack(terms).mean()

    def loss(self, f):
        if self.name == "tma":
            return f @ self.rows[self.chosen[0]] - 1
        if self.name == "ltm":
            furthest = max(self.d(f, self.rows[i]) for i in self.foreign)
            return -F.relu(furthest - min(self.d(f, self.rows[i]) for i in self.own))
        if self.name == "gtm":
            return -self.d(f, self.rows[self.nearest])
        sign = -1 if self.name.endswith("minus") or self.name == "gtt" else 1
        loss = -self.hinge(f, self.chosen, sign)
        return loss - 10 * self.hinge(f, self.kept, 1) if self.kept else loss

    def figure(self, f):
        if self.name == "tma":
            return float(f @ self.rows[self.chosen[0]])
        if self.name in ("ltm", "gtm"):
            first = min(self.usable, key=lambda i: self.d(f, self.rows[i]))
            return float(first in self.own)
        if self.name == "gtt":
            order = sorted(self.usable, key=lambda i: self.d(f, self.rows[i]))
            return float(self.chosen[0] in order[:4])
        ranks = []
        for i in self.chosen:
            if self.name.startswith("ca"):
                among = [x for x in self.usable if x != i]
                ranks.append(
                    [self.d(self.rows[i], self.rows[x]) < self.d(self.rows[i], f) for x in among]
                )
            else:
                ranks.append(
                    [self.d(f, self.rows[x]) < self.d(f, self.rows[i]) for x in self.usable]
                )
        return float(np.mean([100 * np.mean([bool(v) for v in rank]) for rank in ranks]))

    def climb(self, image):
        low, high = np.maximum(image.numpy() - EPS, 0), np.minimum(image.numpy() + EPS, 1)
        current = image.numpy().copy()
        for _ in range(STEPS):
            pixels = torch.tensor(current, requires_grad=True)
            self.loss(unit(self.model, pixels)).backward()
            current = np.minimum(
                np.maximum(current + STEP * np.sign(pixels.grad.numpy()), low), high
            )
        return torch.tensor(current)


def build(name, **options):
    if name not in ("tma", "ltm", "gtm", "gtt"):
        options.setdefault("width", WIDTH)
    return build_attack(name, eps=EPS, steps=STEPS, step_size=STEP, seed=SEED, **options)


@pytest.mark.parametrize("name", NAMES)
def test_against_a_slow_float64_loop(model, images, others, name):
    found = build(name)(model, make_batch(images), References(others))
    for row, image in enumerate(images):
        slow = Slow(name, model, image, row, others)
        expected = slow.climb(image)
        height, width = SIZES[row]
        difference = (found.images[row, :, :height, :width] - expected).abs().max()
        assert difference < 1e-12, (name, row)
        with torch.no_grad():
            clean, moved = unit(model, image), unit(model, expected)
        assert math.isclose(float(found.before[row]), float(slow.loss(clean)), rel_tol=1e-9)
        assert math.isclose(float(found.figure_before[row]), slow.figure(clean), rel_tol=1e-9)
        assert math.isclose(float(found.figure_after[row]), slow.figure(moved), rel_tol=1e-9)


@pytest.mark.parametrize("name", ["ca_plus", "qa_minus", "gtm"])
def test_the_cosine_distance_moves_unit_features_as_the_euclidean_one(model, images, others, name):
    batch, references = make_batch(images), References(others)
    attacks = (
        build_attack(name, eps=EPS, steps=STEPS, distance=metric)
        for metric in ("euclidean", "cosine")
    )
    one, other = (attack(model, batch, references) for attack in attacks)
    assert torch.allclose(one.images, other.images, rtol=0, atol=1e-12)
    assert torch.allclose(one.after, 2 * other.after)


def embed(model, batch):
    return lambda pixels: model(pixels, sizes=batch.sizes)


@pytest.mark.parametrize(
    ("name", "way"), [("ca_plus", -1), ("ca_minus", 1), ("qa_plus", -1), ("qa_minus", 1)]
)
def test_the_percentile_rank_moves_the_way_the_attack_is_named(model, images, others, name, way):
    attack = build_attack(name, eps=16 / 255, width=1, steps=12)
    found = attack(model, make_batch(images), References(others))
    assert found.figure == "percentile rank"
    assert (way * (found.figure_after - found.figure_before)).mean() > 0


def test_the_first_image_is_kept_until_it_is_moved_out_of_four_places(model, images, others):
    attack = build_attack("gtt", eps=32 / 255, steps=20)
    found = attack(model, make_batch(images), References(others))
    assert found.figure_before.tolist() == [1.0] * 4
    assert found.figure_after.mean() < 1


def test_the_neighbors_to_keep_stay_nearer_with_their_weight(model, images, others):
    batch, references = make_batch(images), References(others)
    near = Database.of(UNIT, embed(model, batch), batch, references).nearest(5)
    ranks = []
    for keep in (1e-9, 100.0):
        attack = build_attack("sp_qa", eps=16 / 255, keep=keep, seed=SEED)
        found = attack(model, batch, references).images
        between = Database.of(
            UNIT, embed(model, make_batch(images)), _with(batch, found), references
        ).distances
        ranks.append(percentile_rank(between.gather(1, near), between[:, None]).mean())
    assert ranks[1] < ranks[0]


def _with(batch, moved):
    return dataclasses.replace(batch, images=moved)


def test_what_is_moved_away_comes_from_the_nearest_hundredth(model, images):
    draw = torch.Generator().manual_seed(1)
    values = torch.randn(700, 16, generator=draw, dtype=torch.float64)
    many = Features(values, torch.arange(700), torch.zeros(700).long(), tuple(map(str, range(700))))
    batch = make_batch(images)
    database = Database.of(UNIT, embed(model, batch), batch, References(many))
    barred, rounds = torch.zeros_like(database.same_image), set()
    for seed in range(30):
        columns = database.drawn(3, batch.rng(seed), top=True, barred=barred)
        near = database.distances.argsort(1)[:, :7]
        assert (columns[:, :, None] == near[:, None]).any(2).all()
        assert all(len(set(row)) == 3 for row in columns.tolist())
        rounds |= set(columns[0].tolist())
    assert len(rounds) == 7
    spread = database.drawn(3, batch.rng(0), top=False, barred=barred)
    assert not (spread[:, :, None] == near[:, None]).any(2).all()


def test_neighbors_to_keep_are_no_candidates_and_an_image_is_not_its_own(model, images, others):
    batch, references = make_batch(images), References(others)
    database = Database.of(UNIT, embed(model, batch), batch, references)
    near = database.nearest(5)
    barred = torch.zeros_like(database.same_image).scatter(1, near, True)
    columns = database.drawn(50, batch.rng(0), top=False, barred=barred)
    assert columns.shape == (4, 11)  # 17 - 5, and one less for the image that is there itself
    assert not (columns[:, :, None] == near[:, None]).any()
    assert 16 not in columns[1].tolist() + near[1].tolist()


def test_percentile_rank_by_hand():
    candidates = torch.tensor([[0.5, 0.1], [2.0, 2.0]])
    database = torch.tensor([[[0.1, 0.2, 0.6, 0.9]], [[1.0, 1.0, 1.0, 3.0]]])
    assert percentile_rank(candidates, database).tolist() == [25.0, 75.0]
    valid = torch.tensor([[[True, True, False, False]], [[False, False, False, True]]])
    assert percentile_rank(candidates, database, valid).tolist() == [50.0, 0.0]


def test_a_rank_is_counted_against_the_whole_database():
    draws = np.random.default_rng(0)
    features, query, moved = draws.normal(size=(40, 4)), draws.normal(size=4), draws.normal(size=4)
    distances = ((features - query) ** 2).sum(1)
    own = ((moved - query) ** 2).sum()
    expected = 100 * np.searchsorted(np.sort(distances), own) / 40
    found = percentile_rank(torch.tensor([[own]]), torch.tensor(distances)[None, None])
    assert math.isclose(float(found), expected)


def test_robustness_score_by_hand():
    untouched = {
        "ca_plus": 50, "ca_minus": 0, "qa_plus": 50, "qa_minus": 0, "tma": 0, "es_shift": 0,
        "es_r1": 100, "ltm": 100, "gtm": 100, "gtt": 100,
    }  # fmt: skip
    assert set(untouched) == set(ERS)
    assert robustness_score(untouched) == 100
    broken = dict.fromkeys(ERS, 0.0) | {"ca_minus": 100, "qa_minus": 100, "tma": 1, "es_shift": 2}
    assert robustness_score(broken) == 0
    assert math.isclose(robustness_score(untouched | {"ca_plus": 40, "tma": 0.5}), 100 - 2 - 5)
    with pytest.raises(ConfigError, match=r"missing or unknown: \['gtt'\]"):
        robustness_score({key: 0.0 for key in ERS if key != "gtt"})


def test_what_an_attack_on_ranks_needs_is_said(model, images, others):
    batch = make_batch(images)
    with pytest.raises(ConfigError, match="ranks among reference features"):
        build("ca_plus")(model, batch)
    one = Features(others.values[:2], torch.tensor([1, 1]), torch.tensor([0, 1]), ("a", "b"))
    with pytest.raises(ConfigError, match="of its identity and of another one"):
        build("gtm")(model, make_batch(images, [0]), References(one))
    assert QueryRank(UNIT, up=True).describe()["figure"] == "percentile rank"
    assert CandidateRank(UNIT, up=True).describe()["metric"] == "euclidean"
