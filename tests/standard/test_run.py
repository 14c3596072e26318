"""A whole run on a toy market: its figures from its files, its resume, its known answers."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from people import TOY, Stripes, pixel_model, write_people
from PIL import Image
from torch.nn import functional as F

from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.defenses import Defended, Defense, build_defense
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.report.page import PageFigure
from torchreid_adv.runs.verify import verify
from torchreid_adv.runs.writer import ImageWriter
from torchreid_adv.standard import page
from torchreid_adv.standard.ensemble import MEMBERS
from torchreid_adv.standard.page_view import View, build_view
from torchreid_adv.standard.result import lines
from torchreid_adv.standard.run import evaluate_standard


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people"))


def surrogates():
    return [pixel_model(Stripes(1)), pixel_model(Stripes(2))]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("run")
    result = evaluate_standard(
        pixel_model(Stripes()), data, out=out, version=TOY, surrogates=surrogates()
    )
    return out, result


def unit(path):
    pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).float()[None] / 255
    with torch.no_grad():
        return F.normalize(pixel_model(Stripes())(pixels), dim=1)[0]


def slow_precision(query, feature, gallery):
    """Average precision of one query, by a plain loop; same camera of the same person is junk."""
    found = []
    for record, other in gallery:
        if (record.pid, record.camid) != (query.pid, query.camid):
            found.append((float((feature - other).pow(2).sum()), record.pid == query.pid))
    hits, total = 0, 0.0
    for place, (_, right) in enumerate(sorted(found), start=1):
        if right:
            hits += 1
            total += hits / place
    return total / hits


def test_the_figure_of_queries_is_that_of_the_stored_files(run, data):
    out, result = run
    facts = result["tracks"]["Q"]["14"]
    gallery = [(r, unit(r.path)) for r in data.gallery]
    folders = [f for f in (out / "Q-eps14").iterdir() if f.name != "composed"]
    manifests = {f: {e.image_id: e for e in read_manifest(f).stored} for f in folders}
    clean, worst = [], []
    for query in data.query:
        tried = [unit(query.path)]
        for folder, entries in manifests.items():
            if query.image_id in entries:
                tried.append(unit(folder / entries[query.image_id].output))
        found = [slow_precision(query, feature, gallery) for feature in tried]
        clean.append(found[0])
        worst.append(min(found))
    assert facts["clean"]["mAP"] == pytest.approx(np.mean(clean), abs=1e-6)
    assert facts["robust"]["mAP"] == pytest.approx(np.mean(worst), abs=1e-6)
    assert facts["interval"][0] <= facts["robust"]["mAP"] <= facts["interval"][1]
    assert facts["robust"]["mAP"] < facts["clean"]["mAP"]
    low, high = facts["rank1_interval"]
    assert low <= facts["robust"]["cmc"]["1"] <= high
    left = [own["left"] for own in facts["attacks"].values()]
    assert left == sorted(left, reverse=True)
    assert left[-1] == facts["robust"]["mAP"]


def test_the_figure_of_the_gallery_is_one_gallery_s(run, data):
    out, result = run
    facts = result["tracks"]["G"]["14"]
    folder = out / "G-eps14" / "composed"
    entries = {e.image_id: e for e in read_manifest(folder).stored}
    gallery = []
    for record in data.gallery:
        entry = entries.get(record.image_id)
        gallery.append((record, unit(folder / entry.output if entry else record.path)))
    found = [slow_precision(q, unit(q.path), gallery) for q in data.query]
    assert facts["robust"]["mAP"] == pytest.approx(np.mean(found), abs=1e-6)
    assert facts["robust"]["mAP"] < facts["clean"]["mAP"]
    assert facts["robust"]["mAP"] == min(g["mAP"] for g in facts["galleries"].values())
    assert facts["attacked"] == 1.0


def test_every_stored_file_is_within_the_bound(run, data):
    out, _ = run
    for manifest in out.rglob("manifest.jsonl"):
        if read_manifest(manifest.parent).stored:
            assert "bound 14" in verify(manifest.parent, data.root)


def test_the_result_says_what_it_is(run):
    out, result = run
    assert json.loads((out / "standard.json").read_text()) == json.loads(json.dumps(result))
    assert result["schema"] == 1
    assert result["environment"]["torch"] == torch.__version__
    assert not result["standard"]["called_standard"]
    assert "budgets" in result["standard"]["reasons"][0]
    assert {flag["level"] for flag in result["flags"]} <= {"AMBER"}
    assert {check["name"] for check in result["checks"]} > {"RAND", "UNB", "BB", "NOISE"}
    assert [check for check in result["checks"] if check["raised"]] == result["flags"]
    text = "\n".join(lines(result))
    assert "queries attacked, eps 14" in text
    assert "Not to be called SRR-toy" in text
    curve = result["curve"]["curve"]
    assert curve[0] == 1.0
    assert curve[255] < 0.1


def test_a_run_that_is_there_is_read_back(run, data, monkeypatch):
    out, result = run

    def forbidden(*arguments, **keywords):
        raise AssertionError("computed again")

    monkeypatch.setattr(ImageWriter, "_result", forbidden)
    monkeypatch.setattr("torchreid_adv.standard.sample.attacked", forbidden)
    monkeypatch.setattr("torchreid_adv.evaluation.Protocol.evaluate", forbidden)
    again = evaluate_standard(
        pixel_model(Stripes()), data, out=out, version=TOY, surrogates=surrogates()
    )
    assert json.dumps(again) == json.dumps(json.loads(json.dumps(result)))


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_figures(run, data, tmp_path, monkeypatch):
    _, result = run
    whole, count = ImageWriter._result, 0

    def killed(*arguments):
        nonlocal count
        count += 1
        if count in (4, 9):
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(ImageWriter, "_result", killed)
    for attempt in range(3):
        try:
            again = evaluate_standard(
                pixel_model(Stripes()),
                data,
                out=tmp_path / "out",
                version=TOY,
                surrogates=surrogates(),
                tracks=["Q"],
            )
        except KeyboardInterrupt:
            assert attempt < 2
    assert again["tracks"]["Q"] == json.loads(json.dumps(result["tracks"]["Q"]))


def test_the_page_shows_what_is_stored_and_attacks_nothing(run, data, monkeypatch):
    out, result = run
    views = []

    def kept(*arguments, **keywords):
        views.append(build_view(*arguments, **keywords))
        return views[-1]

    def forbidden(*arguments, **keywords):
        raise AssertionError("attacked again")

    monkeypatch.setattr(page, "build_view", kept)
    monkeypatch.setattr(
        View, "_draw", lambda _: {"distances": PageFigure(Figure((1, 1)), "distances")}
    )
    monkeypatch.setattr(ImageWriter, "write", forbidden)
    path = page.standard_page(pixel_model(Stripes()), data, out=out)
    assert path == out / "report.html"
    text = path.read_text(encoding="utf-8")
    for track, view in zip("QG", views, strict=True):
        facts = result["tracks"][track]["14"]
        assert float(view.survey.before.average_precision.mean()) == facts["clean"]["mAP"]
        robust = float(view.survey.after.average_precision.mean())
        assert robust == pytest.approx(facts["robust"]["mAP"], abs=1e-12)
        assert view.worst
        assert max(worst.triple.largest for worst in view.worst if worst.triple) <= 14
        assert len(view.attention.images) == sum(worst.triple is not None for worst in view.worst)
    queries = result["tracks"]["Q"]["14"]
    composed, attacks = read_manifest(out / "Q-eps14/composed"), [m.name for m in MEMBERS]
    by = Counter(page.made_by(out / "Q-eps14", composed, attacks).values())
    assert by == {name: own["won"] for name, own in queries["attacks"].items() if own["won"]}
    assert result["manifest"] in text
    monkeypatch.setattr(page, "extract", forbidden)
    first = path.read_bytes()
    page.standard_page(pixel_model(Stripes()), data, out=out)
    assert path.read_bytes() == first


def test_there_is_no_page_without_a_run(data, tmp_path):
    with pytest.raises(DataError, match=r"holds no standard\.json"):
        page.standard_page(pixel_model(Stripes()), data, out=tmp_path)


def test_another_run_s_folder_is_refused(run, data):
    out, _ = run
    with pytest.raises(ConfigError, match="belongs to another run"):
        evaluate_standard(pixel_model(Stripes(5)), data, out=out, version=TOY)


def test_a_bound_of_zero_changes_no_bit_and_no_figure(data, tmp_path):
    version = dataclasses.replace(
        TOY, eps=(0,), curve=(0,), steps=2, self_steps=1, pulls=1, square=4, noise=2
    )
    result = evaluate_standard(
        pixel_model(Stripes()), data, out=tmp_path, version=version, tracks=["Q"]
    )
    facts = result["tracks"]["Q"]["0"]
    assert facts["robust"] == facts["clean"]
    stored = [e for m in tmp_path.rglob("manifest.jsonl") for e in read_manifest(m.parent).stored]
    assert len(stored) >= 7 * len(data.query)
    assert not any(entry.changed for entry in stored)


@pytest.mark.slow
def test_without_a_bound_rankings_fall_to_chance(data, tmp_path):
    version = dataclasses.replace(TOY, eps=(255,), curve=(0, 255))
    result = evaluate_standard(pixel_model(Stripes()), data, out=tmp_path, version=version)
    chance = result["looks"]["chance"]
    assert result["tracks"]["Q"]["255"]["robust"]["mAP"] < 1.5 * chance
    assert result["tracks"]["G"]["255"]["robust"]["mAP"] < 1.5 * chance


class Dimmed(Defense):
    """A random gray veil over the lower or the upper half."""

    random = True

    def draw(self, height, width, generator):
        veil = torch.ones(1, 1, height, 1)
        upper = int(torch.randint(2, (1,), generator=generator))
        veil[:, :, upper * height // 2 : (1 + upper) * height // 2] = 0.6
        return veil

    def exact(self, images, drawn=None):
        return images * drawn


@pytest.mark.slow
@pytest.mark.parametrize("defense", [build_defense("bit_depth", bits=3), Dimmed()])
def test_a_defense_stands_in_three_rows(data, tmp_path, defense):
    short = {"steps": 4, "self_steps": 2, "pulls": 1, "square": 6, "noise": 2, "sample": 2}
    version = dataclasses.replace(TOY, curve=(0,), eps=(20,), eot=2, **short)
    model = Defended(defense, pixel_model(Stripes()))
    result = evaluate_standard(model, data, out=tmp_path, version=version, tracks=["Q"])
    rows = result["tracks"]["Q"]["20"]["defense"]
    assert rows["adaptive"] <= rows["oblivious"]
    assert rows["undefended"] < rows["undefended_clean"]
    assert "behind the defense: oblivious" in "\n".join(lines(result))
    if model.defense.random:
        draws = result["tracks"]["Q"]["20"]["attacks"]["push"]["draws"]
        assert len(draws) == version.draws
        assert rows["worst_draw"] <= min(draws)
    assert result["looks"]["no_gradient"] == 0


def test_what_cannot_be_evaluated_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="tracks are Q, G"):
        evaluate_standard(pixel_model(Stripes()), data, out=tmp_path, tracks=["X"])
    one = dataclasses.replace(data, gallery=tuple(r for r in data.gallery if r.camid == 0))
    one = dataclasses.replace(one, query=tuple(r for r in one.query if r.camid == 0))
    with pytest.raises(DataError, match="one camera"):
        evaluate_standard(pixel_model(Stripes()), one, out=tmp_path, version=TOY)
