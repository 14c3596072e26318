"""A job killed at any moment, by any signal, on a full disk: the same command goes on.

The default run samples the moments; ``python -m pytest tests/crash -m slow`` takes fifty of each.
"""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from leftovers import left

from torchreid_adv.core.manifest import OK, read_manifest
from torchreid_adv.runs.plan import Ledger
from torchreid_adv.runs.verify import verify

MARKED = [pytest.param(2, id="sampled"), pytest.param(50, id="full", marks=pytest.mark.slow)]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_any_number_of_processes_leaves_the_same(jobs, whole, tmp_path, world):
    codes = jobs.run(tmp_path, world=world)
    assert codes == [0] * world, jobs.said()
    assert left(tmp_path) == whole[0]


@pytest.mark.parametrize("count", MARKED)
@pytest.mark.parametrize(("signal", "code"), [("SIGKILL", -9), ("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("world", [1, 2])
def test_a_killed_job_goes_on(jobs, whole, tmp_path, signal, code, world, count):
    generator = random.Random(f"{signal}{world}")
    killed = 0
    for trial in range(count + 4):
        if trial >= count and killed:
            break
        out, victims = tmp_path / str(trial), list(range(world))
        jobs.said()
        if world > 1 and trial % 2:  # every second time one of them only
            victims = [generator.randrange(world)]
        # where a run of this machine is faster than the first was, sooner and sooner
        late = 1.0 if killed else 0.5**trial
        delay = generator.uniform(0.05, 1.0) * whole[1] * late
        codes = jobs.run(out, world=world, signal=signal, delay=delay, victims=victims)
        killed += codes != [0] * world
        # the others are told to stop as well, which is a second signal for one that is stopping
        assert all(codes[victim] in (0, code, -15) for victim in victims), (codes, jobs.said())
        again = generator.choice([1, 2, 3]) if world > 1 else 1
        assert jobs.run(out, world=again) == [0] * again, jobs.said()
        assert left(out) == whole[0]
    assert killed


def test_an_attack_by_queries_leaves_the_same_curve(jobs, whole, tmp_path):
    options = ["adv.attack.name", "square", "adv.attack.options.queries", "30"]
    assert jobs.run(tmp_path / "whole", *options) == [0], jobs.said()
    (target,) = json.loads((tmp_path / "whole" / "results.json").read_text())["targets"].values()
    assert target["query_curve"]["queries"][-1] == 30
    for world in (1, 2):
        out, delay = tmp_path / str(world), whole[1] / 2
        jobs.run(out, *options, world=world, signal="SIGKILL", delay=delay, victims=[0])
        assert jobs.run(out, *options, world=world) == [0] * world, jobs.said()
        assert left(out) == left(tmp_path / "whole")


def test_shards_of_a_job_array(jobs, whole, tmp_path):
    for shard in ("1/3", "0/3", "2/3"):
        assert jobs.run(tmp_path, "adv.job.shard", shard) == [0], jobs.said()
        assert f"Shard {shard} is done" in jobs.said()
        assert not (tmp_path / "results.json").exists()
    assert jobs.run(tmp_path) == [0]
    assert left(tmp_path) == whole[0]


@pytest.mark.parametrize("options", [["data.workers", "2"], ["test.batch_size", "7"]])
def test_workers_and_batch_sizes_change_nothing(jobs, whole, tmp_path, options):
    assert jobs.run(tmp_path, *options) == [0], jobs.said()
    found = left(tmp_path)
    variant = {name: content for name, content in whole[0].items() if "adversarial" in name}
    assert {name: found[name] for name in variant} == variant


@pytest.mark.parametrize("size", [200, 3_000, 20_000])
def test_a_full_disk_ends_the_job_and_it_goes_on(jobs, whole, tmp_path, size):
    """Files cannot grow beyond some bytes, as on a disk that is full: one is cut off in it."""
    jobs.said()
    assert jobs.run(tmp_path, file_size=size) == [5]
    assert "nothing that was written before is lost" in jobs.said()
    assert jobs.run(tmp_path) == [0], jobs.said()
    assert left(tmp_path) == whole[0]


def test_a_read_only_folder_is_said(jobs, tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user can write everywhere")
    jobs.said()
    assert jobs.run(tmp_path) == [5]
    tmp_path.chmod(0o700)
    assert "nothing that was written before is lost" in jobs.said()


def test_a_folder_that_cannot_be_is_said(jobs, tmp_path):
    (tmp_path / "file").write_text("")
    jobs.said()
    assert jobs.run(tmp_path / "file" / "out") == [5]
    assert "Not a directory" in jobs.said()


def test_too_little_room_is_said_before_the_work(jobs, tmp_path):
    """The system refuses nothing here; the job asks how much is free."""
    jobs.said()
    assert jobs.run(tmp_path / "out", free=10_000) == [5]
    assert "free some, or choose another data.save_dir" in jobs.said()
    assert not (tmp_path / "out").exists()


def test_blocks_of_the_gallery_are_shared(jobs, tmp_path):
    options = ["adv.evaluation.block", "5"]
    assert jobs.run(tmp_path / "1", *options) == [0], jobs.said()
    for world in (2, 3):
        assert jobs.run(tmp_path / str(world), *options, world=world) == [0] * world, jobs.said()
        assert left(tmp_path / str(world)) == left(tmp_path / "1")


def test_bad_images_are_left_out_when_asked(jobs, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(jobs.market, data)
    gallery = sorted((data / "market1501").rglob("bounding_box_test/01*.jpg"))
    gallery[0].write_bytes(b"")
    gallery[7].write_bytes(gallery[7].read_bytes()[:300])
    jobs.said()
    assert jobs.run(tmp_path / "out", "data.root", str(data)) == [3]
    said = jobs.said()
    assert "2 of 63 images are bad" in said
    assert "adv.job.quarantine True" in said
    options = ["data.root", str(data), "adv.job.quarantine", "True"]
    for world in (1, 2):
        out = tmp_path / str(world)
        assert jobs.run(out, *options, world=world) == [4] * world, jobs.said()
        assert "partial, 2 bad images were left out" in jobs.said()
        manifest = read_manifest(out / "market1501" / "adversarial")
        bad = [entry for entry in manifest.entries if entry.status != OK]
        assert [Path(entry.source).name for entry in bad] == [gallery[0].name, gallery[7].name]
        assert len(manifest.stored) == 61
        results = json.loads((out / "results.json").read_text())
        assert results["targets"]["market1501"]["images"]["left_out"] == 2
        assert verify(out / "market1501" / "adversarial", data)
    assert left(tmp_path / "1") == left(tmp_path / "2")


def test_torn_and_foreign_ledgers_are_not_believed(jobs, whole, tmp_path):
    assert jobs.run(tmp_path) == [0]
    folder = tmp_path / "market1501" / ".job"
    ledger = next(folder.glob("*.ledger"))
    content = bytearray(ledger.read_bytes())
    content[len(content) // 2] ^= 1
    ledger.write_bytes(content[:-7])
    (folder / "x.ledger").write_bytes(b"something else")
    next((tmp_path / "market1501" / "adversarial").rglob("*.png")).unlink()
    assert jobs.run(tmp_path) == [0], jobs.said()
    assert left(tmp_path) == whole[0]


def test_the_last_recorded_images_are_read_again(jobs, whole, tmp_path):
    """As after a power cut on a disk that had promised more than it kept."""
    assert jobs.run(tmp_path) == [0]
    ledger = Ledger(tmp_path / "market1501" / ".job")
    last = max(ledger.replay().values(), key=lambda done: done.offset)
    path = tmp_path / "market1501" / "adversarial" / last.facts["entries"][0]["output"]
    path.write_bytes(path.read_bytes()[:50])
    assert jobs.run(tmp_path) == [0], jobs.said()
    found = left(tmp_path)
    assert found == whole[0]
