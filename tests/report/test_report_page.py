"""The page: whole, self-contained, and deaf to what hostile names say."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from torchreid_adv.distances import build_distance
from torchreid_adv.errors import DataError
from torchreid_adv.models.features import Features
from torchreid_adv.report import survey as ranking
from torchreid_adv.report.curves import curve_is_whole
from torchreid_adv.report.noise import amplify, noise_triples
from torchreid_adv.report.page import figure_prefixes
from torchreid_adv.report.ranking_lists import ranking_lists, targeted_lists
from torchreid_adv.report.survey import survey_target
from torchreid_adv.runs.page import write_report

VOID = {"meta", "img", "br"}
HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'><svg/onload=alert(1)>",
    "</title><script>1</script>", "</style><script>1</script>", "</pre><b>", "<!--", "-->", "]]>",
    "javascript:alert(1)", "\" onmouseover=\"alert(1)", "' style='x:expression(1)", "`onload=1`",
    "&lt;script&gt;", "&#60;script&#62;", "<iframe src=//e>", "<base href=//e>", "<link rel=x>",
    "<meta http-equiv=refresh content=0>", "<form action=//e>", "<object data=//e>", "<embed>",
    "<a href=javascript:1>x</a>", "<style>*{}</style>", "<math><mi>", "<template>", "<textarea>",
    "<plaintext>", "<xmp>", "<noscript>", "{{ 7 * 7 }}", "{% raw %}", "{# note #}", "$\\frac{",
    "\x1b[31mred\x1b[0m", "line\nbreak\r\n", "\u202egnp.exe", "\x00null", "caf\udce9", "😀<i>",
]  # fmt: skip


class Page(HTMLParser):
    """Collects tags with their attribute names, attribute values and text."""

    def __init__(self, content):
        super().__init__()
        self.nodes, self.values, self.text, self.open = [], [], [], []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.nodes.append((tag, tuple(name for name, _ in attrs)))
        self.values += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def said(self):
        return " ".join("".join(self.text).split())

    def attributes(self, wanted):
        return [value for _, name, value in self.values if name == wanted]


def read(path):
    page = Page(path.read_bytes().decode("utf-8"))
    assert page.open == []
    return page


def files_of(photos, charts=()):
    """Return the files of figures: those of images need no SVG."""
    return {f"{name}.{kind}" for name in {*photos, *charts} for kind in ("png", "pdf")} | {
        f"{name}.svg" for name in charts
    }


def test_the_whole_page(tmp_path, make_target, make_results):
    target = make_target()
    path = write_report(tmp_path / "run", make_results(target), [target])
    assert path == tmp_path / "run" / "report.html"
    page = read(path)
    for text in ("80.0%", "0.40%", "5 of 255 gray levels", "market1501", "osnet_x1_0", "white-box",
                 "Measures", "largest change: 5 gray levels", "0.1.0", "eps: 5.0"):  # fmt: skip
        assert text in page.said
    names = {file.name for file in (tmp_path / "run" / "figures").iterdir()}
    photos = {"noise", "probe", *(f"ranking_{n}" for n in range(1, 6))}
    assert names == files_of(photos, charts={"cmc", "distances"})
    for file in (tmp_path / "run" / "figures").glob("*.pdf"):
        assert file.read_bytes().startswith(b"%PDF-")
    for file in (tmp_path / "run" / "figures").glob("*.png"):
        with Image.open(file) as image:
            image.load()
            assert image.format == "PNG"


@pytest.mark.usefixtures("without_figures")
def test_nothing_from_outside_and_no_scripts(tmp_path, make_target, make_results):
    target = make_target()
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "script" not in {tag for tag, _ in page.nodes}
    assert not [name for _, names in page.nodes for name in names if name.startswith("on")]
    assert page.attributes("src")
    assert all(value.startswith("data:image/png;base64,") for value in page.attributes("src"))
    assert all(value.startswith("#") for value in page.attributes("href"))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert f"{policy}; base-uri 'none'; form-action 'none'" in page.attributes("content")
    assert not re.search(r"url\((?!#)", path_text(tmp_path))
    assert "@import" not in path_text(tmp_path)


def path_text(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def hostile_report(folder, words, make_target, make_results):
    """Write a report in which every string that can come from outside is one of ``words``."""

    def word(i):
        return words[i % len(words)]

    target = make_target(name=word(0), rename=lambda image_id: image_id + word(len(image_id)))
    clean = target.results["clean"]
    defense = {
        "name": word(3), "clean": clean, "oblivious": clean, "adaptive": None,
        "adaptive_reason": word(4), "draws": None,
    }  # fmt: skip
    attack = target.results["attack"] | {"name": word(1), "metric": word(2)}
    figure = {"name": word(8), "of": word(9), "unit": word(10), "clean": 50.0, "adversarial": 5.0}
    results = target.results | {"attack": attack, "defense": defense, "figure": figure}
    pulled = dict.fromkeys(target.gallery.image_ids[:2], 1)
    target = dataclasses.replace(target, results=results, pulled=pulled)
    config = [{word(i): [word(i + 1), {"key": word(i)}]} for i in range(len(HOSTILE))]
    model = {"name": word(5), "weights": word(6)}
    results = make_results(target, model=model, version=word(7), config=config)
    return write_report(folder, results, [target])


@pytest.mark.usefixtures("without_figures")
def test_hostile_names_add_no_node(tmp_path, make_target, make_results):
    kind = read(hostile_report(tmp_path / "kind", ["harmless"], make_target, make_results))
    for turn in range(0, len(HOSTILE), 8):
        words = HOSTILE[turn:] + HOSTILE[:turn]
        page = read(hostile_report(tmp_path / str(turn), words, make_target, make_results))
        assert page.nodes == kind.nodes
        assert all(value.startswith("data:") for value in page.attributes("src"))
        content = path_text(tmp_path / str(turn))
        assert not [c for c in content if not c.isprintable() and c != "\n"]


@pytest.mark.usefixtures("without_figures")
def test_a_hostile_name_is_shown_as_text(tmp_path, make_target, make_results):
    target = make_target(name="<b>\x1b[1m&\n", rename=lambda image_id: f'"><i>{image_id}')
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "on <b>\\x1b[1m&\\n falls from" in page.said
    assert page.attributes("title")
    assert all(title.startswith('"><i>') for title in page.attributes("title"))


def test_one_query_and_a_small_gallery(tmp_path, make_target, make_results):
    target = make_target(people=2, cameras=2, queries=1)
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert page.said.count("✓") - 1 == 2  # one positive, before and after; one in the legend
    assert page.said.count("✗") - 1 == 4
    assert not (tmp_path / "figures" / "ranking_2.png").exists()


def test_lists_hold_the_nearest_images_without_junk(make_target):
    target = make_target(people=8)
    for lists in ranking_lists(target, survey_target(target)):
        for row, gallery in ((lists.before, target.gallery), (lists.after, target.gallery_after)):
            place = target.query.image_ids.index(row.query.image_id)
            a, b = (F.normalize(v.double(), dim=1) for v in (target.query.values, gallery.values))
            slow = sorted(
                (1 - float(a[place] @ b[i]), i)
                for i in range(len(gallery))
                if gallery.pids[i] != row.query.pid or gallery.camids[i] != row.query.camid
            )[:10]
            assert [card.image_id for card in row.found] == [gallery.image_ids[i] for _, i in slow]
            assert [card.distance for card in row.found] == pytest.approx(
                [distance for distance, _ in slow], abs=1e-5
            )
            assert [card.right for card in row.found] == [
                int(gallery.pids[i]) == row.query.pid for _, i in slow
            ]


def test_no_query_has_a_positive(tmp_path, make_target, make_results):
    target = make_target(cameras=1)
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "No query has a correct match" in page.said
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert names == files_of({"noise"}, charts={"cmc", "distances"})


@pytest.mark.usefixtures("without_figures")
def test_no_first_match_flips(tmp_path, make_target, make_results):
    target = make_target(strength=0.0)
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "No query's first match turns from correct to incorrect" in page.said


@pytest.mark.usefixtures("without_figures")
def test_a_flipped_match_is_shown_with_what_overtook_it(tmp_path, make_target, make_results):
    """Two people, one query: the numbers are worked out by hand from unit vectors."""
    query = Features(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), torch.tensor([0]), ("q",))
    rows = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    gallery = Features(rows, torch.tensor([0, 1]), torch.tensor([1, 1]), ("true", "false"))
    moved = torch.tensor([[-0.6, 0.8], [0.6, 0.8]])
    after = Features(moved, gallery.pids, gallery.camids, gallery.image_ids)
    base = make_target(people=2, cameras=1, queries=1)
    files = list(base.paths.values())
    target = dataclasses.replace(
        base, query=query, query_after=query, gallery=gallery, gallery_after=after,
        paths=dict(zip(("q", "true", "false"), files, strict=True)),
        paths_after={}, attacked=frozenset({"true", "false"}),
    )  # fmt: skip
    page = read(write_report(tmp_path, make_results(target), [target]))
    scenes = page.said.split("before the attack probe")[1].split("Noise added by the attack")[0]
    # cosines to the query: true 0.8 and false 0 before, true -0.6 and false 0.6 after
    assert "0.800 cosine similarity" in scenes
    assert "\N{MINUS SIGN}0.600 cosine similarity" in scenes
    assert "0.000 cosine similarity" in scenes
    assert " 0.600 cosine similarity" in scenes
    assert "No query's first match" not in page.said


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.usefixtures("without_figures")
def test_queries_attacked_under_another_distance(tmp_path, make_target, make_results, normalize):
    distance = build_distance("euclidean", normalize=normalize)
    target = make_target(side="query", distance=distance)
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "query attacked" in page.said
    assert ("longer is more similar" in page.said) == normalize
    assert ("shorter is more similar" in page.said) != normalize


def test_a_partial_run_and_a_targeted_one_say_so(tmp_path, make_target, make_results):
    target = make_target()
    page = write_report(tmp_path / "plain", make_results(target), [target]).read_text()
    assert "Partial" not in page
    assert "pulled to another identity" not in page
    shares = {"clean": {"success": {"5": 0.125, "20": 0.25}}}
    shares["adversarial"] = {"success": {"5": 0.75, "20": 0.875}}
    target.results["images"]["left_out"] = 3
    target.results["targeted"] = shares
    page = write_report(tmp_path / "both", make_results(target), [target]).read_text()
    text = " ".join(" ".join(Page(page).text).split())
    assert "Partial : 3 bad images were left out" in text.replace("Partial:", "Partial :")
    assert "75.0% are among the first five" in text
    assert "(before the attack 12.5%)" in text


def slow_positions(target, row, *, after):
    """Return gallery image_id -> position in a query's list, junk left out."""
    query = target.query_after if after else target.query
    gallery = target.gallery_after if after else target.gallery
    a, b = (F.normalize(side.values.double(), dim=1) for side in (query, gallery))
    kept = [
        i
        for i in range(len(gallery))
        if gallery.pids[i] != query.pids[row] or gallery.camids[i] != query.camids[row]
    ]
    order = sorted(kept, key=lambda i: 1 - float(a[row] @ b[i]))
    return {gallery.image_ids[i]: place for place, i in enumerate(order, start=1)}


