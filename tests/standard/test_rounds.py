"""Version 2 of the standard evaluation: attacks in rounds."""

import dataclasses
import json

import numpy as np
import pytest
from test_standard import CUT, SMALL, place, standard  # noqa: F401

from torchreid_adv import cli, config
from torchreid_adv.standard import rounds
from torchreid_adv.standard.ensemble import MEMBERS
from torchreid_adv.standard.flags import of_table
from torchreid_adv.standard.scores import QueryScores, Table
from torchreid_adv.standard.versions import LITE, LITE_2, STANDARD, STANDARD_2, VERSIONS, Version

CALLS = [version for version in VERSIONS.values() if version.rounds]


def member(name, version=STANDARD_2):
    return rounds.member(version, name)


def test_a_definition_is_read_back_and_those_of_version_1_are_what_they_were():
    for version in VERSIONS.values():
        assert Version.of(json.loads(json.dumps(version.facts()))) == version
        assert ("rounds" in version.facts()) == bool(version.rounds)
    assert [one.name for one in rounds.members(STANDARD)] == [one.name for one in MEMBERS]


@pytest.mark.parametrize("version", CALLS, ids=lambda version: version.name)
def test_each_round_has_all_attacks_and_the_others_follow(version):
    names = [one.name for one in rounds.members(version)]
    assert len(set(names)) == len(names)
    for steps, _ in version.rounds:
        assert [name for name in names if name.endswith(f"-{steps}")] == [
            f"{arm}-{steps}" for arm in rounds.ARMS
        ]
    assert names[-6:] == ["noise", "universal", "oblivious", "transfer", "square", "audit"]
    few = [one.name for one in rounds.members(version, identities=2)]
    assert "pull1-" + str(version.rounds[0][0]) in few
    assert not [name for name in few if name.startswith("pull2")]


def test_the_best_of_each_query_go_on_and_ties_go_to_the_first():
    left = {f"{arm}-10": np.full(3, 0.5) for arm in rounds.ARMS}
    left["margin-10"] = np.array([0.2, 0.5, 0.9])
    left["pull3-10"] = np.array([0.1, 0.4, np.nan])
    going = {
        arm: rounds.rows_of_round(STANDARD_2, member(f"{arm}-25"), left, 3).tolist()
        for arm in rounds.ARMS
    }
    assert going["margin"] == [True, False, False]
    assert going["pull3"] == [True, True, False]
    assert going["push"] == [False, True, True]
    assert going["self"] == [False, False, True]
    assert np.sum(list(going.values()), axis=0).tolist() == [2, 2, 2]
    assert rounds.rows_of_round(STANDARD_2, member("gray-10"), left, 3).all()


def test_only_attacks_of_the_round_before_go_on():
    left = {"push-25": np.array([0.3, 0.2]), "margin-25": np.array([0.4, np.nan])}
    left |= {f"{arm}-10": np.zeros(2) for arm in rounds.ARMS}
    assert rounds.rows_of_round(STANDARD_2, member("push-50"), left, 2).all()
    assert not rounds.rows_of_round(STANDARD_2, member("gray-50"), left, 2).any()


def test_square_is_run_on_the_upper_half_and_on_64_at_least():
    worst, limit = np.linspace(0, 1, 400), np.full(400, 0.1)
    assert np.flatnonzero(rounds.most_robust(worst, limit)).tolist() == list(range(200, 400))
    few = rounds.most_robust(worst, np.full(400, 0.95))
    assert np.flatnonzero(few).tolist() == list(range(336, 400))
    worst[:390] = np.nan
    assert rounds.most_robust(worst, limit).sum() == 10


def test_the_audit_takes_queries_by_what_their_files_hold(tmp_path):
    @dataclasses.dataclass
    class File:
        path: object

    records = []
    for number in range(200):
        path = tmp_path / f"{number}.png"
        path.write_bytes(str(number).encode())
        records.append(File(path))
    valid = np.arange(200) % 2 == 0
    rows = rounds.audited(STANDARD_2, records, valid)
    assert rows.sum() == 8
    assert not (rows & ~valid).any()
    back = rounds.audited(STANDARD_2, records[::-1], valid[::-1])
    assert (back[::-1] == rows).all()
    assert rounds.audited(STANDARD_2, records * 10, np.tile(valid, 10)).sum() == 50


def scores(values):
    return QueryScores(np.array(values), np.zeros((len(values), 3)), (0.0,))


@pytest.mark.parametrize(("audited", "raised"), [([0.1, np.nan], True), ([0.3, np.nan], False)])
def test_what_the_audit_finds_beyond_the_rounds_is_a_flag(audited, raised):
    table = Table(np.array([1, 2]), scores([0.9, 0.9]))
    table.scores = {"push-10": scores([0.2, 0.5]), "audit": scores(audited)}
    (check,) = [one for one in of_table(table, 0.01, "Q") if one.name == "AUDIT"]
    assert (check.raised, check.value) == (raised, pytest.approx(0.1 if raised else 0.0))


@pytest.fixture
def cut(monkeypatch):
    short = {"epochs": 1, "sample": 4, "bootstrap": 20, "eps": (2,), "curve": (0,)}
    short["rounds"] = ((2, 0), (3, 2), (4, 1))
    version = dataclasses.replace(LITE_2, **{**CUT, **short})
    monkeypatch.setitem(VERSIONS, "lite-2", version)


def test_a_run_in_rounds_is_written_read_back_and_scored_again(place, tmp_path, cut, capsys):  # noqa: F811
    surrogates = [f"b=tiny:{place / 'b.pth'}", f"c=tiny:{place / 'c.pth'}"]
    pairs = ["adv.standard.surrogates", repr(surrogates), "adv.standard.version", "lite-2"]
    assert standard(place, tmp_path, *pairs) == 0
    run = tmp_path / "market1501" / "mine"
    result = json.loads((run / "standard.json").read_text())
    queries = result["tracks"]["Q"]["2"]
    counts = {name: row["queries"] for name, row in queries["attacks"].items()}
    assert sum(n for name, n in counts.items() if name.endswith("-3")) == 2 * queries["queries"]
    assert sum(n for name, n in counts.items() if name.endswith("-4")) == queries["queries"]
    assert counts["audit"] == queries["queries"]
    assert "audit" not in result["tracks"]["G"]["2"]["galleries"]
    assert any(check["name"] == "AUDIT" for check in result["checks"])
    said = capsys.readouterr().out
    assert "SRR-lite-2: mine on market1501" in said
    assert "the whole ensemble of version 1" in (run / "report.html").read_text(encoding="utf-8")
    config.forget()
    common = ["-t", "market1501", "--root", str(place / "data"), *SMALL]
    models = repr([f"mine=tiny:{place / 'a.pth'}"])
    assert cli.main(["verify", str(run), *common, "adv.standard.models", models]) == 0
    assert "values exactly" in "".join(capsys.readouterr())


def test_lite_2_never_spends_more_steps_than_lite():
    steps = sum(n * (kept or len(rounds.ARMS)) for n, kept in LITE_2.rounds)
    whole = 2 * LITE.steps + 3 * LITE.self_steps + LITE.pulls * LITE.steps
    assert steps + whole * LITE_2.audit / 100 <= 0.4 * whole
