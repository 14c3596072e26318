"""Forged submissions against the board: none is called scored again with a wrong number."""

import os
import shutil
import signal
import time
from collections import Counter

import pytest
from forged import WAYS, forge
from forgery import make, short_lite

from torchreid_adv import cli, config
from torchreid_adv.experiments import leaderboards
from torchreid_adv.standard import board_lines as board
from torchreid_adv.standard.reading import RESULT, read_result

SECONDS = 10  # for one submission; more is a hang
FIGURES = ("model", "data", "tracks", "looks", "metric")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with short_lite():
        made = make(tmp_path_factory.mktemp("board"))
        victim = made.root / "victim"
        victim.mkdir()
        (victim / "secret").write_text("secret")
        os.mkfifo(victim / "pipe")
        yield made


class Hang(Exception):
    """A submission took too long."""


@pytest.fixture
def watched(monkeypatch):
    """Checking one submission is cut short after some seconds; how long each took."""
    seconds = []

    def limit(function):
        def limited(*arguments):
            def hang(*_):
                raise Hang(function.__name__)

            signal.signal(signal.SIGALRM, hang)
            signal.alarm(SECONDS)
            started = time.process_time()
            try:
                return function(*arguments)
            finally:
                signal.alarm(0)
                seconds.append(time.process_time() - started)

        return limited

    for name in ("_read", "_verified"):
        monkeypatch.setattr(leaderboards, name, limit(getattr(leaderboards, name)))
    return seconds


def shown(monkeypatch):
    """What the board is made of, kept when it is written."""
    kept = {}
    write = leaderboards.write_leaderboard

    def remembered(out, results, refused=(), *further):
        kept.update(results=list(results), refused=list(refused))
        return write(out, results, refused, *further)

    monkeypatch.setattr(leaderboards, "write_leaderboard", remembered)
    return kept


@pytest.mark.parametrize("count", [2 * len(WAYS) // 3, pytest.param(200, marks=pytest.mark.slow)])
def test_forged_submissions(place, tmp_path, watched, monkeypatch, capsys, count):
    folder, kept = tmp_path / "submissions", shown(monkeypatch)
    ways = {"honest": "honest"}
    for number in range(count):
        name = f"{number:03d}"
        ways[name] = forge(place.run, folder / name, number, place.root / "victim")
    shutil.copytree(place.run, folder / "honest", ignore=shutil.ignore_patterns(".job"))
    flags = [flag for flag in place.flags() if flag != "--root"]
    root = flags.index(str(place.data))
    code = cli.main(
        ["leaderboard", str(folder), "--score-again", "--root", flags.pop(root), *flags]
    )
    config.forget()
    results, refused = kept["results"], kept["refused"]
    said = "\n".join([*refused, *(r.fault for r in results), *(r.note for r in results)])
    honest = read_result(place.run / RESULT)
    again = [r for r in results if r.scored in (board.EXACTLY, board.CLOSELY)]
    wrong = [r.place for r in again if any(r.content[k] != honest[k] for k in FIGURES)]
    counts = Counter(r.scored for r in results)
    with capsys.disabled():
        print(
            f"\n{count} forged submissions: {len(refused)} refused, "
            f"{sum(r.files == board.NO for r in results)} whose files do not fit, "
            f"{counts[board.NO]} whose numbers do not, {counts[board.UNSCORED]} not scored in all; "
            f"scored again {len(again)} (one honest), {len(wrong)} with a wrong number; "
            f"hangs {said.count('Hang')}, tracebacks {said.count('could not be checked')}; "
            f"longest {max(watched):.1f} s"
        )
        print("scored again:", sorted(ways[r.place] for r in again))
    assert code == 6
    assert len(results) + len(refused) == count + 1
    assert "honest" in [r.place for r in again]
    assert wrong == []
    assert "Hang" not in said
    assert "could not be checked" not in said
    assert "Traceback" not in capsys.readouterr().err
    assert (folder / "leaderboard.html").is_file()
