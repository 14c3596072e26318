"""Every flag, by models with a planted defect and by the numbers alone; honest ones raise none."""

import dataclasses

import numpy as np
import pytest
import torch
from people import TOY, Around, Stripes, pixel_model, write_people
from torch import nn

from torchreid_adv.defenses import Defended, Defense
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.standard.flags import Trials, of_model, of_table, of_trials
from torchreid_adv.standard.inspection import look
from torchreid_adv.standard.result import why_not
from torchreid_adv.standard.run import _checked, evaluate_standard, make_setting
from torchreid_adv.standard.sample import sample
from torchreid_adv.standard.scores import Scores, Table
from torchreid_adv.standard.versions import LITE, STANDARD

SHORT = dataclasses.replace(TOY, sample=6, curve=(0, 14, 255))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    torch.set_num_threads(1)
    return write_people(tmp_path_factory.mktemp("people"))


def raised(model, data, out, version=SHORT, **settings):
    """Flag name -> level, of a run on queries."""
    settings = {"tracks": ["Q"], **settings}
    result = evaluate_standard(model, data, out=out, version=version, **settings)
    return {flag["name"]: flag["level"] for flag in result["flags"]}, result


class Noisy(nn.Module):
    def forward(self, images):
        return images + 0.05 * torch.randn_like(images)


class Purified(nn.Module):
    """Walks towards smoothness in its own forward pass."""

    def forward(self, images):
        start = images.detach()
        with torch.enable_grad():
            moving = start.clone().requires_grad_()
            rough = (moving[..., 1:, :] - moving[..., :-1, :]).pow(2).sum()
            (way,) = torch.autograd.grad(rough, moving)
        return images - 0.05 * way


class BatchMean(nn.Module):
    def forward(self, images):
        return images - 0.5 * images.mean(0, keepdim=True)


class Levels(nn.Module):
    """Four levels: no gradient, and noise and squares cross between them."""

    def forward(self, images):
        return (images * 3).round() / 3


class Hidden(nn.Module):
    """No gradient gets through."""

    def forward(self, images):
        return images.detach().clone()


class Alike(nn.Module):
    """A large common part: all features point the same way."""

    def __init__(self):
        super().__init__()
        self.network = Stripes()

    def forward(self, images):
        return self.network(images) * 0.01 + 1


class Blind(nn.Module):
    """Features that are noise of the image: clean rankings are random."""

    def forward(self, images):
        return torch.sin(4000 * images).flatten(1)[:, ::7]


class Undeclared(Defense):
    """Says nothing of itself."""

    def exact(self, images, drawn=None):
        return images * 0.9 + 0.05


RED_CASES = {
    "RAND": lambda: pixel_model(Around(Noisy())),
    "DYN": lambda: pixel_model(Around(Purified())),
    "BATCH": lambda: pixel_model(Around(BatchMean())),
    "ZERO": lambda: pixel_model(Around(Levels())),
    "UNB": lambda: pixel_model(Around(Hidden())),
}


def raised_of(checks):
    """Flag name -> level."""
    return {check.name: check.level for check in checks if check.raised}


def looked(model, data, out, **settings):
    """Flag name -> level, of what is seen before any attack."""
    distance = build_distance("euclidean", normalize=True)
    setting = make_setting(model, data, out, SHORT, (), Protocol(distance=distance), 0)
    setting = dataclasses.replace(setting, **settings)
    scores, chance = _checked(setting)
    chosen = sample(data.query, ~np.isnan(scores.ap), 6)
    return raised_of(of_model(look(setting, chosen, scores, chance)))


@pytest.mark.parametrize("name", ["RAND", "DYN", "BATCH", "ZERO"])
def test_a_planted_defect_is_seen_before_any_attack(name, data, tmp_path):
    assert looked(RED_CASES[name](), data, tmp_path) == {name: "RED"}


