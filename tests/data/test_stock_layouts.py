"""On clean data our readers give torchreid's records in its order, and in its own classes."""

import json
import os
import random
import shutil
import warnings

import numpy as np
import pytest
import trees
from torchvision.transforms import ToTensor
from trees import MAKERS

from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.datasets import CLASSES, checked_sets
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module

# torchreid asserts the numbers of the published sets
WHOLE = {
    "grid": lambda root: trees.grid(root, people=250),
    "ilids": lambda root: trees.ilids(root, people=119, images=476),
    "ilidsvid": lambda root: trees.ilidsvid(root, people=300),
}
SIDES = ("train", "query", "gallery")


def opened(name, root, **options):
    """Open torchreid's own class."""
    kind = getattr(torchreid_module("data.datasets"), CLASSES[name])
    return kind(root=str(root), verbose=False, transform=ToTensor(), **options)


def written(name, root):
    root.mkdir(parents=True, exist_ok=True)
    make = WHOLE.get(name, MAKERS[name])
    return make(root)


def rows(dataset, side):
    """Return rows; frames of a tracklet sorted, which torchreid takes as the disk lists them."""
    return [
        (row[0] if isinstance(row[0], str) else tuple(sorted(row[0])), *map(int, row[1:]))
        for row in getattr(dataset, side)
    ]


def renumbered(found):
    """Return rows with labels in the order of their first rows."""
    labels = {}
    return [(path, labels.setdefault(pid, len(labels)), *rest) for path, pid, *rest in found]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_records_are_torchreid_s_own(name, tmp_path, monkeypatch):
    tree = written(name, tmp_path)
    if name == "cuhk03":  # whose files torchreid wants even after it has read them
        monkeypatch.setattr(
            torchreid_module("data.datasets.dataset").Dataset, "check_before_run", lambda *_: None
        )
        for kind in ("labeled", "detected"):
            (tmp_path / "cuhk03" / f"images_{kind}").mkdir(exist_ok=True)
            for protocol in ("classic", "new"):
                path = tmp_path / "cuhk03" / f"splits_{protocol}_{kind}.json"
                text = (tmp_path / "cuhk03/splits_new_detected.json").read_text()
                path.write_text(text.replace("/elsewhere", str(tmp_path)))
    with checked_sets():
        ours = opened(name, tmp_path, split_id=0)
    for kept in ("splits.json", "splits_single_shot.json"):
        for path in tmp_path.glob(f"*/{kept}"):
            if name != "ilids":  # which draws from the order of the directory
                path.unlink()
    np.random.seed(0)
    random.seed(0)
    stock = opened(name, tmp_path, split_id=0)
    assert type(ours) is type(stock)
    for side in SIDES:
        found, expected = rows(ours, side), rows(stock, side)
        # torchreid numbers texts in no order, and leaves MSMT17's numbers as they are
        if name in ("cuhk02", "cuhksysu") or (name, side) == ("msmt17", "train"):
            found, expected = renumbered(found), renumbered(expected)
        if name == "university1652":  # each image is a camera, in the order of the disk
            assert [r[2] for r in found] == sorted(r[2] for r in expected)
            found, expected = ([r[:2] for r in sorted(x)] for x in (found, expected))
        assert found == expected, side
    assert ours.num_train_pids == stock.num_train_pids
    assert tree.rows


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_data_manager_of_torchreid_gets_the_checked_records(name, tmp_path, capsys):
    tree = MAKERS[name](tmp_path)
    video = any(len(row.files) > 1 for row in tree.rows)
    with installed():
        data = load_dataset(name, tmp_path)
        kind = "Video" if video else "Image"
        manager = getattr(torchreid_module("data"), f"{kind}DataManager")(
            root=str(tmp_path), sources=name, targets=name, height=16, width=8, workers=0,
            batch_size_train=1, use_gpu=False,
        )  # fmt: skip
    for side in ("query", "gallery"):
        found = manager.test_dataset[name][side]
        expected = {(str(r.files[0].path), r.pid, r.camid) for r in data.side(side)}
        first = {(row[0][0] if video else row[0], *map(int, row[1:3])) for row in found}
        assert first == expected
    assert len(manager.train_loader.dataset) == len(data.train)


