"""Starts jobs in processes that have everything imported, and ends them as told.

Each line of stdin is a JSON object: ``arguments`` of the command line, ``processes`` (a list of
environments), ``log``, and optionally ``delay`` seconds until ``signal`` goes to the processes
``victims``, or until the folder ``remove`` is removed; ``file_size``, the most bytes a file may
have; ``memory``, the most bytes a process may take besides what it has; ``free``, the bytes said to
be free on the disk; ``read_only``, a folder that cannot be written; ``closed``, numbers of standard
streams that are closed; ``page``, whether a report is drawn; ``apart``, whether a process goes on
where another one fails. With ``images`` the wait ends when so
many are stored ``within`` a folder. Answers one line: the exit codes. The line "end" ends it.
"""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from torchreid_adv import cli
from torchreid_adv.core import files
from torchreid_adv.engines import train
from torchreid_adv.registry import TABLES
from torchreid_adv.runs import attack_dataset

CANNOT = 77  # exit code of a process that may not mount


def child(order, environment, pipe):
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(pipe, 1)
    os.dup2(pipe, 2)
    for number in order.get("closed", ()):
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)
    if "read_only" in order:
        make_read_only(order["read_only"])
    if "memory" in order:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + order["memory"],) * 2)
    if "file_size" in order:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"],) * 2)
    if "free" in order:
        usage = shutil.disk_usage("/")._replace(free=order["free"])
        files.shutil = type("Disk", (), {"disk_usage": staticmethod(lambda place: usage)})
    if not order.get("page"):  # pictures are not at stake
        attack_dataset.write_report = lambda out, *rest: out / "report.html"
    code = cli.main(order["arguments"])
    sys.stdout.flush()
    os._exit(code)


def make_read_only(folder):
    """Mount a folder on itself, read only, for this process alone; ends it where that cannot be."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.fsencode(folder)
    steps = [
        lambda: libc.unshare(0x00020000),  # CLONE_NEWNS
        lambda: libc.mount(None, b"/", None, 0x40000 | 0x4000, None),  # MS_PRIVATE | MS_REC
        lambda: libc.mount(place, place, None, 0x1000, None),  # MS_BIND
        lambda: libc.mount(None, place, None, 0x1000 | 0x20 | 0x1, None),  # MS_REMOUNT, MS_RDONLY
    ]
    if any(step() for step in steps):
        os._exit(CANNOT)


def start(order, environment, pipe):
    pid = os.fork()
    if pid == 0:
        try:
            child(order, environment, pipe)
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(99)
    return pid


def pause(order, pids):
    """Wait some seconds, or less where all have ended or enough images are stored before."""
    deadline = time.monotonic() + order["delay"]
    while time.monotonic() < deadline and not all(map(ended, pids)):
        if "images" in order and len(list(Path(order["within"]).rglob("*.png"))) >= order["images"]:
            break
        time.sleep(min(0.01, max(0.0, deadline - time.monotonic())))


def ended(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def wait(pids, apart):
    """Wait for processes; when one fails, end the others, as torchrun does, unless apart."""
    codes = {}
    while len(codes) < len(pids):
        pid, status = os.waitpid(-1, 0)
        codes[pid] = os.waitstatus_to_exitcode(status)
        if codes[pid] and not apart:
            for other in set(pids) - set(codes):
                os.kill(other, signal.SIGTERM)
    return [codes[pid] for pid in pids]


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
    torch.set_num_threads(1)
    for table in TABLES.values():
        list(table)
    train._system_info()  # takes seconds
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, "end\n"):  # a fork of the caller may hold its end open
        if not line:
            break
        order = json.loads(line)
        reading, writing = os.pipe()  # a file would be held to the limit of file sizes
        pids = [start(order, environment, writing) for environment in order["processes"]]
        os.close(writing)
        if "delay" in order:
            pause(order, pids)
            if "remove" in order:
                shutil.rmtree(order["remove"], ignore_errors=True)
            for victim in order.get("victims", ()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[victim], getattr(signal, order["signal"]))
        codes = wait(pids, order.get("apart", False))
        with open(order["log"], "ab") as log, open(reading, "rb") as said:
            log.write(said.read())
        print(json.dumps(codes), flush=True)


main()
