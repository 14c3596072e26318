"""The record of an ensemble agrees with the evaluation's stored images, and passes are counted."""

import dataclasses

import numpy as np
import pytest
import torch
from people import Stripes, pixel_model, write_people

from torchreid_adv.core.batch import Batch
from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.distances import build_distance
from torchreid_adv.evaluation import Protocol
from torchreid_adv.experiments import ensemble_record
from torchreid_adv.experiments.ensemble_record import EnsembleRecord, recorded_ensemble
from torchreid_adv.models.prepare import prepared
from torchreid_adv.standard.passes import Passes, counted
from torchreid_adv.standard.run import averaged_model, make_setting
from torchreid_adv.standard.tracks import QueryTrack
from torchreid_adv.standard.versions import STANDARD_2

EPS = 14
PROTOCOL = Protocol(distance=build_distance("euclidean", normalize=True))
SHORT = dataclasses.replace(
    STANDARD_2, rounds=((2, 0), (4, 0)), audit=0, square=4, noise=2, epochs=1, eot=2, draws=2,
    chunk=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    torch.set_num_threads(1)
    return write_people(tmp_path_factory.mktemp("people"), identities=3)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(ensemble_record, "STEPS", (1, 2, 4))
    monkeypatch.setattr(ensemble_record, "record_version", lambda: SHORT)


def random_defense():
    return build_defense("rrp_paper", size=[14, 8], border=1, final=[16, 8], place="random")


MODELS = {
    "a network": lambda: pixel_model(Stripes()),
    "a random defense": lambda: Defended(random_defense(), pixel_model(Stripes())),
}


@pytest.mark.parametrize(
    "name", ["a network", pytest.param("a random defense", marks=pytest.mark.slow)]
)
def test_the_last_point_is_the_stored_image_of_the_evaluation(name, data, tmp_path):
    model = MODELS[name]()
    record = recorded_ensemble(model, data, PROTOCOL, eps=EPS, folder=tmp_path / "record")
    session = make_setting(
        averaged_model(model, SHORT), data, tmp_path / "run", SHORT, (), PROTOCOL, 0
    )
    track = QueryTrack(session, EPS)
    arms = [member for member in session.members() if member.arm]
    assert {member.arm for member in arms} == set(record.ap)
    for member in arms:
        track._attack(member.name, track.table.valid)
        stored = track.table.scores[member.name].ap
        np.testing.assert_allclose(record.ap[member.arm][member.steps, member.steps], stored)
    assert (record.clean == track.table.clean.ap).all()
    again = recorded_ensemble(model, data, PROTOCOL, eps=EPS, folder=tmp_path / "record")
    assert again.facts() == record.facts()


def test_every_step_costs_one_pass_in_each_direction(data, tmp_path):
    model = pixel_model(Stripes())
    record = recorded_ensemble(model, data, PROTOCOL, eps=EPS, folder=tmp_path)
    for steps in (1, 2, 4):
        assert record.passes["push"][4, steps] == Passes(steps + 1, steps)
    further = {arm: record.passes[arm][4, 4].forward - 5 for arm in record.passes}
    assert further["push"] == 0
    assert further["margin"] == further["self"] == further["pull1"] == 1  # the clean feature
    assert EnsembleRecord.of(record.facts()).facts() == record.facts()


@pytest.mark.slow
def test_draws_of_a_defense_are_passes(data, tmp_path):
    model = Defended(random_defense(), pixel_model(Stripes()))
    record = recorded_ensemble(model, data, PROTOCOL, eps=EPS, folder=tmp_path)
    assert record.passes["push"][4, 2].backward == 4
    assert record.scored == SHORT.draws


def test_copies_share_a_counter_and_hooks_go():
    model = pixel_model(Stripes())
    images = torch.rand(3, 3, 16, 8)
    with counted(model) as counter, prepared(model, images) as ready:
        before = counter.passes
        moving = images.clone().requires_grad_()
        Batch(moving).embed(ready)(moving).sum().backward()
        with torch.no_grad():
            ready(images)
        assert counter.passes - before == Passes(6, 3)
    model(images)
    assert counter.passes - before == Passes(6, 3)
    assert (Passes(1, 2) + Passes(3, 4)).total == 10
