"""Golden outputs: small runs of every command, recorded once and compared after each change.

``python tests/golden/record.py`` compares; ``--record`` records; ``--only WORD`` takes the entries
whose name has that word; ``--keep FOLDER`` leaves what they wrote for a look. The public command
line does all the work, in a process for each command, so that nothing here knows the modules.
"""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import runpy
import shutil
import signal
import sys
import time
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]
os.environ.update(OMP_NUM_THREADS="1", COLUMNS="100", CUDA_VISIBLE_DEVICES="")

import torch  # noqa: E402
from entries import CONFIGS, KILL, entries, prepare, texts  # noqa: E402
from outputs import compare, described, printed_alone  # noqa: E402

from torchreid_adv.registry import TABLES  # noqa: E402

GOLDEN = HERE / "golden.json"
SHARED = ("a.pth", "b.pth", "c.pth", "metric.npy", "zoo.yaml")
WORK = Path("/tmp/torchreid-adv-golden")  # always the same: draws of trainings go by paths
PACKAGES = "torch torchvision torchreid torchattacks numpy scipy scikit-learn pillow"
PACKAGES += " opencv-python-headless matplotlib safetensors"


def machine():
    """Return what the last bits of floats depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((n.partition(":")[2].strip() for n in lines if n.startswith("model name")), "")
    found = {"processor": model, "capability": torch.backends.cpu.get_cpu_capability()}
    found |= {name: metadata.version(name) for name in PACKAGES.split()}
    return found | {"python": platform.python_version()}


def load_all():
    """Import whatever a command may need, once for all processes."""
    torch.set_num_threads(1)
    for table in TABLES.values():
        list(table)


def launch(words, place):
    """Start a command in a fork; return its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.chdir(place)
        said = os.open("printed.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = ["torchreid-adv", *words]
        runpy.run_module("torchreid_adv", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code or 0)


def run(words, place):
    """Run a command to its end and return its exit code."""
    pid = launch([word for word in words if word != KILL], place)
    if words[:1] == [KILL]:
        while not list(place.glob("out/**/*.png")) and not _ended(pid):
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _ended(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def outcome(name, lines, shared, work):
    """Run an entry in a folder of its own and return its hashes."""
    place = work / name.partition(",")[0].replace(" ", "_").replace("/", "_")
    if place.exists():  # the same run, not resumed
        place.rename(f"{place}_whole")
    place.mkdir(parents=True)
    shutil.copytree(shared / "data", place / "data", copy_function=os.link)
    for file in SHARED:
        os.link(shared / file, place / file)
    (place / "configs").symlink_to(CONFIGS)
    codes = [run(words, place) for words in lines]
    printed = (place / "printed.txt").read_text(errors="replace").replace(str(place), "PLACE")
    if name in texts():
        return printed_alone(codes, printed)
    found = described(place, codes, printed)
    if any(words[:1] == [KILL] for words in lines):
        found["here"].pop("printed")  # as far as it came
    return found


@contextlib.contextmanager
def workplace(keep=None):
    """Give the folder of all recordings, empty, to one process at a time."""
    with open(f"{WORK}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir()
        try:
            yield WORK
        finally:
            if keep:
                shutil.move(WORK, keep)
            shutil.rmtree(WORK, ignore_errors=True)


def outcomes(chosen, work):
    """Yield name and hashes of each entry, and print how fast it goes."""
    load_all()
    shared, began = work / "shared", time.perf_counter()
    shared.mkdir(parents=True)
    prepare(shared)
    for number, (name, lines) in enumerate(chosen.items(), 1):
        started = time.perf_counter()
        found = outcome(name, lines, shared, work)
        now = time.perf_counter()
        rate = f"{number}/{len(chosen)}, {60 * number / (now - began):.0f} entries a minute"
        codes = found["everywhere"]["exit codes"]
        print(f"{name}: {now - started:.1f} s, exit codes {codes} ({rate})", flush=True)
        yield name, found


def main():
    """Compare or record, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", default="", help="entries whose name has this")
    parser.add_argument("--texts", action="store_true", help="help texts, configs, mistakes alone")
    parser.add_argument("--keep", type=Path, help="leave what entries wrote in this folder")
    arguments = parser.parse_args()
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"machine": {}}
    known = golden.setdefault("entries", {})
    lines = texts() if arguments.texts else entries()
    chosen = {name: words for name, words in lines.items() if arguments.only in name}
    with workplace(arguments.keep) as work:
        found = dict(outcomes(chosen, work))
    gone = [n for n in known if arguments.only in n and n not in chosen and not arguments.texts]
    wrong = compare(found, golden, machine(), [*found, *gone])
    print("\n".join([*wrong, f"{len(wrong)} of {len(found) + len(gone)} entries differ"]))
    if not arguments.record:
        return int(bool(wrong))
    some = arguments.only or arguments.texts
    everywhere = not any(entry["here"] for entry in found.values())  # the same on every machine
    if some and golden["machine"] != machine() and not everywhere:
        sys.exit("golden.json is of another machine or of other versions: record all entries")
    kept = {name: known[name] for name in known if some and name not in {*found, *gone}}
    made_on = golden["machine"] if some else machine()
    content = {"machine": made_on, "entries": dict(sorted({**kept, **found}.items()))}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