def test_an_honest_model_raises_nothing_before_any_attack(data, tmp_path):
    assert looked(pixel_model(Stripes()), data, tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", RED_CASES)
def test_a_planted_defect_voids_the_word_standard(name, data, tmp_path):
    version = dataclasses.replace(
        SHORT, steps=4, self_steps=2, pulls=1, square=5, noise=2, curve=(0, 255)
    )
    flags, result = raised(RED_CASES[name](), data, tmp_path, version)
    assert flags[name] == "RED"
    assert not result["standard"]["called_standard"]
    assert name in result["standard"]["reasons"][-1]


@pytest.mark.slow
def test_attacks_that_know_less_give_a_hidden_gradient_away(data, tmp_path):
    version = dataclasses.replace(SHORT, eps=(30,), curve=(0, 255), square=400, noise=8)
    flags, result = raised(pixel_model(Around(Levels())), data, tmp_path, version)
    assert flags["BB"] == flags["NOISE"] == "RED"
    assert flags["PERQ"] == "AMBER"
    assert set(result["tracks"]["Q"]["30"]["attacks"]) == {"noise", "square"}


def test_another_metric_than_the_one_that_ranks_is_said(data, tmp_path):
    other = build_distance("cosine")
    assert looked(pixel_model(Stripes()), data, tmp_path, attacked=other) == {"METRIC": "RED"}


def test_features_that_tell_nobody_apart_are_said(data, tmp_path):
    assert looked(pixel_model(Alike()), data, tmp_path / "alike")["COLLAPSE"] == "RED"
    assert looked(pixel_model(Blind()), data, tmp_path / "blind")["COLLAPSE"] == "RED"


def test_a_defense_that_says_nothing_of_itself_is_said(data, tmp_path):
    model = Defended(Undeclared(), pixel_model(Stripes()))
    assert looked(model, data, tmp_path) == {"STAGE": "AMBER"}


@pytest.mark.slow
def test_too_few_steps_are_said(data, tmp_path):
    version = dataclasses.replace(SHORT, steps=1, self_steps=1, square=3, noise=1, curve=(0,))
    version = dataclasses.replace(version, eps=(16,))
    flags, _ = raised(pixel_model(Stripes()), data, tmp_path, version)
    assert flags["CONV"] == "AMBER"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_an_honest_model_raises_no_red_flag(seed, data, tmp_path):
    version = dataclasses.replace(SHORT, steps=30, square=100, eps=(8, 20))
    surrogates = [pixel_model(Stripes(100)), pixel_model(Stripes(101))]
    model = pixel_model(Stripes(seed, gain=1 + seed))
    flags, result = raised(model, data, tmp_path, version, surrogates=surrogates)
    assert "RED" not in flags.values(), result["flags"]


HONEST = Trials({0: 1.0, 8: 0.4, 255: 0.02}, 0.6, 0.45, 0.4, 0.39, 0.01, 0, 0.01)


@pytest.mark.parametrize(
    ("change", "name", "level"),
    [
        ({"curve": {0: 1.0, 8: 0.4, 255: 0.11}}, "UNB", "RED"),
        ({"single": 0.444}, "ITER", "RED"),
        ({"curve": {0: 1.0, 5: 0.39, 8: 0.396, 255: 0.02}}, "MONO", "RED"),
        ({"silent": 1}, "SILENT", "RED"),
        ({"doubled": 0.379}, "CONV", "AMBER"),
        ({"moving": 0.051}, "CONV", "AMBER"),
    ],
)
def test_thresholds_of_trials(change, name, level):
    checks = {check.name: check for check in of_trials(dataclasses.replace(HONEST, **change))}
    assert raised_of(checks.values()) == {name: level}
    assert checks[name].value > checks[name].threshold
    assert set(checks) == {"UNB", "ITER", "MONO", "SILENT", "CONV"}


def test_trials_below_every_threshold_raise_nothing():
    assert raised_of(of_trials(HONEST)) == {}
    edge = {"curve": {0: 1.0, 8: 0.4, 255: 0.1}, "single": 0.446, "doubled": 0.381, "moving": 0.05}
    assert raised_of(of_trials(dataclasses.replace(HONEST, **edge))) == {}


def table(**attacks):
    queries = 20
    pids = np.arange(queries)

    def scores(value):
        ap = np.broadcast_to(np.asarray(value, float), queries).copy()
        return Scores(ap, np.ones((queries, 3)))

    return Table(pids, scores(1.0), {name: scores(value) for name, value in attacks.items()})


def names(found):
    return list(raised_of(of_table(found, 0.02, "Q, eps 8")))


def test_a_check_says_what_it_measured_where_it_raises_nothing():
    found = {c.name: c for c in of_table(table(push=0.5, square=0.49, noise=0.9), 0.02, "here")}
    assert found["BB"].value == pytest.approx(0.01)
    assert found["NOISE"].value == pytest.approx(-0.4)
    assert found["PERQ"].value == 0
    assert {check.where for check in found.values()} == {"here"}
    assert [check.name for check in of_table(table(push=0.5), 0.02, "")] == []


def test_thresholds_between_attacks():
    assert names(table(push=0.5, square=0.49, noise=0.9)) == []
    assert names(table(push=0.5, square=0.47, noise=0.9)) == ["BB"]
    assert names(table(push=0.5, transfer=0.4, noise=0.9)) == ["BB", "PERQ"]
    assert names(table(push=0.5, square=0.49, noise=0.5)) == ["NOISE"]
    assert names(table(push=0.03, noise=0.03)) == []  # broken all the same
    assert names(table(push=1.0, noise=1.0)) == []  # nothing moves it
    some = [0.4] * 2 + [0.5] * 18
    assert names(table(push=0.5, square=some, noise=0.9)) == ["PERQ"]


def test_what_is_called_standard():
    assert why_not(STANDARD, 2, []) == []
    assert why_not(LITE, 2, []) == []
    assert "other models" in why_not(STANDARD, 1, [])[0]
    assert "budgets" in why_not(dataclasses.replace(LITE, steps=49), 2, [])[0]


class Constant(Stripes):
    def forward(self, images):
        return super().forward(images) * 0 + 1


class Broken(Stripes):
    def forward(self, images):
        return super().forward(images) / 0


class Probabilities(Stripes):
    def forward(self, images):
        return super().forward(images).softmax(1)


class Training(Stripes):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(32)

    def forward(self, images):
        return self.norm(super().forward(images))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Constant(), "the same"),
        (Broken(), "NaN"),
        (Probabilities(), "probabilities"),
        (Training(), "'network.norm' is in train mode"),
    ],
)
def test_bad_models_are_refused_with_the_reason_and_nothing_is_left(
    network, reason, data, tmp_path
):
    model = pixel_model(network)
    if isinstance(network, Training):
        model.train()
    with pytest.raises((ConfigError, DataError), match=reason):
        evaluate_standard(model, data, out=tmp_path / "out", version=SHORT)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
