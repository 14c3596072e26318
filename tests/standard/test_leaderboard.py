"""The leaderboard ranks what may be compared, refuses what is no result, and escapes everything."""

import base64
import hashlib
import json
import re

import pytest
from report.test_report_page import HOSTILE, read
from results import digest, flag, result, write

from torchreid_adv import cli
from torchreid_adv.errors import DataError, printable
from torchreid_adv.report.units import DASH
from torchreid_adv.standard.board_columns import CardMeasure
from torchreid_adv.standard.board_lines import Result, groups
from torchreid_adv.standard.called import REWORDED, THREAT
from torchreid_adv.standard.leaderboard import markdown, write_leaderboard
from torchreid_adv.standard.reading import RESULT, read_result, sealed


def found(*contents):
    return groups([Result(content, f"place{n}") for n, content in enumerate(contents)])


def ranks(group):
    return [(line.rank, line.content["model"]["name"]) for line in group.lines]


def test_lines_are_ranked_by_attacked_queries_then_gallery_and_equals_share_a_rank():
    (first, _) = found(
        result("a", robust=0.1), result("b", robust=0.3, gallery_mAP=0.1),
        result("c", robust=0.3, gallery_mAP=0.2), result("d", robust=0.1),
    )  # fmt: skip
    assert first.title == "market1501, SRR-lite, eps 8"
    assert ranks(first) == [(1, "c"), (2, "b"), (3, "a"), (3, "d")]


def test_other_data_versions_bounds_and_definitions_are_other_groups():
    other = {**result()["standard"]["definition"], "steps": 49}
    boards = found(
        result("a"), result("b", data="msmt17"), result("c", standard__name="SRR-standard"),
        result("d", eps=("16",)), result("e", standard__definition=other),
        result("f", data__listing=digest("other images")),
        result("g", standard__name="SRR-lite-black-box", standard__called_standard=False),
    )  # fmt: skip
    together = [{line.content["model"]["name"] for line in board.lines} for board in boards]
    assert all(len(names) == 1 for names in together)
    assert len({board.title for board in boards}) == len(boards)


def test_a_red_flag_or_a_fault_takes_the_rank_and_amber_does_not():
    red = {"flags": [flag(), flag("PERQ", "AMBER")], "standard__called_standard": False}
    results = [
        Result(result("red", robust=0.7, **red), "a"),
        Result(result("false", robust=0.6), "b", files="no", fault="other bytes"),
        Result(result("amber", robust=0.2, flags=[flag("CONV", "AMBER")]), "c"),
        Result(result("honest", robust=0.1), "d"),
    ]
    (first, _) = groups(results)
    assert [line.content["model"]["name"] for line in first.ranked] == ["amber", "honest"]
    assert [line.content["model"]["name"] for line in first.voided] == ["red", "false"]
    assert first.voided[0].flags == "RED ZERO; AMBER PERQ"
    assert "does not match the stored files: other bytes" in first.voided[1].remarks[-1]


def test_lines_are_ranked_by_a_column_of_cards_and_without_one_not_at_all():
    def carded(name, value, **facts):
        measure = CardMeasure(value, (0.0, 1.0))
        return Result(result(name, **facts), name, card={"corrupted": measure})

    results = [carded("a", 0.3, robust=0.7), carded("b", 0.5), carded("c", 0.5, robust=0.1)]
    (first, _) = groups([*results, Result(result("d", robust=0.8), "d")], "corrupted")
    assert ranks(first) == [(1, "b"), (2, "c"), (3, "a"), (0, "d")]
    text = markdown([first])
    assert "| corrupted | worst kind | occluded |" in text
    assert f"| 50.0% (0.0 {DASH} 100.0) | {DASH} | {DASH} |" in text


@pytest.fixture
def runs(tmp_path):
    write(tmp_path / "market1501" / "plain", result("plain", robust=0.05))
    write(tmp_path / "market1501" / "safe", result("safe", best="pull", defended=True))
    write(tmp_path / "other" / "onnx", result("onnx", black_box="an ONNX file"))
    return tmp_path


def test_the_command_writes_a_page_and_markdown(runs, capsys):
    assert cli.main(["leaderboard", str(runs)]) == 0
    said = capsys.readouterr().out
    text = (runs / "leaderboard.md").read_text()
    assert text.strip() in said
    assert "| 1 | safe | 80.0% | 80.0% | 20.0% | 15.0% to 25.0% | 10.0% |" in text
    assert "| pull, composed | none | SRR-lite | yes | not checked | not scored | 1,234,567" in text
    assert "5.0% / 60.0% / 20.0%" in text
    page = read(runs / "leaderboard.html")
    for words in ("market1501, SRR-lite, eps 8", "market1501, SRR-lite, eps 5", "pull, composed",
                  "The model is an ONNX file", "not called standard: attacks by gradients",
                  "not checked", "not scored", "A weak or missing attack cannot be seen from files",
                  "1,234,567", result("plain")["manifest"][:10]):  # fmt: skip
        assert words in page.said
    rows = [tag for tag, _ in page.nodes].count("tr")
    assert rows == 2 * 4 + 6  # two rows of headings; lines: eps 8 and 5 of three models


def test_the_page_needs_nothing_else_and_runs_its_own_script_alone(runs):
    cli.main(["leaderboard", str(runs)])
    page = read(runs / "leaderboard.html")
    (policy,) = [value for value in page.attributes("content") if "default-src" in value]
    assert policy.startswith("default-src 'none'")
    content = (runs / "leaderboard.html").read_bytes().decode()
    (script,) = re.findall(r"<script>(.*?)</script>", content, flags=re.DOTALL)
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{own}'" in policy
    assert not page.attributes("src")
    assert not page.attributes("href")
    assert not [n for _, names in page.nodes for n in names if n.startswith("on")]
    assert "url(" not in content


