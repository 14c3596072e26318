"""Curves against queries and the figures of attacks on ranks, end to end and after an end."""

import json
import shutil

import pytest
import torch
from markets import write_market
from scripts.tiny_model import Tiny

import torchreid_adv as adv
from torchreid_adv import cli
from torchreid_adv.attacks import References
from torchreid_adv.data.images import read_pixels
from torchreid_adv.data.loading import make_batch
from torchreid_adv.distances import build_distance
from torchreid_adv.experiments.ranking_robustness import RUNS, ranking_robustness

UNIT = build_distance("euclidean", normalize=True)
SQUARE = ["adv.attack.name", "square", "adv.attack.options.queries", "30"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small data set, a network so small that attacks take no time, and its weights."""
    place = tmp_path_factory.mktemp("tiny")
    write_market(place / "data", images=1)
    torch.manual_seed(0)
    torch.save({"state_dict": Tiny().state_dict()}, place / "tiny.pth")
    return place


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """The pictures of the report, which take longer than all else here, are not drawn."""
    monkeypatch.setattr("torchreid_adv.runs.attack_dataset.write_report", lambda *_: None)


def attack(tiny, out, *options):
    pairs = ["model.name", "tiny", "model.load_weights", str(tiny / "tiny.pth")]
    pairs += ["data.height", "64", "data.width", "32", "data.workers", "0", "adv.job.chunk", "4"]
    pairs += ["data.save_dir", str(out), "test.normalize_feature", "True", "adv.attack.eps", "8"]
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(tiny / "data")]
    assert cli.main(["attack-gallery", *flags, *pairs, *options]) == 0
    return json.loads((out / "results.json").read_text())["targets"]["market1501"]


def by_hand(tiny, name, side, **options):
    """Return features of both sides, and what an attack gives back for each image of one."""
    model = adv.load_model("tiny", tiny / "tiny.pth", size=(64, 32))
    data = adv.load_dataset("market1501", root=tiny / "data")
    sides = {part: adv.extract(model, data.side(part)) for part in ("query", "gallery")}
    other = "query" if side == "gallery" else "gallery"
    references = References(sides[other], rule="all" if side == "gallery" else "other")
    attack = adv.build_attack(name, eps=8 / 255, **options)
    found = {}
    for record in data.side(side):
        if record.pid:
            batch = make_batch([record], [read_pixels(record.path)])
            found[record.image_id] = attack(model, batch, references)
    return model, sides, found


def test_the_curve_is_map_by_the_answers_asked(tiny, tmp_path, capsys):
    target = attack(tiny, tmp_path, *SQUARE)
    curve = target["query_curve"]
    assert curve["queries"] == [1, 2, 4, 7, 10, 14, 19, 24, 30]  # 29 rounds, (k / 9) ** 2 of them
    assert curve["mAP"][0] == target["clean"]["mAP"]
    assert curve["mAP"][-1] == target["adversarial_float"]["mAP"]
    assert curve["objective"] == sorted(curve["objective"])
    assert "mAP by answers asked for each image, before rounding: 1: " in capsys.readouterr().out
    model, sides, found = by_hand(tiny, "square", "gallery", queries=30)
    for place, asked in list(enumerate(curve["queries"]))[1:-1]:
        values, gallery = sides["gallery"].values.clone(), sides["gallery"]
        for name, one in found.items():
            with torch.no_grad():
                values[gallery.image_ids.index(name)] = model(one.stages()[asked])[0]
        moved = adv.Features(values, gallery.pids, gallery.camids, gallery.image_ids)
        result = adv.evaluate(sides["query"], moved, distance=UNIT)
        assert curve["mAP"][place] == pytest.approx(result.mAP)
        losses = [float(one.trace[asked - 1]) for one in found.values()]
        assert curve["objective"][place] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_a_run_that_ended_midway_gives_the_same_results(tiny, tmp_path):
    """The ledger is cut in the middle of a record: units are done again, others read back."""
    whole = attack(tiny, tmp_path / "whole", *SQUARE)
    again = tmp_path / "again"
    attack(tiny, again, *SQUARE)
    (ledger,) = (again / "market1501" / ".job").glob("*.ledger")
    content = ledger.read_bytes()
    ledger.write_bytes(content[: len(content) // 3])
    (again / "results.json").unlink()
    shutil.rmtree(again / "market1501" / "adversarial" / "manifest.jsonl", ignore_errors=True)
    resumed = attack(tiny, again, *SQUARE)
    assert len(list((again / "market1501" / ".job").glob("*.ledger"))) == 2
    for target in (whole, resumed):
        del target["images_per_second"]
    assert json.dumps(resumed) == json.dumps(whole)


@pytest.mark.parametrize(
    ("name", "side", "figure"),
    [
        ("ca_plus", "gallery", "percentile rank"),
        ("qa_minus", "query", "percentile rank"),
        ("tma", "query", "cosine"),
        ("gtm", "query", "rank-1"),
    ],
)
def test_the_figure_of_an_attack_on_ranks_is_its_mean(tiny, tmp_path, capsys, name, side, figure):
    options = ["adv.attack.name", name, "adv.attack.side", side, "adv.attack.steps", "3"]
    target = attack(tiny, tmp_path, *options)
    _, _, found = by_hand(tiny, name, side, steps=3)
    before, after = (
        sum(float(getattr(one, f"figure_{time}")) for one in found.values()) / len(found)
        for time in ("before", "after")
    )
    said = target["figure"]
    assert said["name"] == figure
    assert said["unit"]
    assert (said["clean"], said["adversarial"]) == pytest.approx((before, after), rel=1e-4)
    assert f"{figure.capitalize()} of {said['of']}" in capsys.readouterr().out
    assert target["query_curve"] is None


@pytest.mark.slow
def test_runs_of_ten_figures_give_one_score(tiny, tmp_path):
    folders = {name: tmp_path / name for name in RUNS}
    for name, out in folders.items():
        side = "gallery" if name.startswith("ca_") else "query"
        target = attack(
            tiny, out, "adv.attack.name", name, "adv.attack.side", side, "adv.attack.steps", "2"
        )
        assert 0 < target["feature_shift"] < 2
    assert 0 < ranking_robustness(folders)["market1501"] < 100


def test_other_attacks_have_neither(tiny, tmp_path):
    target = attack(tiny, tmp_path, "adv.attack.steps", "1")
    assert target["figure"] is None
    assert target["query_curve"] is None
