"""Every field of a card is changed in three ways by a forger who makes all that depends on it fit.

Each change is found by the files or by scoring, or its field is on the list in docs/card.md.
"""

import copy
import fnmatch
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from cards import make, short_card
from standard.forgery import at, changed, dotted, leaves, three_ways

from torchreid_adv.errors import AdvError
from torchreid_adv.experiments.card import verify
from torchreid_adv.experiments.card.content import CARD, read_card, version_in, write_card
from torchreid_adv.experiments.card.numbers import card_numbers
from torchreid_adv.experiments.card.scoring import Scoring
from torchreid_adv.runs.originals import Originals
from torchreid_adv.standard.reading import RESULT, read_result
from torchreid_adv.standard.relations import FAILURES
from torchreid_adv.standard.replay import Replayed, Scorer

DOCS = Path(__file__).parents[2] / "docs" / "card.md"
LIST = re.compile(r"<!-- undetectable -->(.*?)<!-- /undetectable -->", re.DOTALL)
STEPS = [53, pytest.param(1, marks=pytest.mark.slow)]  # one change of so many is tried


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with short_card():
        yield make(tmp_path_factory.mktemp("fields"))


def forged(content, path):
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
    """Says who finds a change: ``files``, ``scoring`` or nobody, ""."""

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
        (dotted(path), court.finds(forged(changed(content, path, value), path)))
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
