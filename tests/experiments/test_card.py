"""The robustness card: made, resumed, read, verified, forged; its numbers against slow loops."""

import copy
import fnmatch
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cards import call, make, short_card
from report.test_report_page import read
from standard.forgery import at, changed, dotted, leaves, three_ways

import torchreid_adv as adv
from torchreid_adv.errors import AdvError, ConfigError, DataError
from torchreid_adv.experiments.card import comparing, people, verify
from torchreid_adv.experiments.card.content import CARD, read_card, version_in, write_card
from torchreid_adv.experiments.card.numbers import card_numbers, corruption_errors
from torchreid_adv.experiments.card.scoring import Scoring
from torchreid_adv.python.cards import CardResult
from torchreid_adv.runs.originals import Originals
from torchreid_adv.standard.reading import RESULT, read_result
from torchreid_adv.standard.relations import FAILURES
from torchreid_adv.standard.replay import Replayed, Scorer

DOCS = Path(__file__).parents[2] / "docs" / "card.md"
LIST = re.compile(r"<!-- undetectable -->(.*?)<!-- /undetectable -->", re.DOTALL)
STEPS = [53, pytest.param(1, marks=pytest.mark.slow)]  # one change of so many is tried


@pytest.fixture(scope="module", autouse=True)
def short():
    with short_card():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory, short):
    return make(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def card(place):
    return read_card(place.card)


@pytest.fixture
def spoiled(place, tmp_path):
    """A copy of the run that a test may change."""
    shutil.copytree(place.mine, tmp_path / "mine", ignore=shutil.ignore_patterns(".job"))
    return tmp_path / "mine"


def test_its_robust_numbers_are_those_of_the_standard_evaluation(place, card):
    result = read_result(place.mine / RESULT)
    for track in "QG":
        facts, ours = result["tracks"][track]["2"], card["numbers"]["robust"][f"{track}-eps2"]
        assert ours["mAP"] == pytest.approx(facts["robust"]["mAP"], abs=1e-12)
        assert ours["rank1"] == pytest.approx(facts["robust"]["cmc"]["1"], abs=1e-12)
        assert ours["interval"] == pytest.approx(facts["interval"], abs=1e-12)
        assert card["numbers"]["clean"]["mAP"] == pytest.approx(facts["clean"]["mAP"], abs=1e-12)


def test_its_numbers_are_those_of_a_slow_loop(card):
    queries, numbers = card["queries"], card["numbers"]
    cells = {name: np.mean(values) for name, values in queries["grid"].items()}
    assert numbers["grid"]["mAP"] == pytest.approx(np.mean(list(cells.values())))
    assert len(cells) == 20
    worst = min(cells, key=cells.get)
    assert f"{numbers['grid']['worst_kind']['kind']} 3" == worst
    assert numbers["grid"]["worst_per_query"]["mAP"] == pytest.approx(
        np.mean([min(values[row] for values in queries["grid"].values()) for row in range(12)])
    )
    drawn = np.mean(queries["draws"], axis=0)
    assert numbers["corrupted"]["mAP"] == pytest.approx(drawn.mean())
    by_pid = {pid: [v for p, v in zip(queries["pids"], drawn, strict=True) if p == pid]
              for pid in queries["pids"]}  # fmt: skip
    means = sorted(np.mean(values) for values in by_pid.values())
    assert numbers["people"]["corrupted"]["worst_tenth"] == pytest.approx(np.mean(means[:4]))
    assert numbers["people"]["corrupted"]["deviation"] == pytest.approx(np.std(means, ddof=1))
    assert set(numbers["cameras"]) == {"0", "1"}
    first = [v for c, v in zip(queries["camids"], queries["clean"]["ap"], strict=True) if c == 0]
    assert numbers["cameras"]["0"]["clean"]["mAP"] == pytest.approx(np.mean(first))
    sweep = numbers["occluded"]["sweep"]
    assert set(sweep) == {"occlusion_gray", "occlusion_scene", "occlusion_person"}
    assert all(set(shares) == {"10", "50"} for shares in sweep.values())


def test_pages_and_pictures_are_there(place):
    page = read(place.mine / "card.html")
    for words in ("At a glance", "worst kind", "By person", "By camera", "Flags", "Cost",
                  "torchreid-adv verify", "10 % hidden"):  # fmt: skip
        assert words in page.said
    assert (place.mine / "card.png").read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in (place.mine / "card_figures").glob("*.png")} == {
        "strip", "grid", "occlusion", "people", "scatter", "failures",
    }  # fmt: skip
    compared = json.loads((place.mine.parent / "cards.json").read_text())
    assert list(compared["models"]) == ["mine", "other"]
    assert "clean" in compared["differences"]["other"]
    assert "Differences" in read(place.mine.parent / "cards.html").said


