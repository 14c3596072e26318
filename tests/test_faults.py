"""Faults of the machine, of streams and of foreign code: a sentence and an exit code, each."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from torchreid_adv import cli
from torchreid_adv.core.faults import UNEXPECTED, explained, is_lost_connection
from torchreid_adv.errors import DiskError, MachineError
from torchreid_adv.registry import COMMANDS

HUGE = 2**55


def exits():
    sys.exit(0)


def dead_worker():
    raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")


def no_threads():
    raise RuntimeError("can't start new thread")


def out_of_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def unknown_number():
    raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO), "a")


def lost_disk():
    raise DiskError("'a' was removed")


FAULTS = {
    "numpy": (lambda: np.empty(HUGE), 5, "not enough memory"),
    "torch": (lambda: torch.empty(HUGE), 5, "not enough memory"),
    "python": (lambda: bytearray(HUGE), 5, "not enough memory"),
    "gpu": (out_of_gpu, 5, "not enough memory"),
    "threads": (no_threads, 5, "not enough memory"),
    "worker": (dead_worker, 5, "lower data.workers"),
    "full": (lambda: Path("/dev/full").write_bytes(b"a" * 10**6), 5, "No space left"),
    "file": (lambda: Path("/dev/null/a").mkdir(), 5, "Not a directory"),
    "exists": (lambda: Path("/dev/null").mkdir(), 5, "File exists"),
    "disk": (lost_disk, 5, "'a' was removed"),
    "any number": (unknown_number, 5, "nothing that was written before is lost"),
    "nul": (lambda: Path("a\0b").read_bytes(), 2, "NUL character"),
    "exit": (exits, 2, "called sys.exit(0)"),
}


@pytest.fixture
def command():
    """Register a command that does what it is given."""
    names = []

    def make(work):
        names.append(f"fault{len(names)}")
        COMMANDS.register(names[-1], help="")(lambda arguments: work())
        return names[-1]

    yield make
    for name in names:
        COMMANDS._entries.pop(name)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_sentence_and_a_code(name, command, capsys):
    work, code, words = FAULTS[name]
    assert cli.main([command(work)]) == code
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(command):
    with pytest.raises(ZeroDivisionError):
        cli.main([command(lambda: 1 / 0)])
    with pytest.raises(ValueError, match="shapes"):
        cli.main([command(lambda: np.zeros(2) + np.zeros(3))])


def test_the_parser_may_end_a_command(capsys):
    assert cli.main(["train", "--help"]) == 0
    assert cli.main(["verify", "--no-such-flag"]) == 2
    assert "torchreid-adv verify --help lists the flags" in capsys.readouterr().err


def test_what_gloo_says_of_a_lost_process_is_known():
    said = "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4242"
    assert is_lost_connection(RuntimeError(said))
    assert not is_lost_connection(RuntimeError("shapes cannot be multiplied"))
    assert explained(MachineError("gone")).code == 5


def forked_entry(*arguments, closed=(), out="pipe"):
    """Run the console script in a fork; return its exit code and what it said to stderr."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            _prepare(writing, closed, out)
            sys.argv = ["torchreid-adv", *arguments]
            cli.entry()
        except SystemExit as stop:
            try:
                sys.stdout.flush()
                code = stop.code
            except OSError:
                code = 120  # as the interpreter's own end
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def _prepare(writing, closed, out):
    broken, end = os.pipe()
    os.close(broken)
    place = {"pipe": end, "/dev/full": os.open("/dev/full", os.O_WRONLY)}.get(out, writing)
    os.dup2(place, 1)
    os.dup2(writing, 2)
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for number in closed:
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)


@pytest.mark.parametrize("closed", [[0], [1], [2], [1, 2], [0, 1, 2]])
def test_closed_streams_are_nowhere(closed):
    assert forked_entry("list", "attacks", closed=closed, out="said")[0] == 0
    assert forked_entry("list", "nothing", closed=closed, out="said")[0] == 2


def test_a_reader_that_is_gone_and_a_full_disk():
    assert forked_entry("list", "attacks") == (cli.UNREAD, "")
    code, said = forked_entry("list", "attacks", out="/dev/full")
    assert code == 5
    assert said.startswith("error: ")
    assert "No space left on device" in said


@pytest.mark.parametrize("text", ["could not create a primitive", "could not execute a primitive"])
def test_onednn_without_memory_is_told_from_a_shape_it_cannot_take(text):
    assert explained(RuntimeError(text)).code == MachineError.exit_code
    described = f"{text} descriptor for a convolution forward propagation primitive"
    assert explained(RuntimeError(described)).code == UNEXPECTED