@pytest.mark.parametrize("side", ["gallery", "query"])
def test_pulled_images_are_shown_with_their_positions(make_target, side):
    """Every image is pulled to the identity after its own."""
    target = make_target(people=8, side=side)
    hit = getattr(target, side)
    pids = dict(zip(hit.image_ids, hit.pids.tolist(), strict=True))
    target = dataclasses.replace(target, pulled={n: (p + 1) % 8 for n, p in pids.items()})
    found = targeted_lists(target, survey_target(target))
    assert len({lists.before.query.pid for lists in found}) == 3
    assert [lists.first[1] for lists in found] == sorted((f.first[1] for f in found), reverse=True)
    for lists in found:
        row = target.query.image_ids.index(lists.before.query.image_id)
        own = int(target.query.pids[row])
        wanted = (own - 1) % 8 if side == "gallery" else (own + 1) % 8
        assert lists.identity == (own if side == "gallery" else wanted)
        before, after = (slow_positions(target, row, after=late) for late in (False, True))
        names = [
            name
            for name, pid in zip(target.gallery.image_ids, target.gallery.pids, strict=True)
            if pid == wanted
        ]
        assert lists.total == len(names) == 3
        expected = sorted(((before[n], after[n]) for n in names), key=lambda moved: moved[1])
        assert [card.positions for card in lists.pulled] == expected
        assert lists.first == tuple(sum(p[i] <= 10 for p in expected) for i in (0, 1))
        for place, card in enumerate(lists.after.found, start=1):
            moved = (before[card.image_id], place) if card.image_id in names else None
            assert card.positions == moved


