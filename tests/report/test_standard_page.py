"""The page of the standard evaluation: whole, self-contained, and deaf to hostile words."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from report.standard_results import small_model, standard_facts, standard_report
from report.test_report_page import HOSTILE, read
from torch import nn

from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.errors import printable
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.report.attention import attended
from torchreid_adv.report.choice import choose_worst
from torchreid_adv.report.curves import _apart
from torchreid_adv.report.survey import Ranking, survey_target
from torchreid_adv.standard import page_tables, page_text, page_view
from torchreid_adv.standard.ensemble import MEMBERS
from torchreid_adv.standard.page import write_standard_page
from torchreid_adv.standard.page_view import View, people_of
from torchreid_adv.standard.tracks import COMPOSED
from torchreid_adv.standard.versions import SIDES

CHART = "figure|axes|patch|line2d|legend|text|matplotlib|xtick|ytick|[mp][0-9a-f]+"
DRAWN = re.compile(f"-({CHART})", re.IGNORECASE)  # parts of charts


def test_the_whole_page(tmp_path, make_target):
    path = standard_report(tmp_path / "report.html", make_target, gradient=True)
    page = read(path)
    for text in (
        "80.0% → 21.0%", "18.0 \N{EN DASH} 25.0%", "Not to be called SRR-harmless", "8 gray levels",
        "Effect of the defense", "2 have no match", "RED UNB", "at most 10.0%", "30.0%",
        "Half of the queries with a correct first match have lost it at 8 gray levels.",
        "attacked by harmless", "Agreement is the correlation", "t-SNE", "torchreid-adv standard",
        "python harmless", "first of 3 draws", "Questions before you quote a number",
    ):  # fmt: skip
        assert text in page.said, text
    ids = page.attributes("id")
    assert len(set(ids)) == len(ids)
    linked = {name.removeprefix("#") for name in page.attributes("href")}
    assert {name for name in ids if not DRAWN.search(name)} <= linked <= set(ids)
    assert {"figures", "curve", "checks", "attacks", "wins", "threat", "reproduce"} < set(ids)
    assert {f"{part}-{track}" for part in ("worst", "attention", "features") for track in "QG"} < (
        set(ids)
    )
    for source in page.attributes("src"):
        assert source.startswith("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as image:
            image.load()


@pytest.mark.usefixtures("without_plots")
def test_one_script_and_nothing_from_outside(tmp_path, make_target):
    path = standard_report(tmp_path / "report.html", make_target)
    page, content = read(path), path.read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", content, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [value for value in page.attributes("content") if "default-src" in value]
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert [tag for tag, _ in page.nodes].count("script") == 1
    assert not [name for _, names in page.nodes for name in names if name.startswith("on")]
    assert not {tag for tag, _ in page.nodes} & {"link", "iframe", "object", "form", "base"}
    assert not re.search(r"url\((?!#)", content)
    assert "@import" not in content


def hostile(tmp_path, make_target, words):
    kind = read(standard_report(tmp_path / "kind.html", make_target))
    path = standard_report(tmp_path / "page.html", make_target, words)
    return kind, read(path), path.read_text(encoding="utf-8")


@pytest.mark.usefixtures("without_plots")
def test_hostile_words_add_no_node(tmp_path, make_target):
    kind, page, content = hostile(tmp_path, make_target, HOSTILE)
    assert page.nodes == kind.nodes
    assert not [c for c in content if not c.isprintable() and c != "\n"]
    said = "".join(page.text)
    missing = [word for word in HOSTILE[:22] if printable(word) not in said]
    assert not missing


@pytest.mark.usefixtures("without_plots")
def test_without_a_defense_there_are_no_rows_of_one(tmp_path, make_target):
    page = read(standard_report(tmp_path / "report.html", make_target, defense=False))
    assert "Effect of the defense" not in page.said
    assert "of the random defense" not in page.said


def test_a_deterministic_defense_has_no_draws():
    facts = standard_facts()
    table = page_tables.defense_table(facts)
    assert len(table.columns) == len(table.rows[0].values) == 5
    assert "2 draws" in dict(page_text.threat(facts))["Random defense"]
    facts["model"]["defense"]["random"] = False
    table = page_tables.defense_table(facts)
    assert table.columns[-1] == "adaptive attack"
    assert "Random defense" not in dict(page_text.threat(facts))
    assert [row.name for row in table.rows] == ["eps 8", "eps 5"]
    facts["model"]["defense"] = None
    assert page_tables.defense_table(facts) is None


@pytest.mark.usefixtures("without_plots")
def test_a_result_that_may_be_called_standard(tmp_path):
    facts = standard_facts(defense=False)
    facts["standard"] |= {"called_standard": True, "reasons": [], "escalated": ""}
    facts["flags"], facts["curve"]["median_eps"] = [], None
    assert "no curve" in page_text.breaking({"curve": {"curve": {"0": 0.8}}})
    page = read(write_standard_page(tmp_path / "report.html", facts, [], settings={}))
    assert "May be called SRR-harmless" in page.said
    assert "None of 13 checks raised a flag" in page.said
    assert "Fewer than half of the queries" in page.said
    assert "torchreid-adv" not in page.said


def test_every_attack_and_every_check_has_its_words():
    facts = standard_facts()
    assert {member.name for member in MEMBERS} | {COMPOSED} == set(page_text.ATTACKS)
    assert set(page_text.TRACKS) == set(SIDES)
    known = {check["name"] for check in facts["checks"]} | {"BB", "NOISE", "PERQ", "AUDIT"}
    assert known - {"harmless"} == set(page_text.CHECKS)


def test_checks_read_as_they_were_measured():
    facts = standard_facts()
    table = page_tables.check_table(facts)
    rows = {row.name: [cell.text for cell in table.cells(row)] for row in table.rows}
    assert rows["UNB"] == ["RED", "30.0%", "at most 10.0%", "model"]
    assert rows["DYN"] == ["passed", "no", "no", "model"]
    assert rows["MONO"][1] == "10 points"
    assert table.cells(table.rows[0])[0].text == "RED"
    low = {"name": "COLLAPSE", "raised": True, "value": 0.1, "threshold": 0.3, "meaning": ""}
    assert page_tables.allowed(low) == "at least 0.3"
    noise = {"name": "NOISE", "raised": False, "value": -0.1, "threshold": 0.0, "meaning": ""}
    assert page_tables.allowed(noise) == "below 0 points"


def test_wins_are_shares_of_the_most():
    found = page_tables.wins({"wins": {"a": {"b": 4}, "b": {"a": 1}}})
    assert found.names == ["a", "b"]
    assert found.rows == [("a", [None, (4, 1.0)]), ("b", [(1, 0.25), None])]
    nobody = page_tables.wins({"wins": {"a": {"b": 0}, "b": {"a": 0}}})
    assert nobody.rows[0] == ("a", [None, (0, 0.0)])


def test_labels_of_bounds_do_not_touch():
    assert _apart([0, 1, 2, 4, 5, 8, 12, 16, 32, 64, 255]) == [0, 1, 2, 4, 8, 12, 16, 32, 64, 255]


def test_the_worst_queries_are_those_that_lose_most(make_target):
    def ranking(values):
        empty = torch.zeros(0)
        return Ranking(torch.tensor(values, dtype=torch.float64), *[empty] * 5)

    nan = float("nan")
    before = ranking([1.0, 0.9, 0.8, nan, 0.5, 0.2])
    after = ranking([0.9, 0.1, 0.3, nan, 0.1, 0.4])
    assert choose_worst(before, after, [1, 2, 2, 3, 4, 5]) == [1, 4, 0]
    assert choose_worst(before, after, [1, 2, 2, 3, 4, 5], count=1) == [1]
    assert choose_worst(before, before, [1, 2, 2, 3, 4, 5]) == []


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_a_person_is_drawn_with_matches_and_adversarial_examples(make_target, side):
    target = make_target(side=side, people=4, cameras=3)
    people = people_of(target)
    assert len(people) == 4
    for pid, one in enumerate(people):
        query = target.query.values[target.query.pids == pid]
        hit = getattr(target, f"{side}_after")
        for drawn, rows in (
            (one.image, query),
            (one.around, target.gallery.values[target.gallery.pids == pid]),
            (one.adversarial, hit.values[hit.pids == pid]),
        ):
            assert torch.allclose(drawn, rows / rows.norm(dim=1, keepdim=True), atol=1e-6)
        start = torch.cat([one.image, one.around])[one.clean]
        before = getattr(target, side).values[hit.pids == pid]
        assert torch.allclose(start, before / before.norm(dim=1, keepdim=True), atol=1e-6)


def test_what_moves_is_the_mean_over_attacked_images(make_target):
    target = make_target(side="gallery", strength=2.0)
    view = View("G", "8", target, survey_target(target), (), attended(small_model(), target, ()))
    slow = [
        1 - float(a @ b / (a.norm() * b.norm()))
        for a, b in zip(target.gallery.values, target.gallery_after.values, strict=True)
    ]
    assert view.moved == pytest.approx(sum(slow) / len(slow), abs=1e-5)


def test_without_grad_cam_the_page_says_what_to_install(tmp_path, make_target, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    target = make_target(side="query")
    found = attended(small_model(), target, target.query.image_ids[:2])
    assert found.images == ()
    assert "pip install 'torchreid_adv[pictures]'" in found.missing


def test_where_there_is_nothing_to_look_into_the_page_says_so(make_target):
    target = make_target(side="query")
    names = target.query.image_ids[:2]
    assert "gives none" in attended(small_model(), target, names, gradient=False).missing
    several = Ensemble([small_model(), small_model()])
    assert "shows none" in attended(several, target, names).missing

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3 * 16 * 8, 4)

        def forward(self, images):
            return self.line(images.flatten(1))

    found = attended(PixelModel(Flat(), size=(16, 8)).eval(), target, names)
    assert found.missing == "There are no maps: Flat has no layer with a spatial map for Grad-CAM."


def test_behind_a_defense_the_network_s_own_view_is_shown(make_target):
    target = make_target(side="query")
    model = Defended(build_defense("bit_depth", bits=1), small_model())
    found = attended(model, target, target.query.image_ids[:2])
    assert set(np.unique(np.array(found.images[0].original))) <= {0, 255}
    assert found.alike == pytest.approx((found.images[0].alike + found.images[1].alike) / 2)


def test_a_run_that_loses_nothing_has_no_list(make_target, monkeypatch):
    target = make_target(side="query", strength=0.0)
    view = page_view.build_view("Q", "8", target, small_model(), {})
    assert view.worst == []
    assert view.attention.missing == "No attacked image is shown."
