"""What a long job says where there is no terminal, and the cores that loaders may use."""

import io
import sys
import time

import pytest

from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core import speaking
from torchreid_adv.runs import torchreid_checks


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "speaks"), [(io.StringIO(), True), (Terminal(), False)])
def test_a_long_job_says_that_it_goes_on(monkeypatch, stream, speaks):
    monkeypatch.setattr(sys, "stderr", stream)
    with speaking.heartbeat("transfer", every=0.02):
        end = time.monotonic() + 10
        while speaks and "still working" not in stream.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
    said = stream.getvalue()
    assert ("transfer: still working after 0 min" in said) == speaks
    time.sleep(0.06)
    assert stream.getvalue() == said


def said_by(monkeypatch, ended):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with speaking.heartbeat("study", every=0.02):
        end = time.monotonic() + 10
        while ended not in stream.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("unit", "done", "line"),
    [
        ("batch", 0, "study, 0 min: inner: 0 of 3,000 batches\n"),
        ("query", 1500, "inner: 1,500 of 3,000 queries, "),
        ("image", 1500, " min left\n"),
    ],
)
def test_a_file_has_count_rate_and_time_left_of_the_innermost_work(monkeypatch, unit, done, line):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with (
        speaking.progress_bar("outer", total=2),
        speaking.progress_bar("inner", total=3000, unit=unit) as bar,
    ):
        bar.update(done)
        said = said_by(monkeypatch, "\n")
        assert line in said
        assert ("per second" in said) == bool(done)
    assert speaking.status() == ""


def test_a_rate_is_one_of_the_whole_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    now = iter((100.0, 160.0))
    monkeypatch.setattr(speaking.time, "monotonic", lambda: next(now))
    with speaking.progress_bar("training", total=900, unit="batch") as bar:
        bar.update(300)
        assert bar.said() == "training: 300 of 900 batches, 5 per second, 2 min left"


def test_a_short_job_says_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with speaking.heartbeat("transfer", every=60):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("pairs", "left"), [([], 2), (["data.workers", "4"], 4)])
def test_workers_are_no_more_than_the_cores_unless_they_were_set(monkeypatch, pairs, left):
    monkeypatch.setattr(torchreid_checks, "cores", lambda: 2)
    cfg = default_config(use_gpu=False)
    cfg.merge_from_list(pairs)
    torchreid_checks.limit_workers(cfg)
    assert cfg.data.workers == left


def test_more_cores_than_the_default_change_nothing(monkeypatch):
    monkeypatch.setattr(torchreid_checks, "cores", lambda: 64)
    cfg = default_config(use_gpu=False)
    torchreid_checks.limit_workers(cfg)
    assert cfg.data.workers == 4
