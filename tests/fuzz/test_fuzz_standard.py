"""The page of the standard evaluation: a hostile word is text in it wherever it comes from."""

import pytest
from report.standard_results import standard_report
from report.test_report_page import read

from fuzz.test_fuzz_report import words
from torchreid_adv.errors import printable


@words
@pytest.mark.usefixtures("without_plots")
def test_a_word_everywhere(tmp_path, make_target, tally, word):
    kind = read(standard_report(tmp_path / "kind.html", make_target))
    path = standard_report(tmp_path / "page.html", make_target, [word])
    page = read(path)
    tally("standard page", "words", "text" if page.nodes == kind.nodes else "nodes")
    assert page.nodes == kind.nodes
    assert [(t, n) for t, n, _ in page.values] == [(t, n) for t, n, _ in kind.values]
    for tag, name, value in page.values:
        if name in ("title", "aria-label"):
            continue  # of an image, of a table: texts
        if (tag, name) not in (("img", "src"),):
            assert printable(word) not in (value or "")
    assert printable(word) in "".join(page.text)
    content = path.read_text(encoding="utf-8")
    assert not [c for c in content if not c.isprintable() and c != "\n"]
