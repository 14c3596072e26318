"""Jobs that can be killed at will, and what must be left of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
import torch
from kinds import arguments, kept
from leftovers import left
from markets import write_market
from scripts.tiny_model import Tiny, TinyClassifier
from standins import SCRIPTS


class Jobs:
    """Small jobs, run in forked processes."""

    def __init__(self, place):
        self.place = place
        self.market = write_market(place / "data", sizes=((64, 32), (40, 24)))
        few = {"identities": 3, "cameras": 2, "distractors": 1}
        self.small_market = write_market(place / "small", **few)
        self.log = place / "log.txt"
        self.log.touch()
        self.weights, self.other_weights = place / "tiny.pth", place / "other.pth"
        for seed, path in enumerate((self.weights, self.other_weights)):
            torch.manual_seed(seed)
            torch.save({"state_dict": Tiny().state_dict()}, path)
        self.classifier = place / "classifier.pth"
        torch.save({"state_dict": TinyClassifier(3).state_dict()}, self.classifier)
        modules = os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": modules}
        self._zygote = subprocess.Popen(
            [sys.executable, str(SCRIPTS / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._zygote.stdout.readline() == "ready\n"

    def run(self, out, *options, world=1, **order):
        """Attack a gallery in ``out`` and return the exit codes of the processes."""
        environments = [{}] if world == 1 else processes(world)
        return self.command(self._attack(out, *options), environments, **order)

    def run_pair(self, out):
        """Do it twice at the same time, by processes that know nothing of each other."""
        return self.command(self._attack(out), [{}, {}], apart=True)

    def _attack(self, out, *options):
        flags = ["-s", "market1501", "-t", "market1501", "--root", str(self.market)]
        pairs = ["model.name", "tiny", "model.load_weights", str(self.weights)]
        pairs += ["adv.plugins", "['tiny_model']", "data.height", "64", "data.width", "32"]
        pairs += ["data.workers", "0", "data.save_dir", str(out), "adv.job.chunk", "2"]
        return ["attack-gallery", *flags, *pairs, "adv.attack.eps", "8", *options]

    def command(self, arguments, environments=({},), **order):
        """Run a command once in each environment and return the exit codes."""
        order |= {"arguments": arguments, "processes": list(environments), "log": str(self.log)}
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        return json.loads(self._zygote.stdout.readline())

    def fresh(self, kind):
        """Return an empty folder for a kind of work: always the same, whose path is in results."""
        place = self.place / "work" / kind.replace(" ", "_")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def said(self):
        """Return what processes printed since the last call."""
        text = self.log.read_text()
        self.log.write_text("")
        return text

    def close(self):
        self._zygote.communicate("end\n", timeout=60)


def processes(world):
    """Return the environments that torchrun gives to its processes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]


@pytest.fixture(scope="session")
def jobs(tmp_path_factory):
    made = Jobs(tmp_path_factory.mktemp("crash"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def whole(jobs):
    """A run that nothing disturbed: what it left, and how long it took."""
    out = jobs.place / "whole"
    started = time.perf_counter()
    assert jobs.run(out) == [0], jobs.said()
    return left(out), time.perf_counter() - started


@pytest.fixture(scope="session")
def undisturbed(jobs):
    """Return what a kind of work leaves when nothing disturbs it, and how long it takes."""
    known = {}

    def work(kind):
        if kind not in known:
            place, started = jobs.fresh(kind), time.perf_counter()
            assert jobs.command(arguments(kind, jobs, place)) == [0], jobs.said()
            known[kind] = kept(place), time.perf_counter() - started
        return known[kind]

    return work
