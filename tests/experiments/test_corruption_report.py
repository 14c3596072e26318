"""A model on corrupted images: the published draw, the grid, and what is said of both."""

import json

import numpy as np
import pytest
import torch
from markets import write_market

from torchreid_adv import cli
from torchreid_adv.experiments.corruption_report import Progress, grid_results
from torchreid_adv.models.loading import build_network

KINDS = "['fog', 'contrast', 'occlusion_gray']"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_market(folder / "data", cameras=2, distractors=1)
    torch.manual_seed(0)
    torch.save(build_network("osnet_x0_25").state_dict(), folder / "model.pth")
    return folder


def report(place, out, *pairs):
    flags = ["-t", "market1501", "--root", str(place / "data")]
    model = ["model.name", "osnet_x0_25", "model.load_weights", str(place / "model.pth")]
    sizes = ["data.height", "64", "data.width", "32", "data.workers", "0"]
    chosen = ["data.save_dir", str(place / out), "adv.corruption.kinds", KINDS]
    repeats = ["adv.corruption.repeats", "2"]
    return cli.main(["corruption-report", *flags, *model, *sizes, *chosen, *repeats, *pairs])


@pytest.fixture(scope="module")
def found(place):
    assert report(place, "run") == 0
    return json.loads((place / "run" / "corruptions.json").read_text())["targets"]["market1501"]


def test_the_draw_has_three_settings_and_a_mean_of_its_repeats(found):
    assert set(found["draws"]) == {"both", "query", "gallery"}
    repeats = [np.mean([v for v in one if v is not None]) for one in found["queries"]["both"]]
    assert found["draws"]["both"]["mAP"] == pytest.approx(np.mean(repeats))
    assert found["draws"]["both"]["deviation"]["mAP"] == pytest.approx(np.std(repeats, ddof=1))
    low, high = found["draws"]["both"]["interval"]
    assert low <= found["draws"]["both"]["mAP"] <= high
    assert found["clean"]["mAP"] > found["draws"]["both"]["mAP"]


def test_the_grid_has_every_kind_and_severity_and_further_kinds_count_in_no_mean(found):
    assert list(found["grid"]) == ["fog", "contrast", "occlusion_gray"]
    assert {tuple(row) for row in found["grid"].values()} == {tuple("12345")}
    assert found["families"] == {"weather": ["fog"], "digital": ["contrast"]}
    assert found["further"] == ["occlusion_gray"]
    means = [np.mean(list(found["grid"][kind].values())) for kind in ("fog", "contrast")]
    assert found["grid_mean"] == pytest.approx(np.mean(means))
    assert found["worst"]["kind"] == ("fog", "contrast")[int(np.argmin(means))]
    pairs = [
        [v for v in found["queries"]["grid"][f"{kind} 3"] if v is not None]
        for kind in ("fog", "contrast")
    ]
    assert found["worst"]["per_query_mAP"] == pytest.approx(np.mean(np.min(pairs, axis=0)))


def test_a_second_run_reads_back_and_other_settings_do_not(place, found, capsys, monkeypatch):
    from torchreid_adv.experiments import corruption_report as module

    calls = []
    extract = module.extract
    monkeypatch.setattr(module, "extract", lambda *a, **k: calls.append(1) or extract(*a, **k))
    assert report(place, "run") == 0
    assert calls == []
    said = capsys.readouterr().out
    assert "18 of 18" in said
    assert " s each, " not in said
    assert "| fog |" in said
    assert report(place, "run", "adv.corruption.scale", "input", "adv.corruption.grid", "F") == 2
    assert report(place, "run", "adv.corruption.scale", "input") == 0
    assert calls  # radii are other ones


def test_a_fixed_severity_makes_a_grid_of_one_column(place):
    assert report(place, "fixed", "adv.corruption.severity", "2") == 0
    results = json.loads((place / "fixed" / "corruptions.json").read_text())
    grid = results["targets"]["market1501"]["grid"]
    assert {tuple(row) for row in grid.values()} == {("2",)}
    text = (place / "fixed" / "corruptions.md").read_text()
    assert "| kind | 2 | mean | loss |" in text
    assert "at severity 2" in text


def test_without_a_grid_nothing_is_said_of_it(place):
    assert report(place, "bare", "adv.corruption.grid", "False") == 0
    text = (place / "bare" / "corruptions.md").read_text()
    assert "Worst kind" not in text
    assert "both sides corrupted" in text


def test_a_query_that_nobody_can_find_counts_in_no_minimum():
    cell = {"mAP": 0.5, "average_precision": [0.5, None]}
    lower = {"mAP": 0.25, "average_precision": [0.25, None]}
    found = grid_results({("fog", 3): cell, ("rain", 3): lower})
    assert found["worst"]["per_query_mAP"] == 0.25
    assert found["worst"]["kind"] == "rain"
    assert grid_results({}) == {"grid": {}}


def test_progress_tells_rate_and_time_left_of_what_it_made(capsys):
    progress = Progress(4)
    progress.say("clean", 0.5, computed=False)
    progress.started -= 120
    progress.say("fog 1", 0.25, computed=True)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("1 of 4")
    assert second.endswith("2 of 4, 120.0 s each, 4 min left")
