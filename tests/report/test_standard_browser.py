"""The page of the standard evaluation as Chromium shows it."""

import pytest
from browser import MISSING, browser
from report.standard_results import standard_report
from report.test_report_page import HOSTILE

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

COLUMN = """
const table = document.querySelectorAll("table.sortable")[1];
return [...table.tBodies[0].rows].map((row) => row.cells[arguments[0]].textContent.trim());
"""
SORT = ".scroll[aria-label='Queries attacked, eps 8'] .sortable thead th:nth-child({}) button"
BROKEN = "return [...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
WIDTH = "return document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile"), width=390) as found:
        yield found


@pytest.fixture
def page(tmp_path, make_target, without_plots):
    return standard_report(tmp_path / "report.html", make_target)


def test_a_click_sorts_and_the_page_is_whole(window, page):
    window.open(page)
    assert window.run(BROKEN) == 0
    assert window.run("return document.images.length") > 40
    assert window.run(WIDTH) == 390  # a phone: nothing sticks out
    before = window.run(COLUMN, 3)
    assert before == ["50.0%", "40.0%", "30.0%", "20.0%", "10.0%"]
    window.click(SORT.format(4))
    assert window.run(COLUMN, 3) == before
    window.click(SORT.format(4))
    assert window.run(COLUMN, 3) == before[::-1]
    window.click(SORT.format(1))
    names = window.run(COLUMN, 0)
    assert [name.split()[0] for name in names] == [
        "harmless0", "harmless1", "harmless2", "noise", "push",
    ]  # fmt: skip
    heads = window.run("return document.querySelectorAll('[aria-sort]').length")
    assert heads == 1
    assert window.log() == []


def test_hostile_words_run_nothing(window, tmp_path, make_target, without_plots):
    window.open(standard_report(tmp_path / "report.html", make_target, HOSTILE))
    assert window.run(BROKEN) == 0
    assert window.run("return document.scripts.length") == 1
    assert window.log() == []


def test_the_policy_stops_any_other_script(window, page):
    content = page.read_text(encoding="utf-8")
    planted = (
        "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
    )
    page.write_text(content.replace("<main>", f"<main>{planted}"), encoding="utf-8")
    window.open(page)
    assert window.run("return document.title") != "run"
    assert "Content Security Policy" in str(window.log())
