"""The pages on studies show the results kept in docs/results, and no other number."""

import io
import json
import os
import re

import numpy as np
import pytest
from pages import ROOT
from PIL import Image
from study_pages import (
    MARKED,
    PAGE_OF,
    RESULTS,
    claims_of,
    decided,
    differences,
    frontier_of,
    picture_of,
    prose,
    result_of,
    written,
)

from torchreid_adv.registry import STUDIES
from torchreid_adv.report.style import to_png

PAGES = [ROOT / "docs" / "studies.md", *sorted((ROOT / "docs").glob("study_*.md"))]
SHOWING = [*PAGES, ROOT / "docs" / "standard.md"]  # pages that show results
FILES = sorted(RESULTS.glob("*.json"))
STUDIED = [path for path in FILES if "study" in json.loads(path.read_text())]


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: path.stem)
def test_a_page_shows_what_the_results_say(path):
    text = path.read_text()
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(written(text))
    assert path.read_text() == written(text), "run: UPDATE_DOCS=1 pytest tests/test_docs_studies.py"
    assert MARKED.search(text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_prose_has_no_results_of_its_own(path):
    """Numbers of results have a decimal point or a spread; prose has settings alone."""
    text = re.sub(r"`[^`\n]*`|^```.*?^```", "", prose(path.read_text()), flags=re.M | re.S)
    assert not re.findall(r"±|\d\.\d", re.sub(r"x0\.\d+", "", text))
    assert not re.findall(r"does not hold|on average|\bmixed\b", text)


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=float)


FIGURES = {"picture": picture_of, "frontier": frontier_of}


def pictures():
    asked = {found[2] for page in PAGES for found in MARKED.finditer(page.read_text())}
    pairs = sorted(tuple(what.split()) for what in asked if what.split()[-1] in FIGURES)
    return [pair for pair in pairs if result_of(pair[0])]


@pytest.mark.parametrize(("stem", "kind"), pictures())
def test_a_picture_is_of_the_results(stem, kind):
    path, figure = FIGURES[kind](stem)
    drawn = to_png(figure)
    if os.environ.get("UPDATE_DOCS"):
        path.write_bytes(drawn)
    shown, wanted = pixels(path.read_bytes()), pixels(drawn)
    assert shown.shape == wanted.shape
    assert abs(shown - wanted).mean() < 1  # other versions of fonts draw other edges


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_result_is_shown(path):
    asked = [found[2] for page in SHOWING for found in MARKED.finditer(page.read_text())]
    assert any(what.split()[0] == path.stem for what in asked)


def test_every_study_has_a_page_with_its_command():
    shown = {}
    for path in PAGES:
        for study in re.findall(r"^torchreid-adv study (\w+)", path.read_text(), flags=re.M):
            shown.setdefault(study, set()).add(path.stem)
    assert set(shown) == set(STUDIES)
    for study, pages in shown.items():
        assert f"study_{PAGE_OF.get(study, study)}" in pages


@pytest.mark.parametrize("study", list(STUDIES))
def test_a_study_without_a_result_is_not_decided(study):
    if result_of(study) is None:
        assert {verdict.word for verdict in decided(study)} <= {"cannot tell"}
    else:
        assert len(decided(study)) == len(claims_of(study))


@pytest.mark.parametrize("path", STUDIED, ids=lambda path: path.stem)
def test_the_results_are_of_the_command_that_is_shown(path):
    content = json.loads(path.read_text())
    if os.environ.get("UPDATE_DOCS"):
        content["pairs"] = differences(content, [])
        path.write_text(json.dumps(content, indent=1) + "\n")
    assert differences(content, content["pairs"]) == []
    assert any(f"results: {path.stem} command -->" in page.read_text() for page in PAGES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_results_name_no_place_of_the_machine_that_made_them(path):
    assert not re.search(r'"(?:[\w-]+=)?(?:/|~|[A-Z]:\\)', path.read_text())
