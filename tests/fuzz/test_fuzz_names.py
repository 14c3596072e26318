"""Names: nothing outside of a folder is read or written, and nothing reaches the terminal raw."""

import json
import os
import shutil

import pytest
from markets import person

from fuzz.names import PLAIN, every
from torchreid_adv import cli, config
from torchreid_adv.core.files import inside
from torchreid_adv.core.manifest import Entry, Manifest
from torchreid_adv.data.adversarial import Adversarial
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.data.loading import check_images
from torchreid_adv.errors import AdvError
from torchreid_adv.integration.checkpoints import read_checkpoint


@pytest.fixture
def folder(tmp_path):
    """A variant folder with links in it that lead out, and images out there."""
    root = tmp_path / "outside" / "set" / "adversarial"
    (root / "query").mkdir(parents=True)
    for place in (tmp_path / "outside", root.parent, tmp_path):
        person(1, 1, 1).save(place / "bait.png")
    (root / "link").symlink_to("..")
    (root / "link.png").symlink_to("../bait.png")
    (root / "chain").symlink_to(".")
    (root / "loop").symlink_to("loop")
    (root / "absolute.png").symlink_to("/etc/passwd")
    return root


def named(name, folder):
    return name.replace("{outside}", str(folder.parent))


def listing(folder):
    top = folder.parents[2]
    return sorted(
        (p, os.lstat(p).st_mtime_ns) for p in top.rglob("*") if folder not in [p, *p.parents]
    )


def entries(outputs):
    facts = {
        "source": "a.jpg", "source_sha256": "0" * 64, "source_mode": "RGB", "size": (64, 32),
        "pid": 1, "camid": 0, "attacked": True, "linf": 1, "changed": True, "sha256": "0" * 64,
    }  # fmt: skip
    return [
        Entry(image_id=f"{side}/{n}.jpg", side=side, output=output, **facts)
        for n, output in enumerate(outputs)
        for side in ("train", "query", "gallery")
    ]


def is_within(folder, path):
    return os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)


@every
def test_no_file_outside_of_a_folder(folder, tally, name):
    name = named(name, folder)
    before = listing(folder)
    Manifest({"protocol": ""}, tuple(entries([name]))).write(folder)
    try:
        data = Adversarial(folder=folder, mode="query", verbose=False)
        paths = [row[0] for side in (data.train, data.query, data.gallery) for row in side]
        outcome = "inside"
    except AdvError as error:
        outcome, paths = f"refused ({error.exit_code})", []
    assert all(is_within(folder, path) for path in paths)
    try:
        place = inside(folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
    except AdvError:
        assert not paths
    except OSError:  # a loop of links
        pass
    assert listing(folder) == before
    tally("names", "manifest outputs", outcome)
    assert (outcome == "inside") == (name in PLAIN or name.startswith("loop"))


@every
def test_names_of_data_sets_and_folders(folder, tally, capsys, name, monkeypatch):
    monkeypatch.chdir(folder)
    name = named(name, folder)
    before = listing(folder)
    for load in (
        lambda: load_dataset(name, root=folder),
        lambda: load_dataset("market1501", root=name),
        lambda: Adversarial(folder=name),
        lambda: read_checkpoint(name),
    ):
        with pytest.raises(AdvError) as caught:
            load()
        tally("names", "data sets, folders, weights", f"refused ({caught.value.exit_code})")
    for key in ("data.targets", "model.load_weights", "adv.plugins"):
        config.forget()
        value = name if key.startswith("model") else json.dumps([name])
        code = cli.main(["attack-gallery", "--dry-run", key, value or "."])
        said = capsys.readouterr().err.rstrip("\n")
        tally("names", "on the command line", f"exit code {code}")
        assert code == (0 if key == "model.load_weights" and os.path.isfile(name) else 2)
        assert said.startswith("error: ") == (code == 2)
        assert said.isprintable()
    assert listing(folder) == before


@every
def test_names_of_image_files(market, tally, name):
    query = market / "market1501" / "Market-1501-v15.09.15" / "query"
    content = next(query.iterdir())
    base = f"0101_c1s1_{named(name, query)}".replace("/", "_").removesuffix(".png") + ".jpg"
    try:
        shutil.copy(content, query / base)
    except (OSError, ValueError):
        tally("names", "image files", "no such name")
        return
    data = load_dataset("market1501", root=market)
    bad, _ = check_images(data.query)
    tally("names", "image files", "refused" if bad else "accepted")
    assert all(fault.isprintable() for fault in bad.values())
    harmful = not base.isprintable() or "\\" in base or ":" in base
    assert bool(bad) == harmful, bad
