"""Results side by side: what is read, what is shown, in all forms."""

import json
import re
from pathlib import Path

import pytest
from standard.results import result, write

from torchreid_adv import cli
from torchreid_adv.experiments.compare_runs import compare_runs
from torchreid_adv.report.mixed_table import MixedTable

HOSTILE = "<b>|_x_*\x1b[31m"


def measures(mean, first):
    return {"mAP": mean, "mINP": mean / 2, "cmc": {"1": first, "5": 0.9, "10": 1.0}}


def attack_run(folder, *, name="ifgsm", eps=5.0, after=0.1, targets=("people",), **more):
    """Write a results.json as a run leaves it."""
    target = {
        "attack": {"name": name},
        "clean": measures(0.8, 0.75),
        "adversarial": measures(after, 0.05),
        "ap_rule": "standard",
        "protocol": {"name": "market1501"},
        "defense": None,
        **more,
    }
    chosen = {"eps": eps, "side": "gallery"}
    content = {"schema": 1, "config": {"adv": {"attack": chosen}}, "model": {"name": "osnet"}}
    content["targets"] = dict.fromkeys(targets, target)
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def rows(table):
    return {row[0]: row[1:] for row in table.rows}


def test_runs_stand_side_by_side_with_what_they_differ_in(tmp_path):
    one = attack_run(tmp_path / "a" / "run")
    two = attack_run(tmp_path / "b" / "run", name="sma", eps=8.0, after=0.3)
    table = compare_runs([one, str(two / "results.json")])
    assert table.columns == ("", "a/run", "b/run")
    found = rows(table)
    assert found["attack"] == ("ifgsm", "sma")
    assert found["eps (gray levels)"] == (5.0, 8.0)
    assert found["clean mAP"] == (0.8, 0.8)
    assert found["adversarial mAP"] == (0.1, 0.3)
    assert found["adversarial Rank-1"] == (0.05, 0.05)
    assert not any("defense" in name for name in found)
    assert table.notes == ("The runs differ in: attack, eps (gray levels).",)
    printed = table.console(80)
    assert re.search(r"^adversarial mAP +10\.0% +30\.0%$", printed, flags=re.MULTILINE)
    assert max(map(len, printed.splitlines())) <= 80


def test_every_data_set_and_every_bound_has_a_column(tmp_path):
    several = attack_run(tmp_path / "run", targets=("people", "others"))
    write(tmp_path / "mine", result("mine", robust=0.2, eps=("8", "5")))
    table = compare_runs([several, tmp_path / "mine"])
    heads = ("run, people", "run, others", "mine, eps 8", "mine, eps 5")
    assert table.columns[1:] == heads
    found = rows(table)
    assert found["queries attacked, robust mAP"] == (None, None, 0.2, 0.2)
    assert found["data set"] == ("people", "others", "market1501", "market1501")
    assert "are not comparable" in table.notes[-1]


def test_columns_that_do_not_fit_stand_below(tmp_path):
    runs = [attack_run(tmp_path / f"a_run_with_a_long_name_{n}") for n in range(5)]
    printed = compare_runs(runs).console(80)
    assert max(map(len, printed.splitlines())) <= 80
    for n in range(5):
        assert f"a_run_with_a_long_name_{n}" in printed
    assert printed.count("adversarial mAP") > 1


def test_all_forms_hold_the_same_and_escape_names(tmp_path):
    table = MixedTable(
        title="t", columns=("", HOSTILE), rows=(("mAP", 0.5), ("model", HOSTILE), ("eps", None)),
        rates=frozenset({"mAP"}), notes=(HOSTILE,),
    )  # fmt: skip
    files = table.write(tmp_path / "folder", "compare")
    assert [file.name for file in files] == ["compare.md", "compare.html", "compare.json"]
    text, page, plain = (file.read_text() for file in files)
    assert "| mAP | 50.0% |" in text
    assert "\\<b>\\|\\_x\\_\\*" in text
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert 'data-value="0.5"' in page
    assert "\x1b" not in text + page + table.console()
    assert json.loads(plain)["rows"][0] == {"": "mAP", HOSTILE: 0.5}
    assert [file.suffix for file in table.write(tmp_path / "one.md", "x")] == [".md"]


def test_the_command_prints_and_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        attack_run(Path(name))
    assert cli.main(["compare", "one", "two", "--out", "both.html"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 results side by side\n")
    assert printed.endswith("Table: both.html\n")
    assert Path("both.html").read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["one"], 2, "compare takes two runs or more"),
        (["one", "tow"], 3, "there is no run 'tow'; did you mean 'two'?"),
        (["one", "empty"], 3, "'empty' holds neither results.json nor standard.json"),
        (["one", "bad"], 3, "is not a result of attack, attack-gallery or standard"),
        (["one", "broken.json"], 3, "broken.json"),
        (["one", "two", "--out", "x.pdf"], 2, "give a name that ends with .md or .html or .json"),
        (["one", "two", "--ot", "x"], 2, "there is no flag --ot; did you mean --out?"),
    ],
)
def test_a_mistake_is_one_sentence(words, code, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        attack_run(Path(name))
    Path("empty").mkdir()
    Path("bad").mkdir()
    Path("bad/results.json").write_text("[1]")
    Path("broken.json").write_text("{")
    try:
        found = cli.main(["compare", *words])
    except SystemExit as end:
        found = end.code
    out, err = capsys.readouterr()
    assert (found, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1


def test_what_a_file_does_not_say_is_left_out(tmp_path):
    odd = attack_run(tmp_path / "odd", clean={"mAP": "x", "cmc": []}, adversarial=None)
    table = compare_runs([odd, attack_run(tmp_path / "run")])
    assert rows(table)["clean mAP"] == (None, 0.8)
