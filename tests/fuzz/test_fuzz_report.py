"""The report: hostile words are text in it, wherever they come from, and never a node."""

import pytest
from report.test_report_page import HOSTILE, hostile_report, path_text, read

from torchreid_adv.errors import printable

STEP = 10  # the sample: every so many
words = pytest.mark.parametrize(
    "word",
    [
        pytest.param(word, id=ascii(word), marks=() if number % STEP == 0 else pytest.mark.slow)
        for number, word in enumerate(HOSTILE)
    ],
)


def test_there_are_forty_different_words():
    assert len(set(HOSTILE)) >= 40


@words
@pytest.mark.usefixtures("without_figures")
def test_a_word_everywhere(tmp_path, make_target, make_results, tally, word):
    kind = read(hostile_report(tmp_path / "kind", ["harmless"], make_target, make_results))
    page = read(hostile_report(tmp_path / "page", [word], make_target, make_results))
    tally("report", "words", "text" if page.nodes == kind.nodes else "nodes")
    assert page.nodes == kind.nodes
    others = [(tag, name) for tag, name, _ in page.values]
    assert others == [(tag, name) for tag, name, _ in kind.values]
    for tag, name, value in page.values:
        if name == "title":
            assert printable(word) in value  # of an image
        elif (tag, name) not in (("img", "src"),):
            assert printable(word) not in value
    assert printable(word) in "".join(page.text)
    content = path_text(tmp_path / "page")
    assert not [c for c in content if not c.isprintable() and c != "\n"]
