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