def test_a_run_that_was_stopped_reads_back_what_it_scored(place):
    whole = 2 + 2 * 2 + 20 + 6  # clean sides, draws of both sides, kinds, occlusions
    assert place.made == 2 * whole - (4 + 5)


def test_a_second_run_computes_nothing_and_may_have_a_reference(place, capsys, monkeypatch):
    from torchreid_adv.experiments import corruption_report

    def refuse(*args, **keywords):
        raise AssertionError("computed again")

    before = place.card.read_bytes()
    monkeypatch.setattr(corruption_report, "extract", refuse)
    words = ("card", *place.flags("a"), "data.save_dir", place.root / "card")
    reference = ("adv.card.reference", place.mine.parent / "other")
    assert call(*words, *reference) == 0
    assert place.card.read_bytes() == before
    assert "20 of 20, mean mAP" in (said := capsys.readouterr().out)
    assert said.count("read back") == 3
    page = read(place.mine / "card.html")
    assert "other, mAP" in page.said
    assert "mean corruption error" in page.said
    assert call(*words, *reference, "cuhk03.use_metric_cuhk03", "True") == 2
    assert "by other rules of the scores" in capsys.readouterr().err


def test_it_is_verified_by_files_and_by_its_model(place, capsys):
    data = ("--root", place.root / "data")
    assert call("verify", place.mine, *data) == 0
    assert "was not computed again" in capsys.readouterr().out
    assert call("verify", place.mine, *place.flags("a")) == 0
    assert "every query in all conditions exactly" in capsys.readouterr().out
    assert call("verify", place.mine, *place.flags("b")) == 2


def forged(folder, change):
    """Change a card, make its numbers fit, and seal it again."""
    content = json.loads((folder / CARD).read_text())
    change(content)
    content["numbers"] = card_numbers(content["queries"], version_in(content))
    write_card(folder / CARD, json.loads(json.dumps(content)))


def better(values):
    values[0] = values[0] - 0.001 if values[0] > 0.5 else values[0] + 0.001


def test_what_attacks_left_cannot_be_invented(place, spoiled, capsys):
    forged(spoiled, lambda card: better(card["queries"]["robust"]["Q-eps2"]["ap"]))
    assert call("verify", spoiled, "--root", place.root / "data") == 6
    assert "do not give the robust mAP" in capsys.readouterr().err


def test_what_corruptions_left_is_found_by_the_model(place, spoiled, capsys):
    def change(content):
        queries = content["queries"]
        for rows in (queries["draws"], *(list(queries[p].values()) for p in ("grid", "occluded"))):
            better(rows[0])

    forged(spoiled, change)
    assert call("verify", spoiled, "--root", place.root / "data") == 0
    capsys.readouterr()
    assert call("verify", spoiled, *place.flags("a")) == 6
    said = capsys.readouterr().err
    assert all(f"queries.{part}" in said for part in ("draws", "grid", "occluded"))


def test_numbers_that_do_not_follow_are_no_card(spoiled):
    content = json.loads((spoiled / CARD).read_text())
    changed = copy.deepcopy(content)
    changed["numbers"]["corrupted"]["mAP"] += 0.01
    write_card(spoiled / CARD, changed)
    with pytest.raises(DataError, match=r"corrupted\.mAP is"):
        read_card(spoiled / CARD)
    (spoiled / CARD).write_text(json.dumps(content).replace('"lite"', '"light"', 1))
    with pytest.raises(DataError, match="'card' is not what it has to be"):
        read_card(spoiled / CARD)


def test_the_leaderboard_has_its_columns_and_ranks_by_them(place, capsys):
    folder, out = place.root / "card", place.root / "board"
    words = ("leaderboard", folder, "--out", out)
    assert call(*words) == 0
    assert "Corrupted or occluded, mAP" in read(out / "leaderboard.html").said
    capsys.readouterr()
    cards = {name: read_card(place.mine.parent / name / CARD)["numbers"]
             for name in ("mine", "other")}  # fmt: skip
    values = {
        "corrupted": {name: card["corrupted"]["mAP"] for name, card in cards.items()},
        "worst-kind": {name: card["grid"]["worst_kind"]["mAP"] for name, card in cards.items()},
    }
    for column, of in values.items():
        assert call(*words, "--sort", column) == 0
        rows = re.findall(r"^\| \W \| (\w+) \|", (out / "leaderboard.md").read_text(), re.MULTILINE)
        assert rows == sorted(of, key=of.get, reverse=True)
    assert call(*words, "--verify", "--root", place.root / "data") == 0


