"""LTA against SMA in a toy form: each variant changes what it says, and nothing else."""

import json

import pytest
import toys

from torchreid_adv.experiments.studies import references

FEW = ("SMA", "LTA", "LTA, no momentum", "LTA, shifted color")


def study(place, *pairs):
    toy = ["adv.study.models", "['a=tiny']", "adv.attack.eps", "2", "adv.start.sources", "[]"]
    return toys.study("references", place, *toy, *pairs, file="calibration_short")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        chosen = {name: references.VARIANTS[name] for name in FEW}
        pairs = {
            claim: tuple(pair for pair in pairs if set(pair) <= set(FEW))
            for claim, pairs in references.PAIRS.items()
        }
        patch.setattr(references, "VARIANTS", chosen)
        patch.setattr(references, "PAIRS", pairs)
        assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def test_every_variant_has_a_row(done):
    rows = {r["row"]: r["value"] for r in done[1]["readings"]}
    assert set(rows) == {"clean", *FEW}
    assert all(0 <= value <= 1 for value in rows.values())


def test_variants_leave_different_images(done):
    roots = {}
    for name in FEW:
        folder = name.lower().replace(", ", "-").replace(" ", "_")
        (path,) = (done[0] / "out/seed1" / folder / "attacks" / "a").glob("*/results.json")
        roots[name] = json.loads(path.read_text())["targets"]["virtual_a"]["root"]
    assert len(set(roots.values())) == len(FEW)


def test_a_case_holds_two_rows_of_a_network_against_each_other(done):
    rows = {r["row"]: r["value"] for r in done[1]["readings"]}
    cases = {c["name"]: c for c in done[1]["cases"]}
    case = cases["a: LTA, no momentum against LTA"]
    assert (case["smaller"], case["larger"]) == (rows["LTA, no momentum"], rows["LTA"])
    assert set(cases) == {
        "a: LTA against SMA",
        "a: LTA, no momentum against LTA",
        "a: LTA, shifted color against LTA",
        "a: LTA, no momentum against SMA",
    }
