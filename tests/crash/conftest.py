"""Jobs that can be killed at will, and what must be left of them."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from leftovers import left
from markets import write_market
from scripts.tiny_model import Tiny
from standins import SCRIPTS


class Jobs:
    """A small job, run in forked processes."""

    def __init__(self, place):
        self.place = place
        self.market = write_market(place / "data", sizes=((64, 32), (40, 24)))
        self.log = place / "log.txt"
        self.log.touch()
        self.weights = place / "tiny.pth"
        torch.manual_seed(0)
        torch.save({"state_dict": Tiny().state_dict()}, self.weights)
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
        """Run the job in ``out`` and return the exit codes of its processes."""
        flags = ["-s", "market1501", "-t", "market1501", "--root", str(self.market)]
        pairs = ["model.name", "tiny", "model.load_weights", str(self.weights)]
        pairs += ["adv.plugins", "['tiny_model']", "data.height", "64", "data.width", "32"]
        pairs += ["data.workers", "0", "data.save_dir", str(out), "adv.job.chunk", "2"]
        order["arguments"] = ["attack-gallery", *flags, *pairs, "adv.attack.eps", "8", *options]
        order["processes"] = [{}] if world == 1 else processes(world)
        order["log"] = str(self.log)
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        return json.loads(self._zygote.stdout.readline())

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
    import time

    out = jobs.place / "whole"
    started = time.perf_counter()
    assert jobs.run(out) == [0], jobs.said()
    return left(out), time.perf_counter() - started
