"""Corrupted versions of data sets: the same whoever writes them, sealed, read back, verified."""

import dataclasses
import json

import numpy as np
import pytest
from markets import write_market

from torchreid_adv import cli
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.processes import Team
from torchreid_adv.corruptions import corrupt, drawn
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.data.images import read_pixels
from torchreid_adv.errors import ConfigError, DataError, VerificationError
from torchreid_adv.runs import corrupted
from torchreid_adv.runs.corrupted import CorruptedWriter, corrupt_dataset
from torchreid_adv.runs.file_corruption import FileCorruption, people_of
from torchreid_adv.runs.originals import Originals
from torchreid_adv.runs.verify import verify

FOG = FileCorruption(kinds=("fog",), severity=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("corrupted"))


@pytest.fixture(scope="module")
def data(root):
    return load_dataset("market1501", root)


def test_names_stay_and_each_image_is_what_the_room_makes_of_it(data, tmp_path):
    stored = corrupt_dataset(data, FOG, side="query", out=tmp_path)
    assert [r.image_id for r in stored.data.query] == [r.image_id for r in data.query]
    for side in ("query", "gallery", "train"):
        for before, after in zip(data.side(side), stored.data.side(side), strict=True):
            assert after.path.with_suffix("").name == before.path.with_suffix("").name
            image, found = read_pixels(before.path), read_pixels(after.path)
            wanted = corrupt(image, "fog", severity=3) if side == "query" else image
            assert (found == wanted).all()
    labels = {e.side: e.corruption for e in stored.manifest.stored}
    assert labels == {"query": "fog 3", "gallery": "", "train": ""}


def test_kind_and_severity_are_drawn_by_content_and_told(data, tmp_path):
    stored = corrupt_dataset(data, FileCorruption(draw=2), out=tmp_path)
    entries = {entry.image_id: entry for entry in stored.manifest.stored}
    for record in (*data.query, *data.gallery):
        kind, severity = drawn(read_pixels(record.path), 2)
        assert entries[record.image_id].corruption == f"{kind} {severity}"
    assert len({entry.corruption for entry in entries.values()}) > 10


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_shards_and_order_change_no_byte(workers, data, tmp_path):
    alone = corrupt_dataset(data, FileCorruption(), out=tmp_path / "alone")
    shared = corrupt_dataset(data, FileCorruption(), out=tmp_path / "w", workers=workers)
    assert shared.manifest.root == alone.manifest.root
    parts = [
        corrupt_dataset(data, FileCorruption(), out=tmp_path / "s", team=Team(rank, 2))
        for rank in (1, 0)
    ]
    assert parts[0] is None
    assert parts[1].manifest.root == alone.manifest.root


def test_a_run_that_was_stopped_goes_on(data, tmp_path, monkeypatch):
    whole = corrupt_dataset(data, FOG, out=tmp_path / "whole")
    monkeypatch.setattr(corrupted, "COPIES", 3)
    changed, done = CorruptedWriter._changed, []

    def stopped(self, units):
        for result in changed(self, units):
            yield result
            done.append(result.unit.number)
            if len(done) == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(CorruptedWriter, "_changed", stopped)
    with pytest.raises(KeyboardInterrupt):
        corrupt_dataset(data, FOG, out=tmp_path / "run")
    folder = tmp_path / "run" / "market1501" / "corrupted"
    assert not (folder / "manifest.jsonl").exists()
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert times
    monkeypatch.setattr(CorruptedWriter, "_changed", changed)
    again = corrupt_dataset(data, FOG, out=tmp_path / "run")
    assert again.manifest.root == whole.manifest.root
    kept = [path for path, time in times.items() if path.stat().st_mtime_ns == time]
    assert len(kept) >= 6


def test_another_corruption_does_not_go_on_there(data, tmp_path):
    corrupt_dataset(data, FOG, out=tmp_path)
    with pytest.raises(ConfigError, match=r"another run .*severity"):
        corrupt_dataset(data, dataclasses.replace(FOG, severity=4), out=tmp_path)
    with pytest.raises(ConfigError, match="one of query, gallery, both"):
        corrupt_dataset(data, FOG, side="train", out=tmp_path / "other")