def hostile(word, folder):
    """Write the leaderboard of results in which every string from outside is a word."""
    bad = [flag(word, "AMBER", word)]
    content = result(
        word, data=word, flags=bad, standard__name=word, standard__headline=word,
        standard__reasons=[word], standard__called_standard=False, version=word,
    )  # fmt: skip
    content["tracks"]["Q"]["8"]["best_attack"] = word
    return write_leaderboard(folder, [Result(content, word, "no", "no", word, word)], [word])


@pytest.mark.parametrize("word", HOSTILE, ids=ascii)
def test_hostile_words_are_text_wherever_they_come_from(word, tmp_path):
    kind = read(hostile("harmless", tmp_path / "kind"))
    page = read(hostile(word, tmp_path / "page"))
    assert page.nodes == kind.nodes
    assert [(tag, name) for tag, name, _ in page.values] == [
        (tag, name) for tag, name, _ in kind.values
    ]
    assert printable(word) in "".join(page.text)
    text = (tmp_path / "page" / "leaderboard.md").read_text()
    lines = len((tmp_path / "kind" / "leaderboard.md").read_text().splitlines())
    assert len(text.splitlines()) == lines
    assert "<" not in text
    assert not re.search(r"(?<!\\)[\[\]`]", text)
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def broken(path):
    path.write_text("{")
    return "cannot be read as JSON"


def foreign(path):
    path.write_text(json.dumps({"model": "x", "mAP": 0.9}))
    return "is not a result of torchreid-adv standard: it lacks its schema"


def lacking(path):
    content = result()
    del content["tracks"]["Q"]["8"]["interval"]
    path.write_text(json.dumps(sealed(content)))
    return "it lacks 'tracks.Q.8.interval'"


def newer(path):
    path.write_text(json.dumps({"schema": 2, "anything": []}))
    return "newer version (schema 2, this one reads 1); update"


def edited(path):
    content = result()
    content["tracks"]["Q"]["8"]["robust"]["mAP"] = 0.21
    path.write_text(json.dumps(content))
    return "changed by hand"


def better_than_clean(path):
    path.write_text(json.dumps(result(robust=0.9)))
    return "robust mAP is not above the clean one"


def whitewashed(path):
    path.write_text(json.dumps(result(flags=[flag()])))
    return "its flags are the checks that are raised"


def nan(path):
    path.write_text(json.dumps(result()).replace("0.2,", "NaN,", 1))
    return "NaN is not a JSON number"


def numbers(path):
    path.write_text(json.dumps(result(robust=1.5)))
    return "'tracks.Q.8.robust.mAP' has an invalid value"


def deep(path):
    path.write_text("[" * 100_000)
    return "cannot be read as JSON"


def bytes_of_an_image(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    return "cannot be read as JSON"


BAD = [broken, foreign, lacking, newer, edited, better_than_clean, whitewashed, nan, numbers, deep,
       bytes_of_an_image]  # fmt: skip


def printed(folder):
    """Whether the sentence is on the page, and how many results are in its table."""
    text = (folder / "leaderboard.md").read_text()
    return ["## Refused" in text, len(re.findall(r"^\| 1 \| model", text, re.MULTILINE)) // 2]


@pytest.mark.parametrize("spoil", BAD)
def test_what_is_no_result_is_refused_in_a_sentence(spoil, tmp_path, capsys):
    write(tmp_path / "good", result())
    bad = write(tmp_path / "bad", result())
    said = spoil(bad)
    assert cli.main(["leaderboard", str(tmp_path)]) == 3
    error = capsys.readouterr().err
    assert said in error
    assert str(bad) in error
    assert printed(tmp_path) == [True, 1]
    assert said in read(tmp_path / "leaderboard.html").said
    assert cli.main(["leaderboard", str(tmp_path), "--quarantine"]) == 4
    assert said in read(tmp_path / "leaderboard.html").said
    with pytest.raises(DataError):
        read_result(bad)


def test_texts_of_earlier_results_are_read_in_current_words(tmp_path):
    now = result(black_box="an ONNX file")
    texts = json.dumps({key: now[key] for key in ("standard", "threat")})
    for earlier, current in REWORDED.items():
        assert current in texts
        texts = texts.replace(current, earlier)
    read = read_result(write(tmp_path, sealed({**now, **json.loads(texts)})))
    assert read["threat"] == THREAT
    assert read["standard"] == now["standard"]


@pytest.mark.parametrize("place", ["threat__goal", "standard__headline"])
def test_texts_may_not_be_other_ones(place, tmp_path):
    path = write(tmp_path, result(**{place: "something else"}))
    with pytest.raises(DataError, match=r"threat model|headline"):
        read_result(path)


def test_no_result_at_all_is_said(tmp_path, capsys):
    assert cli.main(["leaderboard", str(tmp_path / "nowhere")]) == 3
    assert f"there is no {RESULT} below" in capsys.readouterr().err


def test_results_that_fit_nothing_stored_are_marked_and_end_with_6(runs, capsys):
    assert cli.main(["leaderboard", str(runs), "--verify", "--root", str(runs)]) == 6
    assert "3 of 3 results do not match their stored files" in capsys.readouterr().err
    page = read(runs / "leaderboard.html")
    assert "Nothing here can be ranked." in page.said
    assert "does not match the stored files" in page.said
    assert "more, which torchreid-adv verify lists" in page.said
    assert str(runs) not in page.said


def test_markdown_of_nothing_is_a_heading():
    assert markdown([]) == "# Robustness leaderboard\n"