def test_a_targeted_report_has_a_panel_for_each_list(tmp_path, make_target, make_results):
    target = make_target()
    plain = read(write_report(tmp_path / "plain", make_results(target), [target]))
    assert "Where the pulled images land" not in plain.said
    pulled = dict.fromkeys(target.gallery.image_ids[:4], 2)
    target = dataclasses.replace(target, pulled=pulled)
    page = read(write_report(tmp_path / "pulled", make_results(target), [target]))
    (lists,) = targeted_lists(target, survey_target(target))
    before, after = lists.pulled[0].positions
    assert f"{before} \N{RIGHTWARDS ARROW} {after}" in page.said
    assert "4 images pulled to identity 2" in page.said
    names = {file.name for file in (tmp_path / "pulled" / "figures").glob("targeted_*")}
    assert names == files_of({"targeted_1"})


def test_the_curve_against_queries_is_drawn_and_worded(tmp_path, make_target, make_results):
    target = make_target()
    target.results["query_curve"] = {
        "queries": [1, 10, 90], "mAP": [0.8, 0.35, 0.003], "objective": [0.1, 0.5, 0.9],
    }  # fmt: skip
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "asks the model for 90 answers for each image" in page.said
    assert "Half of the loss of mAP is reached after 10 of them" in page.said
    assert "10 35.0% 0.500" in page.said
    assert (tmp_path / "figures" / "queries.png").is_file()


