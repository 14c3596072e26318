"""Every kind of page: headings, alternative texts, links, contrast; and as Chromium shows it."""

import re

import pytest
from browser import MISSING, browser
from matplotlib import colormaps
from matplotlib.colors import to_hex
from report.attacked_samples import results_of, target_maker
from report.page_checks import faults_of
from report.sample_pages import write_pages

from torchreid_adv.report import matrix, style
from torchreid_adv.report.page import environment, origin

WIDTHS = (1400, 1280, 820, 390)
SCHEMES = ("light", "dark")
CUT = """
return [...document.querySelectorAll("table")].filter((table) => {
  const box = table.closest(".scroll");
  return !box || (table.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX != "auto");
}).length"""
SHOWN = """
const found = [...document.querySelectorAll("svg.chart text")].filter((one) => one.textContent);
return found.map((one) => one.getBoundingClientRect().height);"""
INNER = """
return [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth)
  .length"""
BROKEN = "return [...document.images].filter((i) => !i.complete || !i.naturalWidth).length"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All kinds of pages, written once, with coarse pictures."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 30)
        return write_pages(folder, target_maker(folder), results_of)


def test_every_page_can_be_read_by_everybody(pages):
    found = {name: faults_of(path.read_text(encoding="utf-8")) for name, path in pages.items()}
    assert found == {name: [] for name in pages}


def test_the_check_finds_what_is_wrong():
    page = '<html lang="de"><h1>a</h1><h3>b</h3><img src="x"><a href="#no">c</a><table><th>d</th>'
    page += '</table><svg></svg><p id="e"></p><p id="e" style="background: url(http://f)"></p>'
    found = "; ".join(faults_of(page))
    for fault in ("h1 is followed by h3", "image without", "#no leads", "table outside",
                  "without a scope", "chart without", "id e twice", "http://f", "language",
                  "dark page"):  # fmt: skip
        assert fault in found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_stand_out_from_what_is_behind_them(scheme):
    colors = {tone.name: getattr(tone, scheme) for tone in style.TONES}
    words = ("ink", "muted", "clean", "adversarial", "right", "wrong", "amber")
    low = {
        (word, behind): style.contrast(colors[word], colors[behind])
        for word in words
        for behind in ("paper", "card", "tint")
        if style.contrast(colors[word], colors[behind]) < 4.5  # WCAG AA of text
    }
    assert low == {}
    lines = [tone for tone in style.TONES if tone.light in style.SERIES]
    assert len(lines) == len(style.SERIES)
    assert all(style.contrast(getattr(line, scheme), colors["card"]) >= 3 for line in lines)


def test_badges_stand_out_in_both_schemes():
    sheet = environment().get_template("style.html").render()
    for name in ("good", "bad"):
        behind, words = (re.findall(rf"--{name}{end}: (#\w+);", sheet) for end in ("", "ink"))
        assert len(behind) == len(words) == len(SCHEMES)
        assert all(style.contrast(*pair) >= 4.5 for pair in zip(behind, words, strict=True))


def test_the_heat_map_is_read_in_color_and_in_gray():
    shades = [to_hex(colormaps[matrix.COLOR_MAP](share / 100)) for share in range(101)]
    light = [style.contrast(shade, "#000000") for shade in shades]
    assert light == sorted(light)
    for share, shade in enumerate(shades):
        assert style.contrast(matrix._readable(share / 100), shade) >= 4.5


def test_contrast_is_that_of_the_wcag():
    assert style.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert style.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_what_is_not_recorded_is_said():
    assert {answer for _, answer in origin(None)} == {"not recorded"}
    known = {"command": "torchreid-adv demo", "date": "2026-01-01", "device": "cpu"}
    found = dict(origin({**known, "versions": {"torch": "2.0", "numpy": "2.1"}}))
    assert found["Command"] == "torchreid-adv demo"
    assert found["Versions"] == "torch 2.0, numpy 2.1"


def test_a_leaderboard_of_lite_runs_calls_nothing_standard(pages):
    text = pages["leaderboard"].read_text(encoding="utf-8")
    rows = re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", text, flags=re.DOTALL)
    assert rows
    assert not [row for row in rows if "yes" in re.sub("<[^>]*>", " ", row).split()]
    assert any("SRR-lite" in row for row in rows)


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_pages_fit_every_screen_light_and_dark(pages, tmp_path):
    faults = []
    for width in WIDTHS:
        with browser(tmp_path / f"profile{width}", width=width) as window:
            for scheme in SCHEMES:
                feature = {"name": "prefers-color-scheme", "value": scheme}
                window.command("Emulation.setEmulatedMedia", features=[feature])
                for name, path in pages.items():
                    window.open(path)
                    shown = window.run("return document.documentElement.scrollWidth")
                    heights = window.run(SHOWN)
                    found = {
                        "wider than the screen": shown > width,
                        "a console message": bool(window.log()),
                        "a clipped table": bool(window.run(CUT)),
                        "a broken image": bool(window.run(BROKEN)),
                        "a leaderboard that scrolls": name == "leaderboard"
                        and width >= 1280
                        and window.run(INNER) > 0,
                        "a chart too small to read": bool(heights) and min(heights) < 7.5,
                    }
                    faults += [
                        (name, width, scheme, fault) for fault, is_so in found.items() if is_so
                    ]
    assert faults == []
