"""Metrics reach every logger: TensorBoard's files, one that a package registers, an object."""

import json
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from people import Stripes, pixel_model, write_people
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core import loggers
from torchreid_adv.errors import ConfigError

PLACES = []


class Kept:
    """Keeps what it is told."""

    def __init__(self, folder=None):
        self.folder, self.steps, self.files, self.closed = folder, [], [], 0

    def scalars(self, values, *, step):
        self.steps.append((step, dict(values)))

    def file(self, path):
        self.files.append(path)

    def close(self):
        self.closed += 1


def registered(folder):
    PLACES.append(Kept(folder))
    return PLACES[-1]


def broken(folder):
    raise RuntimeError("no key is set")


@pytest.fixture
def group(monkeypatch):
    """Entry points of an installed package."""
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{name}", loggers.GROUP) for name in ("registered", "broken")
    )
    monkeypatch.setattr(loggers, "entry_points", lambda **chosen: points.select(**chosen))
    PLACES.clear()
    return PLACES


@pytest.fixture(autouse=True)
def forgotten():
    config.forget()
    yield
    config.forget()


def test_an_attack_is_logged_by_a_file_of_tensorboard_and_by_an_object(tmp_path):
    data, kept = write_people(tmp_path / "people", identities=4), Kept()
    out = tmp_path / "run"
    with adv.logging_to(kept, "tensorboard", folder=out):
        adv.attack_dataset(pixel_model(Stripes()), data, "fgsm", eps=14 / 255, out=out, quiet=True)
    facts = json.loads((out / "results.json").read_text())["targets"]["people"]
    expected = {
        f"people/{kind}/{name}": value
        for kind in ("clean", "adversarial")
        for name, value in (("mAP", facts[kind]["mAP"]), ("rank1", facts[kind]["cmc"]["1"]))
    }
    assert kept.steps == [(0, expected)]
    assert kept.files == [out / "report.html"]
    assert kept.closed == 0  # it is the caller's
    events = EventAccumulator(str(out)).Reload()
    for name, value in expected.items():
        (event,) = events.Scalars(name)
        assert event.value == pytest.approx(value)


def test_a_package_s_logger_has_each_bound_of_a_table_and_is_closed(tmp_path, group):
    data = write_people(tmp_path / "people", identities=4)
    table = adv.sweep(
        pixel_model(Stripes()), data, eps=[4 / 255, 8 / 255], attacks="fgsm", out=tmp_path / "t",
        settings={"adv.report.loggers": ["registered"]}, quiet=True,
    )  # fmt: skip
    (kept,) = group  # one for the table, none for each of its attacks
    assert kept.folder == tmp_path / "t"
    assert kept.closed == 1
    steps = [(step, values) for step, values in kept.steps if step]
    assert [step for step, _ in steps] == [4, 8]
    for (_, values), row in zip(steps, table.rows(), strict=True):
        assert values["people/Stripes/fgsm/Stripes/mAP"] == row["mAP"]


def test_what_cannot_be_logged_to_is_said_before_anything_is_done(group):
    cfg = default_config(use_gpu=False)
    cfg.adv.report.loggers = ["tensorbord"]
    with pytest.raises(ConfigError, match=r"did you mean 'tensorboard'.*registered, broken"):
        config.setup(cfg)
    with (
        pytest.raises(ConfigError, match="'broken' cannot be made: no key is set"),
        adv.logging_to("broken"),
    ):
        raise AssertionError


def test_loggers_end_with_their_block(group, tmp_path):
    outer, inner = Kept(), Kept()
    with loggers.logging_to(outer, "registered", folder=tmp_path):
        with loggers.logging_to(inner, "registered"):
            loggers.log({"a": 1.0}, step=3)
        loggers.log({"b": 2.0})
    loggers.log({"c": 3.0})
    assert outer.steps == [(3, {"a": 1.0}), (0, {"b": 2.0})]
    assert inner.steps == [(3, {"a": 1.0})]
    (kept,) = group
    assert kept.steps == outer.steps
    assert kept.closed == 1
