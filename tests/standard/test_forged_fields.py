"""Every field of a run is changed in three ways, by somebody who knows how to seal it again.

Each change is found by the files or by scoring, or its field stands on the list of docs/standard.md
of what cannot be found. The list and what is found are compared both ways.
"""

import fnmatch
import functools
import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from forgery import (
    Court,
    at,
    changed,
    copied,
    dotted,
    kept,
    leaves,
    make,
    resealed,
    short_lite,
    three_ways,
)

from torchreid_adv.core.manifest import FILE_NAME, RUN, Manifest, read_manifest
from torchreid_adv.core.manifest import Entry as StoredEntry
from torchreid_adv.errors import DataError
from torchreid_adv.standard.reading import RESULT, manifest_hash, sealed

DOCS = Path(__file__).parents[2] / "docs" / "standard.md"
STEPS = [17, pytest.param(1, marks=pytest.mark.slow)]  # one change of so many is tried
LIST = re.compile(r"<!-- undetectable -->(.*?)<!-- /undetectable -->", re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with short_lite():
        return make(tmp_path_factory.mktemp("forgery"))


@pytest.fixture
def spoiled(place, tmp_path):
    return copied(place, tmp_path)


def listed(kind):
    """Patterns of the docs' list for ``standard.json``, ``manifest.jsonl`` or ``results.json``."""
    table = LIST.search(DOCS.read_text())[1]
    rows = re.findall(r"^\| `([a-z.]+)` \| (.*?) \|", table, re.MULTILINE)
    return {pattern for file, cell in rows if file == kind
            for pattern in re.findall(r"`([^`]+)`", cell)}  # fmt: skip


def compare(kind, found, whole):
    """Hold what is found against the list, and print the counts.

    Args:
        kind: file name.
        found: (path, who detects it: ``files``, ``scoring`` or "") of each change.
        whole: all changes were tried, so that each pattern of the list has to be of use.
    """
    counts = Counter(by for _, by in found)
    print(f"\n{kind}: tried {len(found)}, detected by files {counts['files']}, by scoring "
          f"{counts['scoring']}, listed as undetectable {counts['']}")  # fmt: skip
    missed = {path for path, by in found if not by}
    patterns = listed(kind)
    unlisted = {p for p in missed if not any(fnmatch.fnmatch(p, one) for one in patterns)}
    useless = {one for one in patterns if whole and not fnmatch.filter(missed, one)}
    assert (unlisted, useless) == (set(), set())


def some(changes, step):
    """Every change, or one of as many, spread over all."""
    return itertools.islice(changes, 0, None, step)


def result_changes(folder):
    """Every change of every field of standard.json, each with its path."""
    result = json.loads((folder / RESULT).read_text())
    for path in leaves(result):
        for value in three_ways(at(result, path)):
            yield path, changed(result, path, value)


@pytest.mark.parametrize("step", STEPS)
def test_every_field_of_a_result(place, spoiled, step):
    folder, found = spoiled / "run", []
    with Court(place) as court:
        assert court.of_run(folder) == ""
        for path, result in some(result_changes(folder), step):
            with kept(folder, RESULT, RUN, f"*-eps*/*/{FILE_NAME}"):
                resealed(folder, result, untouched=path)
                found.append((dotted(path), court.of_run(folder)))
    compare("standard.json", found, step == 1)


def headers(manifest):
    for path in leaves(manifest.header):
        for value in three_ways(at(manifest.header, path)):
            yield path, Manifest(changed(manifest.header, path, value), manifest.entries)


def entry_changes(manifest, rows):
    """Every change of every field of some entries: path, the old entry, the new one's facts."""
    for row in rows:
        facts = json.loads(manifest.entries[row].line())
        for path in leaves(facts):
            for value in three_ways(at(facts, path)):
                yield path, manifest.entries[row], changed(facts, path, value)


class Raw:
    """An entry that is written as it stands, whatever it holds."""

    def __init__(self, facts):
        self.facts = facts

    def line(self):
        return json.dumps(self.facts, sort_keys=True)


def forged_entry(folder, old, facts):
    """Change an entry in all manifests of a place that hold it, and seal the result again."""
    result = json.loads((folder / RESULT).read_text())
    for path in folder.glob(f"*-eps*/*/{FILE_NAME}"):
        manifest = read_manifest(path.parent)
        if old not in manifest.entries:
            continue
        entries = tuple(Raw(facts) if one == old else one for one in manifest.entries)
        forged = Manifest(manifest.header, entries)
        forged.write(path.parent)
        if path.parent.name == "composed":
            track, eps = path.parent.parent.name.split("-eps")
            result["tracks"][track][eps]["manifest"] = forged.root
    result["manifest"] = manifest_hash(result["tracks"])
    (folder / RESULT).write_text(json.dumps(sealed(result)))


def manifest_changes(folder, *, lines):
    """Every change of the header and of some lines of each manifest, with what writes it."""
    for path in sorted(folder.glob(f"*-eps*/*/{FILE_NAME}")):
        manifest, name = read_manifest(path.parent), path.parent.name
        for where, forged in headers(manifest):
            yield f"{name}.header.{dotted(where)}", functools.partial(forged.write, path.parent)
        count = len(manifest.entries)
        for where, old, facts in entry_changes(manifest, range(count) if lines else [count // 2]):
            yield f"entry.{dotted(where)}", functools.partial(forged_entry, folder, old, facts)


def judged(place, folder, changes):
    found = []
    with Court(place) as court:
        for path, write in changes:
            with kept(folder, RESULT, f"*-eps*/*/{FILE_NAME}"):
                write()
                found.append((path, court.of_run(folder)))
    return found


@pytest.mark.parametrize("step", STEPS)
def test_every_field_of_a_line_of_every_manifest(place, spoiled, step):
    folder = spoiled / "run"
    found = judged(place, folder, some(manifest_changes(folder, lines=False), 2 * step - 1))
    compare("manifest.jsonl", found, step == 1)


@pytest.mark.slow
def test_every_field_of_every_line_of_every_manifest(place, spoiled):
    folder = spoiled / "run"
    compare("manifest.jsonl", judged(place, folder, manifest_changes(folder, lines=True)), True)


def test_the_footer_of_a_manifest(spoiled):
    folder = spoiled / "run" / "Q-eps2" / "composed"
    *lines, last = (folder / FILE_NAME).read_text().splitlines()
    footer = json.loads(last)
    for path in leaves(footer):
        for value in three_ways(at(footer, path)):
            text = "\n".join([*lines, json.dumps(changed(footer, path, value), sort_keys=True)])
            (folder / FILE_NAME).write_text(text + "\n")
            with pytest.raises(DataError):
                read_manifest(folder)


def attack_changes(folder):
    results = json.loads((folder / "results.json").read_text())
    for path in leaves(results):
        for value in three_ways(at(results, path)):
            yield path, changed(results, path, value)


def fitted(folder, path, results):
    """Make run.json and the manifest fit the attack and the model that results.json names."""
    run = json.loads((folder / RUN).read_text())
    variant = folder / "market1501" / "adversarial"
    if path[0] in ("version", "model") and path[1:] != ("weights",):
        run |= {"model": results["model"].get("name"), "version": results.get("version")}
        run["network"]["size"] = results["model"].get("size")
    elif path[2:3] == ("attack",):
        attack = results["targets"]["market1501"]["attack"]
        run["attack"] = {key: attack[key] for key in run["attack"] if key in attack}
    (folder / RUN).write_text(json.dumps(run, indent=1, sort_keys=True) + "\n")
    manifest = read_manifest(variant)
    Manifest({**manifest.header, **run}, manifest.entries).write(variant)


@pytest.mark.parametrize("step", STEPS)
def test_every_field_of_results(place, spoiled, step):
    folder, found = spoiled / "attack", []
    with Court(place) as court:
        assert court.of_attack(folder) == ""
        for path, results in some(attack_changes(folder), step):
            with kept(folder, "results.json", RUN, f"*/adversarial/{FILE_NAME}"):
                fitted(folder, path, results)
                (folder / "results.json").write_text(json.dumps(results))
                found.append((dotted(path), court.of_attack(folder)))
    compare("results.json", found, step == 1)


def test_an_entry_is_read_as_it_was_written(place):
    manifest = read_manifest(place.run / "Q-eps2" / "composed")
    for entry in manifest.entries:
        assert StoredEntry.of(json.loads(entry.line())) == entry