@pytest.mark.usefixtures("without_figures")
def test_an_attack_on_ranks_says_its_own_figure(tmp_path, make_target, make_results):
    target = make_target()
    target.results["figure"] = {
        "name": "percentile rank", "of": "the image", "unit": "percent",
        "clean": 49.25, "adversarial": 3.0,
    }  # fmt: skip
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "the percentile rank of the image goes from 49.2 to 3 (percent;" in page.said


def test_several_data_sets(tmp_path, make_target, make_results):
    targets = [make_target(name="a"), make_target(name="b/../c", people=4)]
    page = read(write_report(tmp_path, make_results(*targets), targets))
    assert page.attributes("href") == ["#target-1", "#target-2"]
    assert {"target-1", "target-2"} <= set(page.attributes("id"))
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"a_cmc.png", "b____c_cmc.png"} <= names


def test_figure_prefixes_are_safe_and_distinct():
    assert figure_prefixes(["../x"]) == [""]
    assert figure_prefixes(["a/b", "a b"]) == ["1_a_b_", "2_a_b_"]
    assert figure_prefixes(["Market", "market"]) == ["1_Market_", "2_market_"]


def test_a_sample_of_queries_is_named_as_one(tmp_path, make_target, make_results, monkeypatch):
    monkeypatch.setattr(ranking, "SURVEY_QUERIES", 3)
    monkeypatch.setattr(ranking, "SURVEY_PAIRS", 1)
    target = make_target()
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "A random sample of 3 of 6 queries." in page.said