def test_a_split_file_of_torchreid_s_own_is_followed_wherever_it_was_written(tmp_path):
    for name in ("viper", "cuhk01", "ilids", "prid"):
        root = tmp_path / "first"
        written(name, root)
        np.random.seed(7)
        random.seed(7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stock = opened(name, root, split_id=3)
        moved = root.rename(tmp_path / name)
        with checked_sets():
            ours = opened(name, moved, split_id=3)
        for side in SIDES:
            expected = [(p.replace(str(root), str(moved)), *r) for p, *r in rows(stock, side)]
            assert rows(ours, side) == expected


def test_a_split_file_of_windows_is_followed(tmp_path):
    tree = MAKERS["viper"](tmp_path)
    load_dataset("viper", tmp_path)
    path = tmp_path / "viper/splits.json"
    before = load_dataset("viper", tmp_path)
    splits = json.loads(path.read_text())
    for row in (row for split in splits for side in SIDES for row in split[side]):
        camera, name = row[0].split("/")[-2:]
        row[0] = f"D:\\data\\VIPeR\\{camera}\\{name}"
    path.write_text(json.dumps(splits))
    assert load_dataset("viper", tmp_path) == before
    assert len(tree.rows) == 10


@pytest.mark.parametrize("content", ["[", "{}", "[1]", '[{"train": []}]', '[{"train": [[1]]}]'])
@pytest.mark.parametrize("name", ["viper", "cuhk01", "ilids", "prid"])
def test_a_broken_split_file_is_named(name, content, tmp_path):
    MAKERS[name](tmp_path)
    kept = "prid2011/splits_single_shot.json" if name == "prid" else f"{name}/splits.json"
    (tmp_path / kept).write_text(content)
    with pytest.raises(DataError, match=rf"'{tmp_path / kept}'"):
        load_dataset(name, tmp_path)


@pytest.mark.parametrize("name", ["viper", "cuhk01", "ilids", "prid", "grid", "ilidsvid"])
def test_a_split_that_there_is_not_is_refused(name, tmp_path):
    MAKERS[name](tmp_path)
    for split_id in (-1, 99):
        with pytest.raises(ConfigError, match=rf"data\.split_id of {name} is 0 to \d+, got"):
            load_dataset(name, tmp_path, split_id=split_id)


def test_training_identities_run_from_0_in_every_set(tmp_path):
    for name in MAKERS:
        root = tmp_path / name
        root.mkdir()
        tree = MAKERS[name](root)
        options = {k: v(root) if callable(v) else v for k, v in tree.options.items()}
        labels = {record.pid for record in load_dataset(tree.name, root, **options).train}
        assert labels == set(range(len(labels))), name


def test_a_class_of_the_users_own_is_relabeled_and_combined(tmp_path):
    base = torchreid_module("data.datasets.dataset").ImageDataset

    def items(side, *pids):
        return [(f"{tmp_path}/{side}{pid}.jpg", pid, n) for n, pid in enumerate(pids)]

    class Own(base):
        _junk_pids = [0]  # noqa: RUF012

        def __init__(self, **kwargs):
            train, query, gallery = items("t", 900, 5, 17), items("q", 3, 70), items("g", 0, 3, 4)
            super().__init__(train, query, gallery, **kwargs)

    with checked_sets():
        plain, combined = Own(verbose=False), Own(verbose=False, combineall=True)
    assert [row[1] for row in plain.train] == [2, 0, 1]
    # 70 has no image in the gallery, which torchreid's own method needs
    assert [row[1] for row in combined.train] == [2, 0, 1, 3, 5, 3, 4]
    assert (combined.num_train_pids, len(combined)) == (6, 7)


def test_combineall_is_torchreid_s_where_that_works(tmp_path):
    for name in ("market1501", "dukemtmcreid", "prid2011", "cuhk02", "grid"):
        root = tmp_path / name
        root.mkdir()
        (trees.grid(root, people=250) if name == "grid" else MAKERS[name](root))
        stock = opened(name, root, combineall=True)
        with checked_sets():
            ours = opened(name, root, combineall=True)
        assert {row[1] for row in ours.train} == set(range(ours.num_train_pids))
        assert renumbered(rows(ours, "train")) == renumbered(rows(stock, "train"))


def test_cuhk03_is_made_of_its_authors_files(tmp_path):
    """A small cuhk-03.mat, as MATLAB 7.3 writes it, and the protocol files."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("imageio")
    from scipy.io import savemat

    home = tmp_path / "cuhk03"
    (home / "cuhk03_release").mkdir(parents=True)
    people, names = 4, []
    with h5py.File(home / "cuhk03_release/cuhk-03.mat", "w") as mat:
        cells = mat.create_group("#refs#")

        def cell(name, value):
            cells[name] = value
            return cells[name].ref

        for kind in ("detected", "labeled"):
            camp = np.empty((10, people), dtype=h5py.ref_dtype)
            for pid in range(people):
                for image in range(10):
                    shown = image in (0, 5)
                    pixels = np.full((3, 4, 8), 20 * pid, np.uint8) if shown else np.zeros(2)
                    camp[image, pid] = cell(f"{kind}{pid}_{image}", pixels)
                    if shown and kind == "detected":
                        names.append(f"1_{pid + 1:03d}_{1 + image // 5}_{image + 1:02d}.png")
            mat[kind] = np.array([[cell(f"{kind}_pair", camp)]], dtype=h5py.ref_dtype)
        test = np.array([[1, 1], [1, 2]], float).T
        sets = [[cell(f"set{number}", test) for number in range(20)]]
        mat["testsets"] = np.array(sets, dtype=h5py.ref_dtype)
    for kind in ("detected", "labeled"):
        savemat(
            home / f"cuhk03_new_protocol_config_{kind}.mat",
            {
                "train_idx": np.array([[1, 2, 3, 4]]), "query_idx": np.array([[5, 7]]),
                "gallery_idx": np.array([[6, 8]]), "labels": np.array([[1, 1, 2, 2, 3, 3, 4, 4]]),
                "filelist": np.array(names, dtype=object)[:, None],
            },
        )  # fmt: skip
    moved = tmp_path / "moved"
    load_dataset("cuhk03", tmp_path)
    home.rename((moved / "cuhk03").parent.mkdir() or moved / "cuhk03")
    data = load_dataset("cuhk03", moved)
    assert [(r.path.name, r.pid, r.camid) for r in data.query] == [
        ("1_003_1_01.png", 3, 0),
        ("1_004_1_01.png", 4, 0),
    ]
    assert all(moved in record.path.parents for record in data.files())
    classic = load_dataset("cuhk03", moved, cuhk03_classic_split=True, split_id=19)
    assert {r.path.name[:5] for r in classic.gallery} == {"1_001", "1_002"}


def test_what_cuhk03_s_files_are_read_with_is_named(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "h5py":
            raise ImportError("No module named 'h5py'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    home = tmp_path / "cuhk03"
    (home / "cuhk03_release").mkdir(parents=True)
    for name in ("cuhk03_release/cuhk-03.mat", *("cuhk03_new_protocol_config_detected.mat",)):
        (home / name).write_bytes(b"MATLAB")
    with pytest.raises(DataError, match=r"config_labeled\.mat' to make it of"):
        load_dataset("cuhk03", tmp_path)
    (home / "cuhk03_new_protocol_config_labeled.mat").write_bytes(b"MATLAB")
    with pytest.raises(DataError, match=r"is read with h5py and imageio.*pip install h5py"):
        load_dataset("cuhk03", tmp_path)


def test_cuhk01_is_unpacked_where_its_archive_lies(tmp_path):
    MAKERS["cuhk01"](tmp_path)
    home = tmp_path / "cuhk01"
    shutil.make_archive(str(home / "CUHK01"), "zip", home, "campus")
    shutil.rmtree(home / "campus")
    whole = (home / "CUHK01.zip").read_bytes()
    (home / "CUHK01.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"CUHK01\.zip' cannot be unpacked"):
        load_dataset("cuhk01", tmp_path)
    (home / "CUHK01.zip").write_bytes(whole)
    data = load_dataset("cuhk01", tmp_path)
    assert len(data.train) + len(data.query) + len(data.gallery) == 20
    assert sorted(os.listdir(home)) == ["CUHK01.zip", "campus", "splits.json"]


def test_a_later_start_of_a_tracklet_loses_no_frame(tmp_path):
    tree = trees.dukevid(tmp_path, first=2)
    data = load_dataset("dukemtmcvidreid", tmp_path)
    found = {tuple(str(f.path) for f in record.files) for record in data.gallery}
    assert found == {
        tuple(str(tmp_path / f) for f in row.files) for row in tree.rows if row.side == "gallery"
    }


def test_missing_files_are_left_to_the_quarantine_where_it_is_asked_for(tmp_path):
    from torchreid_adv import config
    from torchreid_adv.data.loading import check_images

    tree = MAKERS["msmt17"](tmp_path)
    gone = tmp_path / tree.rows[-1].files[0]
    gone.unlink()
    with pytest.raises(DataError, match="has no such image file"):
        load_dataset("msmt17", tmp_path)
    cfg = config.add_adv_config(config.AdvConfig())
    cfg.adv.job.quarantine = True
    with config.using(cfg):
        bad, _ = check_images(load_dataset("msmt17", tmp_path).gallery)
    assert [str(gone) in text for text in bad.values()] == [True]