def test_another_person_of_the_same_camera_stands_in_front(data, tmp_path):
    corruption = FileCorruption(kinds=("occlusion_person",), others=people_of(data.gallery))
    record = data.query[0]
    seen = set()
    for draw in range(20):
        own = dataclasses.replace(corruption, draw=draw)
        other = own._other(record, read_pixels(record.path))
        seen |= {r for r in data.gallery if (read_pixels(r.path) == other).all()}
    assert len(seen) > 2
    assert all(r.pid not in (record.pid, 0, -1) and r.camid == record.camid for r in seen)
    alone = dataclasses.replace(
        corruption, others=tuple(r for r in data.gallery if r.pid == record.pid)
    )
    with pytest.raises(DataError, match="covered by another person"):
        alone(record, read_pixels(record.path))


def test_it_is_read_again_as_a_data_set_and_by_its_list(data, tmp_path):
    stored = corrupt_dataset(data, FOG, out=tmp_path)
    again = load_dataset("adversarial", folder=stored.folder)
    listed = load_dataset(str(stored.folder / "market1501_corrupted.csv"))
    for side in ("query", "gallery"):
        for found in (again, listed):
            assert len(found.side(side)) == len(data.side(side))
    assert len({r.pid for r in listed.query}) == len({r.pid for r in data.query})


def test_bad_images_are_refused_or_left_out(tmp_path):
    root = write_market(tmp_path / "data")
    bad = next((root / "market1501").rglob("query/*.jpg"))
    bad.write_bytes(bad.read_bytes()[:300])
    data = load_dataset("market1501", root)
    with pytest.raises(DataError, match=r"1 of .* images are bad"):
        corrupt_dataset(data, FOG, out=tmp_path / "refused")
    stored = corrupt_dataset(data, FOG, out=tmp_path / "run", quarantine=True)
    (entry,) = [e for e in stored.manifest.entries if e.status != "ok"]
    assert entry.image_id.endswith(bad.name)
    assert entry.corruption == ""
    assert len(stored.data.query) == len(data.query) - 1


def test_verification_makes_every_corrupted_image_again(root, data, tmp_path):
    stored = corrupt_dataset(data, FileCorruption(), side="query", out=tmp_path)
    assert "computed again" in verify(stored.folder, root, Originals.of(root, data))
    header = {**stored.manifest.header}
    header["corruption"] = {**header["corruption"], "draw": 1}
    dataclasses.replace(stored.manifest, header=header).write(stored.folder)
    with pytest.raises(VerificationError, match=r"its corruption is \w+ \d, the manifest says"):
        verify(stored.folder, root, Originals.of(root, data))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"kinds": ["fogg"]}, "did you mean 'fog'"), ({"version": "2"}, "of another version")],
)
def test_a_manifest_of_unknown_corruptions_is_refused(change, said, root, data, tmp_path):
    stored = corrupt_dataset(data, FOG, side="query", out=tmp_path)
    header = {**stored.manifest.header}
    header["corruption"] = {**header["corruption"], **change}
    dataclasses.replace(stored.manifest, header=header).write(stored.folder)
    with pytest.raises(DataError, match=said):
        verify(stored.folder, root, Originals.of(root, data))


def test_the_command_writes_and_says_what(root, tmp_path, capsys):
    flags = ["-t", "market1501", "--root", str(root), "data.save_dir", str(tmp_path)]
    chosen = ["adv.corruption.kinds", "rain", "adv.corruption.severity", "2", "data.workers", "0"]
    assert cli.main(["corrupt", *flags, *chosen]) == 0
    said = capsys.readouterr().out
    manifest = read_manifest(tmp_path / "market1501" / "corrupted")
    assert manifest.root in said
    assert f"{sum(entry.attacked for entry in manifest.stored)} images corrupted" in said
    assert {e.corruption for e in manifest.stored} == {"rain 2", ""}
    assert cli.main(["corrupt", *flags, "adv.corruption.kinds", "rains"]) == 2
    assert "did you mean 'rain'" in capsys.readouterr().err


def test_what_is_stored_does_not_say_how_it_was_encoded(data):
    image = read_pixels(data.query[0].path)
    assert (FOG(data.query[0], image) == FOG(data.query[1], np.array(image))).all()
    assert json.loads(json.dumps(FOG.facts())) == FOG.facts()
