"""Texts are plain English: tests/plain_english.yaml lists what they avoid.

Files that are not clean yet are listed with their number of hits in tests/plain_english.json; a
number may only fall. ``UPDATE_PLAIN_ENGLISH=1 pytest tests/test_plain_english.py`` writes lower
numbers down. ``python tests/test_plain_english.py FILE...`` prints the hits of some files, and
``--record`` writes all numbers anew, after files were renamed or branches merged.
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest
import texts
import yaml

ROOT = Path(__file__).parents[1]
RULES = yaml.safe_load((ROOT / "tests" / "plain_english.yaml").read_text())
LEFT = ROOT / "tests" / "plain_english.json"
UPDATE = "run: UPDATE_PLAIN_ENGLISH=1 pytest tests/test_plain_english.py"


def pattern(expression):
    return re.compile(expression.replace(" ", r"\s+"), flags=re.IGNORECASE)


WORDS = [(pattern(e), instead) for kind in ("words", "british") for e, instead in RULES[kind]]
ANY = pattern("|".join(e for kind in ("words", "british") for e, _ in RULES[kind]))
TITLES = pattern("|".join(RULES["not_searched"]))


def hits(path):
    """Return what a file has: (line, the words, what to write instead)."""
    return [
        (line, " ".join(match[0].split()), instead)
        for line, text in texts.texts(path)
        if ANY.search(text)
        for words, instead in WORDS
        for match in words.finditer(TITLES.sub("", text))
    ]


def counted():
    """Return the number of hits of every file that has some."""
    found = {path.relative_to(ROOT).as_posix(): len(hits(path)) for path in texts.files()}
    return {name: count for name, count in found.items() if count}


def write(numbers):
    LEFT.write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")


@pytest.fixture(scope="module")
def counts():
    return counted()


def test_no_file_has_more_than_its_listed_hits(counts):
    listed = json.loads(LEFT.read_text())
    worse = {name: (count, listed.get(name, 0)) for name, count in counts.items()}
    worse = {name: pair for name, pair in worse.items() if pair[0] > pair[1]}
    shown = [f"{name}:{hit}" for name in worse for hit in hits(ROOT / name)]
    assert not worse, "\n".join(shown[:30])


def test_the_list_shrinks_with_the_hits(counts):
    listed = json.loads(LEFT.read_text())
    if os.environ.get("UPDATE_PLAIN_ENGLISH"):
        listed = {n: min(c, counts[n]) for n, c in listed.items() if n in counts}
        write(listed)
    assert {name: counts.get(name, 0) for name in listed} == listed, UPDATE


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.md", "It is\ntold here. `is told`\n\n```\nis told\n```\n", ["is told"]),
        ("a.md", "[the colour](colour.md) | behaviour", ["colour", "behaviour"]),
        ("a.md", "Robust Re-identification with Multi-Modal Joint Defence", []),
        ("a.py", '"""Held\n    against it."""\nname = "is_told"\n', ["Held against"]),
        ("a.py", 'raise Wrong(f"{name} is " "told")  # grey\n', ["is told", "grey"]),
        ("a.yaml", "key: 'grey # is told' # in the mean\n", ["in the mean"]),
        ("a.yaml", "# torchreid-adv list # is told\n", []),
        ("a.json", '{"is told": ["this is told"]}', ["is told"]),
        ("a.html", "<p class='is told'>is told {{ is told }}</p>", ["is told"]),
        ("a.ipynb", '{"cells": [{"cell_type": "markdown", "source": ["a right match"]}]}',
         ["right match"]),
    ],
)  # fmt: skip
def test_texts_are_searched_and_code_is_not(tmp_path, name, content, found):
    (tmp_path / name).write_text(content)
    assert [words for _, words, _ in hits(tmp_path / name)] == found


def test_every_expression_is_one():
    assert len(WORDS) > 40
    assert all(instead for _, instead in WORDS)
    assert not any(words.search("The report shows the correct match.") for words, _ in WORDS)


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        write(counted())
    for file in [name for name in sys.argv[1:] if name != "--record"]:
        for line, words, instead in hits(Path(file).resolve()):
            print(f"{file}:{line}: '{words}': {instead}")
