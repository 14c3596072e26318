"""Locks: one process at a time in a folder, and no lock that outlives its process."""

import contextlib
import errno
import functools
import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from torchreid_adv.core import lock, owner
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.files import sweep, unfinished_name, write_bytes, write_text
from torchreid_adv.core.lock import making, working_in
from torchreid_adv.core.owner import Owner, abandoned, this_process
from torchreid_adv.core.processes import Team
from torchreid_adv.data.virtual.folder import VERSION, rendered_once
from torchreid_adv.errors import ConfigError, DiskError


def forked(work):
    """Run a function in a fork and return its process number; its exit code is 0 or 1."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextlib.contextmanager
def another_in(folder, name="", team=None):
    """Hold a folder, or the name of an entry in it, by another process within the block."""
    reading, writing = os.pipe()

    def hold():
        holding = making(folder / name) if name else working_in(folder, *([team] if team else []))
        with holding:
            os.write(writing, b"held")
            time.sleep(60)

    pid = forked(hold)
    os.close(writing)
    assert os.read(reading, 4) == b"held"
    os.close(reading)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def lock_of(folder, process, part="all"):
    path = folder / f"..lock.{part}.{process.tag}"
    path.touch()
    return path


def test_twenty_processes_take_turns(tmp_path):
    """Each adds one to a number in a file, which two at once would get wrong."""
    path = tmp_path / "run" / "count"

    def add():
        for _ in range(2):
            with working_in(path.parent):
                count = int(path.read_text()) if path.exists() else 0
                time.sleep(0.002)
                write_text(path, str(count + 1))

    assert [code_of(pid) for pid in [forked(add) for _ in range(20)]] == [0] * 20
    assert path.read_text() == "40"
    assert [p.name for p in path.parent.iterdir()] == ["count"]


def test_who_comes_second_waits_with_a_line(tmp_path, capsys):
    with another_in(tmp_path) as pid:
        forked(lambda: (time.sleep(0.5), os.kill(pid, signal.SIGKILL)))
        with working_in(tmp_path):
            pass
    said = capsys.readouterr().err
    assert said == f"Waiting: process {pid} on {this_process().host} works in '{tmp_path}'\n"


def test_who_does_not_wait_is_told_who_works_there(tmp_path):
    with (
        another_in(tmp_path) as pid,
        pytest.raises(ConfigError, match=f"process {pid} on"),
        working_in(tmp_path, wait=False),
    ):
        pass


def test_nothing_is_left_where_nothing_was_written(tmp_path):
    with working_in(tmp_path / "a" / "b"), working_in(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError), working_in(tmp_path / "a"):
        raise ConfigError("refused")
    assert list(tmp_path.iterdir()) == []


def test_entries_of_a_folder_are_made_beside_each_other(tmp_path):
    with another_in(tmp_path, "model-1"), making(tmp_path / "model-2"), working_in(tmp_path):
        pass


def test_long_names_leave_room_for_their_owner(tmp_path):
    name = "m" * 250
    with making(tmp_path / name):
        work = tmp_path / unfinished_name(name)
        work.mkdir()
        assert len(work.name) < 255
        work.rename(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_threads_of_a_process_share_its_lock(tmp_path):
    def work():
        for number in range(20):
            with working_in(tmp_path / "run"):
                write_text(tmp_path / "run" / "file", f"{number}")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]


def test_shards_share_a_folder_and_a_whole_run_does_not(tmp_path):
    first, second = Team(0, 2), Team(1, 2)
    with another_in(tmp_path, team=first) as pid:
        with working_in(tmp_path, second, wait=False):
            pass
        for team in (first, Team()):
            with (
                pytest.raises(ConfigError, match=f"process {pid}"),
                working_in(tmp_path, team, wait=False),
            ):
                pass


ME = this_process()
HERE = {"host": ME.host, "boot": ME.boot}
DEAD = {
    "number of nobody": Owner(**HERE, pid=2**22 + 1, started=5),
    "number used again": Owner(**HERE, pid=os.getpid(), started=ME.started + 1),
    "another boot": Owner(ME.host, "0" * 8, os.getpid(), ME.started),
}


@pytest.mark.parametrize("who", DEAD)
def test_a_lock_of_a_process_that_ended_is_taken_over(who, tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "_uptime", lambda: 100.0)
    stale, deep = lock_of(tmp_path, DEAD[who]), tmp_path / "a" / "b"
    os.utime(stale, (time.time() - 120,) * 2)
    deep.mkdir(parents=True)
    theirs = deep / unfinished_name().replace(ME.tag, DEAD[who].tag)
    theirs.mkdir()
    (theirs / "0.tmp").touch()
    os.utime(theirs, (time.time() - 120,) * 2)
    mine = deep / unfinished_name()
    mine.touch()
    with working_in(tmp_path, wait=False):
        assert not stale.exists()
        assert not theirs.exists()
        assert mine.exists()


def test_a_killed_process_that_nobody_waited_for_has_ended(tmp_path):
    pid = forked(lambda: time.sleep(60))
    started = owner._started(pid)
    lock_of(tmp_path, Owner(**HERE, pid=pid, started=started))
    with pytest.raises(ConfigError), working_in(tmp_path, wait=False):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with working_in(tmp_path, wait=False):
        pass
    os.waitpid(pid, 0)


def test_another_host_is_judged_by_its_signs_of_life(tmp_path):
    theirs = lock_of(tmp_path, Owner("elsewhere", "1" * 8, os.getpid(), 7))
    with pytest.raises(ConfigError) as refused, working_in(tmp_path, wait=False):
        pass
    assert f"process {os.getpid()} on elsewhere works in '{tmp_path}'" in str(refused.value)
    assert f"To continue sooner, remove '{theirs}'" in str(refused.value)
    os.utime(theirs, (time.time() - owner.SILENT - 1,) * 2)
    with working_in(tmp_path, wait=False):
        assert not theirs.exists()


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT", 0.01)
    monkeypatch.setattr(lock, "_beating", 0)
    with working_in(tmp_path):
        (path,) = tmp_path.glob("*.lock.*")
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_only_abandoned_files_are_swept(tmp_path):
    ages = {"old.tmp": 10**4, ".old.tmp": 10**4, ".new.tmp": 0, ".x.lock": 10**4}
    for name, age in ages.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    (tmp_path / unfinished_name()).touch()
    for entry, process in (("m", DEAD["number of nobody"]), ("n", DEAD["number of nobody"])):
        (tmp_path / unfinished_name(entry).replace(ME.tag, process.tag)).mkdir()
    sweep(tmp_path, "m")
    assert len(list(tmp_path.iterdir())) == 6
    sweep(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {name for name in names if ME.tag not in name} == ages.keys()
    assert len(names) == 5
    assert not abandoned(tmp_path / "gone")


def test_a_folder_that_is_lost_is_not_written_to(tmp_path):
    out = tmp_path / "run"
    with working_in(out):
        write_bytes(out / "a", b"before")
        shutil.rmtree(out)
        with pytest.raises(DiskError, match="was removed, or taken over"):
            write_bytes(out / "b" / "c", b"after")
    assert not out.exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_read(number, tmp_path, monkeypatch):
    write_text(tmp_path / "results.json", "{}")

    def refuse(*args, **keywords):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with working_in(tmp_path):
        write_text(tmp_path / "results.json", "{}")
        with pytest.raises(OSError, match=os.strerror(number)):
            write_text(tmp_path / "results.json", "[]")


@pytest.mark.parametrize("below", ["", "/below"])
def test_what_cannot_be_a_folder_is_said(below, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, error, words in (
        ("nul\0", ConfigError, "NUL"),
        ("file", DiskError, "is a file where a folder is needed"),
        ("link", DiskError, "which does not exist"),
        ("loop", DiskError, "which does not exist"),
    ):
        with pytest.raises(error, match=words), working_in(f"{tmp_path}/{name}{below}"):
            pass


@pytest.mark.parametrize("end", ["folder", "rendered"])
def test_what_is_kept_loses_the_lock_of_a_killed_maker(end, tmp_path):
    if end == "folder":
        key, cache = Key.of(a=1), Cache(tmp_path)
        make = functools.partial(cache.folder, "m", key, lambda place: None)
    else:
        folder = tmp_path / "set"
        record = {"version": VERSION}
        text = json.dumps({**record, "counts": {}})
        make = functools.partial(
            rendered_once, folder, record, lambda place: (place / "render.json").write_text(text)
        )
    path = make()
    lock_of = f".{path.name}.lock.all.{{}}"
    (tmp_path / lock_of.format(DEAD["number of nobody"].tag)).touch()
    (tmp_path / lock_of.format(ME.tag)).touch()
    assert make() == path
    assert [found.name for found in tmp_path.glob(".*")] == [lock_of.format(ME.tag)]