def test_a_forged_card_voids_its_line(place, spoiled, capsys):
    forged(spoiled, lambda card: better(card["queries"]["clean"]["ap"]))
    words = ("leaderboard", spoiled.parent, "--verify", "--root", place.root / "data")
    assert call(*words) == 6
    assert "do not give the clean mAP" in capsys.readouterr().out


def test_a_card_of_python_is_a_table_with_a_picture(place):
    found = adv.load_result(place.mine)
    assert isinstance(found, CardResult)
    assert repr(found).startswith("CardResult(lite, mine on market1501, mAP clean ")
    assert "\n" not in repr(found)
    assert [row["measure"] for row in found.rows()][:3] == [
        "clean", "corrupted, drawn", "corrupted, by kind",
    ]  # fmt: skip
    assert "data:image/png" in found._repr_html_()
    assert "measure" in found.to_csv()


def test_cards_of_other_versions_are_not_compared(card):
    other = {**card, "card": {**card["card"], "name": "full"}}
    with pytest.raises(ConfigError, match="version of the card"):
        comparing.check_comparable(card, other)


def test_a_model_has_an_error_of_one_relative_to_itself(card):
    errors = corruption_errors(card["numbers"], card["numbers"], version_in(card))
    assert errors["mCE"] == pytest.approx(1)
    assert errors["relative_mCE"] == pytest.approx(1)


def test_draws_that_order_models_alike_agree():
    rows = np.array([[0.1, 0.2, 0.3], [0.2, 0.5, 0.9], [0.0, 0.1, 0.2]])
    assert people.agreement(rows) == 1
    assert people.agreement(np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])) == -1
    assert people.agreement(rows[:, :2]) is None


def test_a_version_of_the_standard_evaluation_beside_the_cards_own_is_refused(place, capsys):
    words = (*place.flags("a"), "adv.standard.version", "plus", "data.save_dir", place.root / "x")
    assert call("card", *words) == 2
    assert "leave it out, and set adv.card.version" in capsys.readouterr().err


def fitted(content, path):
    """Return a changed card as its forger writes it: the numbers follow, where they can."""
    if path[0] != "numbers":
        try:
            content["numbers"] = json.loads(
                json.dumps(card_numbers(content["queries"], version_in(content)))
            )
        except (*FAILURES, AdvError):
            pass
    return content


class Court:
    """Says who finds a change: ``files``, ``scoring`` or no one, ""."""

    def __init__(self, place, folder, patch):
        self.folder, self.originals = folder, Originals(place.root / "data")
        self.result, honest = read_result(folder / RESULT), read_card(folder / CARD)
        queries = copy.deepcopy(honest["queries"])  # what the model gives, see test_card.py
        patch.setattr(Scoring, "queries", lambda *args: copy.deepcopy(queries))
        patch.setattr(Scoring, "total", 0)
        speed = {"feature": honest["cost"]["feature"]}
        patch.setattr(Scoring, "speed", lambda *args: speed)

    def finds(self, content):
        try:
            write_card(self.folder / CARD, content)
            checked = verify.verify_card(self.folder, self.result, self.originals)
        except AdvError:
            return "files"
        try:
            scorer, replayed = Scorer(None, None, None), Replayed({}, (), True, 0)
            again = (self.folder, checked.content, None, scorer, replayed, self.originals)
            verify.score_card_again(*again)
        except AdvError:
            return "scoring"
        return ""


@pytest.mark.parametrize("step", STEPS)
def test_every_field_of_a_card(place, tmp_path, monkeypatch, step):
    folder = tmp_path / "mine"
    shutil.copytree(place.mine, folder, ignore=shutil.ignore_patterns(".job", "*-eps*"))
    court, content = Court(place, folder, monkeypatch), read_card(folder / CARD)
    assert court.finds(content) == ""
    changes = [(path, value) for path in leaves(content) for value in three_ways(at(content, path))]
    found = [
        (dotted(path), court.finds(fitted(changed(content, path, value), path)))
        for path, value in changes[::step]
        if path != ("sha256",)  # which is made anew
    ]
    counts = Counter(by for _, by in found)
    print(f"\ntried {len(found)}, detected by files {counts['files']}, by scoring "
          f"{counts['scoring']}, listed {counts['']}")  # fmt: skip
    patterns = re.findall(r"`([^`]+)`", LIST.search(DOCS.read_text())[1])
    missed = {path for path, by in found if not by}
    assert {path for path in missed if not any(fnmatch.fnmatch(path, p) for p in patterns)} == set()
    if step == 1:
        assert {p for p in patterns if not fnmatch.filter(missed, p)} == set()