def test_the_same_run_gives_the_same_bytes(tmp_path, make_target, make_results):
    contents = []
    for folder in ("a", "b"):
        target = make_target()
        write_report(tmp_path / folder, make_results(target), [target])
        files = sorted(file for file in (tmp_path / folder).rglob("*") if file.is_file())
        contents.append([(file.name, file.read_bytes()) for file in files])
    assert contents[0] == contents[1]


def test_a_missing_image_is_named_and_leaves_the_old_page(tmp_path, make_target, make_results):
    target = make_target()
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    lost = target.paths["query/0000_c0_0"]
    lost.unlink()
    with pytest.raises(DataError, match=lost.name):
        write_report(tmp_path, make_results(target), [target])
    assert path_text(tmp_path) == "old"
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_image_without_a_path_is_named(tmp_path, make_target, make_results):
    target = make_target()
    del target.paths["query/0000_c0_0"]
    with pytest.raises(DataError, match="query/0000_c0_0"):
        write_report(tmp_path, make_results(target), [target])


def test_features_before_and_after_must_be_of_the_same_images(make_target):
    target = make_target()
    with pytest.raises(DataError, match="same gallery images"):
        dataclasses.replace(target, gallery_after=target.query)


def test_noise_is_the_difference_around_mid_gray(make_target):
    target = make_target()
    triples = noise_triples(target)
    assert len(triples) == 4
    for triple in triples:
        before = np.array(Image.open(target.paths[triple.image_id])).astype(float)
        after = np.array(Image.open(target.paths_after[triple.image_id])).astype(float)
        gray = 127.5 + 255 * (after - before) / (2 * 5)
        shown = np.array(triple.noise).astype(float)
        assert np.abs(shown - gray).max() <= 0.5 + 1e-3
        assert triple.largest == np.abs(after - before).max()


def test_stored_at_another_size(tmp_path, make_target, make_results):
    target = make_target(stored=(16, 32))
    triples = noise_triples(target)
    assert all(triple.noise.size == (16, 32) and triple.largest is None for triple in triples)
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "stored at another size" in page.said


def test_noise_that_is_none_is_gray():
    assert torch.equal(amplify(torch.zeros(3, 2, 2), 0.0), torch.full((3, 2, 2), 0.5))


@pytest.mark.usefixtures("without_figures")
def test_without_a_bound_the_largest_change_is_white(tmp_path, make_target, make_results):
    noise = torch.tensor([-0.2, 0.0, 0.1, 0.2])
    assert amplify(noise, 1.0).tolist() == pytest.approx([0, 0.5, 0.75, 1])
    target = make_target(eps=1.0)
    page = read(write_report(tmp_path, make_results(target), [target]))
    assert "images changed without a bound" in page.said
    assert "the largest change is black or white" in page.said


def test_match_curve_is_drawn_only_where_it_is_that_of_the_results(make_target):
    target = make_target()
    survey = survey_target(target)
    for name, ranking_ in (("clean", survey.before), ("adversarial", survey.after)):
        first = [rank for rank in ranking_.first.tolist() if rank >= 0]
        cmc = {str(k): sum(rank < k for rank in first) / len(first) for k in (1, 5, 10, 20)}
        target.results[name]["cmc"] = cmc
    assert curve_is_whole(target.results, survey)
    assert not curve_is_whole(target.results, dataclasses.replace(survey, complete=False))
    target.results["clean"]["cmc"]["5"] -= 0.1
    assert not curve_is_whole(target.results, survey)


def test_average_precision_follows_the_rule_of_the_evaluation(make_target):
    target = make_target(strength=3.0)
    standard = survey_target(target).after.average_precision
    rules = replace(target.protocol, ap_rule="trapezoid")
    trapezoid = survey_target(replace(target, protocol=rules)).after.average_precision
    assert (trapezoid <= standard).all()
    assert (trapezoid < standard).any()
