"""Connected processes: one that never comes, one that ends, one that is only slow."""

import io
import os
import signal
import socket
import sys
import time
from datetime import timedelta

import numpy as np
import pytest

from torchreid_adv.core import ranks as joining
from torchreid_adv.core.faults import explained
from torchreid_adv.core.processes import Team, joined, parse_shard
from torchreid_adv.core.ranks import local_rank, place_in
from torchreid_adv.errors import ConfigError, DataError


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


class Ranks:
    """Processes that do some work as one job; each is a fork."""

    def __init__(self, work, world, **variables):
        common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        self.pids, self._outputs, self._started = [], [], time.monotonic()
        for rank in range(world):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                own = {name: value(rank) for name, value in variables.items()}
                os.environ.update({**common, "RANK": str(rank), **own})
                sys.stderr = io.TextIOWrapper(os.fdopen(writing, "wb"), write_through=True)
                os._exit(self._code(work))
            os.close(writing)
            self.pids.append(pid)
            self._outputs.append(reading)

    @staticmethod
    def _code(work):
        try:
            with joined() as team:
                work(team)
        except BaseException as error:
            fault = explained(error)
            print(fault.sentence or repr(error), file=sys.stderr, flush=True)
            return fault.code
        return 0

    def ends(self):
        """Return exit codes, what each said, and the seconds it all took."""
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids]
        seconds = time.monotonic() - self._started
        said = [os.fdopen(output).read() for output in self._outputs]
        return codes, said, seconds


def sums(team, pause=0.0):
    time.sleep(pause if team.rank else 0)
    assert team.total(np.array([team.rank, 1])).tolist() == [3, 3]


def test_processes_that_all_come_and_stay_end_well():
    codes, said, _ = Ranks(sums, 3).ends()
    assert codes == [0, 0, 0], said


def busy(team):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sum(range(10_000))


@pytest.mark.parametrize("victim", [0, 2])
@pytest.mark.parametrize("work", [busy, sums], ids=["while they work", "while they wait"])
def test_one_that_is_killed_ends_all_others(victim, work):
    def killed(team):
        if team.rank == victim:
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        work(team)

    codes, said, seconds = Ranks(killed, 3).ends()
    assert codes == [-9 if rank == victim else 5 for rank in range(3)], said
    for rank in {0, 1, 2} - {victim}:
        assert f"process {victim} of 3 ended without a message" in said[rank]
    assert "Traceback" not in "".join(said)
    assert seconds < 30


def test_one_that_fails_ends_all_others_with_its_code():
    def failing(team):
        if team.rank == 1:
            raise DataError("image 7 is cut off")
        busy(team)

    codes, said, seconds = Ranks(failing, 3).ends()
    assert codes == [3, 3, 3]
    assert said[1] == "error: image 7 is cut off\n"
    for rank in (0, 2):
        assert said[rank].startswith("error: process 1 of 3 ended: image 7 is cut off")
    assert seconds < 30


@pytest.mark.parametrize("seconds", [2, pytest.param(60, id="a minute", marks=pytest.mark.slow)])
def test_one_that_is_stopped_for_a_while_goes_on(seconds):
    ranks = Ranks(lambda team: [sums(team, 0.3) for _ in range(8)], 3)
    time.sleep(1.0)
    os.kill(ranks.pids[1], signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(ranks.pids[1], signal.SIGCONT)
    codes, said, taken = ranks.ends()
    assert codes == [0, 0, 0], said
    assert taken > seconds


def test_one_that_never_comes_is_given_up(monkeypatch):
    monkeypatch.setattr(joining, "JOINING", timedelta(seconds=2))
    codes, said, _ = Ranks(sums, 2, WORLD_SIZE=lambda rank: "4").ends()
    assert codes == [5, 5]
    assert "2 of 4 processes of this job did not come" in said[0]
    assert "ranks 2, 3" in said[0]
    assert "Traceback" not in "".join(said)


def test_a_first_one_that_never_comes_is_given_up(monkeypatch):
    monkeypatch.setattr(joining, "JOINING", timedelta(seconds=2))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", free_port())
    with pytest.raises(joining.MachineError, match="cannot reach the first one"):
        joining.met(1, 2)


def test_a_port_that_is_taken_is_said(monkeypatch):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(joining.MachineError, match="choose another port"):
            joining.met(0, 2)


def test_processes_that_count_differently_are_refused():
    codes, said, seconds = Ranks(sums, 2, WORLD_SIZE=lambda rank: str(2 + rank)).ends()
    assert 2 in codes
    assert set(codes) <= {2, 5}
    assert "it is the same for all processes of a job" in "".join(said)
    assert seconds < 60


def test_two_processes_of_one_rank_are_refused(monkeypatch):
    monkeypatch.setattr(joining, "JOINING", timedelta(seconds=2))
    codes, said, _ = Ranks(sums, 3, RANK=lambda rank: str(rank // 2)).ends()
    assert sorted(codes) == [5, 5, 5] or 2 in codes
    assert "Traceback" not in "".join(said)


FINE = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}


@pytest.mark.parametrize("text", ["", "two", "-1", "1.5", "0x1", "10" * 3000, "٣", "1000000000000"])
@pytest.mark.parametrize("name", FINE)
def test_variables_that_are_no_numbers_are_sentences(name, text):
    reads = local_rank if name == "LOCAL_RANK" else place_in
    with pytest.raises(ConfigError, match=f"{name} is a whole number from"):
        reads({**FINE, name: text})


def test_ranks_beyond_the_number_of_processes_are_refused():
    assert place_in({}) == (0, 1)
    assert place_in({"RANK": "0"}) == (0, 1)
    assert place_in(FINE) == (0, 2)
    for environment in ({"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "1"}):
        with pytest.raises(ConfigError, match="start them by torchrun"):
            place_in(environment)
    with pytest.raises(ConfigError, match="WORLD_SIZE is a whole number"):
        place_in({"RANK": "0", "WORLD_SIZE": "0"})


@pytest.mark.parametrize("name", ["MASTER_ADDR", "MASTER_PORT"])
@pytest.mark.parametrize("text", ["", "no such host.invalid", "\x1b[31m", "99999999"])
def test_addresses_that_cannot_be_are_sentences(name, text, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29999")
    monkeypatch.setenv(name, text)
    monkeypatch.setattr(joining, "JOINING", timedelta(seconds=1))
    with pytest.raises((ConfigError, joining.MachineError), match=name) as refused:
        joining.met(1, 2)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("shard", ["0/1000000000000", f"0/{'9' * 5000}", "1/0", "3/2", "0/100001"])
def test_shards_that_cannot_be_are_sentences(shard):
    with pytest.raises(ConfigError, match="shard") as refused:
        parse_shard(shard)
    assert len(str(refused.value)) < 200


def test_a_shard_of_many_needs_no_memory():
    team = parse_shard("0/100000")
    assert team == Team(0, 100_000)
    assert team.shared({"a": 1}) == {"a": 1}
