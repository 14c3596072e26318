"""Fixtures of attacked data sets, their results, and pages without figures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from report.attacked_samples import results_of, target_maker

from torchreid_adv.report import style
from torchreid_adv.report.page import PageFigure
from torchreid_adv.runs.page import AttackedSection
from torchreid_adv.standard.page_view import View


@pytest.fixture
def make_target(tmp_path, monkeypatch):
    """Return a factory of AttackedData whose images lie below tmp_path."""
    monkeypatch.setattr(style, "DPI", 30)
    return target_maker(tmp_path)


def empty_figure(alt):
    return PageFigure(Figure((1, 1)), alt)


@pytest.fixture
def without_figures(monkeypatch):
    """Leave the figures empty where a test is about the page: drawing takes a second a report."""
    monkeypatch.setattr(
        AttackedSection,
        "_draw",
        lambda _: {name: empty_figure(name) for name in ("cmc", "distances", "queries")},
    )


@pytest.fixture
def without_plots(monkeypatch):
    """The same for the page of the standard evaluation."""
    monkeypatch.setattr(View, "_draw", lambda _: {"distances": empty_figure("distances")})
    monkeypatch.setattr("torchreid_adv.standard.page.bounds_figure", lambda *_: Figure((1, 1)))


@pytest.fixture
def make_results():
    """Return a factory of the content of results.json for some targets."""
    return results_of
