"""Loaders of the universal attackers' data sets, on trees in their public layouts."""

import pytest
from markets import person

from torchreid_adv import config
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.engines.loaders import training_set
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS


def put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        person(number, 0, 0, 16, 8).save(folder / name)


def opened(name, root, **keywords):
    return DATASETS.get(name)(root=str(root), verbose=False, **keywords)


def without_folders(items):
    return [(path.rsplit("/", 1)[1], *rest) for path, *rest in items]


def personx(root, place="personx/PersonX_v1"):
    for scene, camera in (("3", 1), ("4", 1), ("5", 1), ("6", 2)):
        home = root / place / scene
        train = [f"{pid:04d}_c{camera}s1_{n}.jpg" for pid in (7, 30) for n in range(2)]
        put(home / "bounding_box_train", *train)
        put(home / "query", f"0008_c{camera}s1_1.jpg")
        put(home / "bounding_box_test", f"0008_c{camera}s1_2.jpg", f"-1_c{camera}s1_1.jpg")


@pytest.mark.parametrize("place", ["personx/PersonX_v1", "PersonX_v1"])
def test_personx_456_is_three_scenes_with_a_camera_each(tmp_path, place):
    personx(tmp_path, place)
    found = opened("personx_456", tmp_path)
    assert len(found.train) == 3 * 4  # scene 3 is left out
    assert found.num_train_pids == 2
    assert {(pid, camid) for _, pid, camid, _ in found.train} == {
        (pid, camid) for pid in (0, 1) for camid in (0, 1, 2)
    }
    assert [row[1:3] for row in found.query] == [(8, 0), (8, 1), (8, 2)]
    assert [row[1:3] for row in found.gallery] == [(8, 0), (8, 1), (8, 2)]  # without -1


def test_personx_s_files_of_one_name_stay_apart(tmp_path):
    personx(tmp_path)
    put(tmp_path / "personx/PersonX_v1/5/query", "0008_c1s1_1.jpg")
    data = load_dataset("personx_456", root=tmp_path)
    assert data.query[0].image_id == "query/4/query/0008_c1s1_1.jpg"
    assert len({record.image_id for record in data.query}) == 3


def test_a_scene_that_is_not_there_is_named(tmp_path):
    personx(tmp_path)
    (tmp_path / "personx/PersonX_v1/5/query/0008_c1s1_1.jpg").unlink()
    with pytest.raises(
        DataError, match=r"5/query' holds no images; the public layout is \{4,5,6\}"
    ):
        opened("personx_456", tmp_path)


@pytest.mark.parametrize("place", ["randperson/randperson_subset", "randperson_subset"])
def test_randperson_s_cameras_are_counted_through_its_scenes(tmp_path, place):
    put(
        tmp_path / place,
        "000001_s00_c00_f000001.jpg",
        "000001_s00_c01_f000002.jpg",
        "000003_s04_c00_f000003.jpg",
        "000003_s10_c03_f000003.jpg",
        "000009_c01_s01_f000003.jpg",  # an older release
    )
    found = opened("randperson", tmp_path)
    # of the 19 cameras 0, 1, 3, 8 and 18 are seen
    assert without_folders(found.train) == [
        ("000001_s00_c00_f000001.jpg", 0, 0, 0),
        ("000001_s00_c01_f000002.jpg", 0, 1, 0),
        ("000003_s04_c00_f000003.jpg", 1, 3, 0),
        ("000003_s10_c03_f000003.jpg", 1, 4, 0),
        ("000009_c01_s01_f000003.jpg", 2, 2, 0),
    ]


def test_a_set_to_train_with_is_a_list_of_files_too(tmp_path):
    put(tmp_path / "randperson_subset", "000004_s00_c00_f000001.jpg", "000005_s00_c01_f000002.jpg")
    data = load_dataset("randperson", root=tmp_path)
    assert [record.image_id for record in data.train] == [
        "train/000004_s00_c00_f000001.jpg",
        "train/000005_s00_c01_f000002.jpg",
    ]
    assert [record.path for record in data.query] == [data.train[0].path]


def unreal(root):
    home = root / "unrealperson"
    put(home / "unreal_v1.1" / "images", "5_c001_1.jpg", "6_c002_1.jpg")
    put(home / "unreal_v3.1" / "images", "5_c001_7.jpg")
    put(home / "unreal_v1.2" / "images", "5_c001_1.jpg")
    return home


def test_unrealperson_s_people_go_by_version_its_cameras_by_world(tmp_path):
    unreal(tmp_path)
    found = opened("unrealperson", tmp_path)
    rows = [(path.split("/")[-3:], pid, camid) for path, pid, camid, _ in found.train]
    assert rows == [
        (["unreal_v1.1", "images", "5_c001_1.jpg"], 0, 0),
        (["unreal_v1.1", "images", "6_c002_1.jpg"], 1, 1),
        (["unreal_v1.2", "images", "5_c001_1.jpg"], 2, 0),  # another version: another person
        (["unreal_v3.1", "images", "5_c001_7.jpg"], 0, 2),  # another world: another camera
    ]


def test_unrealperson_s_list_is_followed(tmp_path):
    home = unreal(tmp_path)
    lines = ["unreal_v3.1/images/5_c001_7.jpg 40 11 ", "unreal_v1.1/images/6_c002_1.jpg 9 3", ""]
    (home / "list_unreal_train.txt").write_text("\n".join(lines))
    found = opened("unrealperson", tmp_path)
    assert without_folders(found.train) == [("5_c001_7.jpg", 1, 1, 0), ("6_c002_1.jpg", 0, 0, 0)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("unreal_v1.1/images/5_c001_1.jpg 1", "line 1 of .* path below the folder"),
        ("../secret.jpg 1 1", "line 1 of"),
        ("unreal_v9.1/images/5_c001_1.jpg 1 1", "has no such image file"),
        ("", "is empty"),
    ],
)
def test_a_list_of_unrealperson_that_is_wrong_is_named(tmp_path, line, says):
    (unreal(tmp_path) / "list_unreal_train.txt").write_text(line)
    with pytest.raises(DataError, match=says):
        opened("unrealperson", tmp_path)


def deepchange(root, place="DeepChangeDataset"):
    sides = {
        "train-set": ["P9_C1_1_0.jpg,51", "P9_C2_2_0.jpg,77", "P4_C1_1_0.jpg,52"],
        "val-set-query": ["P20_C1_1_0.jpg,4"],
        "val-set-gallery": ["P20_C1_2_0.jpg,5", "P20_C1_1_1.jpg,4"],
        "test-set-query": ["P30_C1_1_0.jpg,800"],
        "test-set-gallery": ["P30_C1_2_0.jpg,900", "P30_C1_1_1.jpg,800", "P31_C3_1_0.jpg,901"],
    }
    for split, lines in sides.items():
        put(root / place / split, *(line.split(",")[0] for line in lines))
        (root / place / f"{split}-bbox.txt").write_text("\n".join(lines) + "\n")
    return root / place


def test_deepchange_s_cameras_are_tracklets(tmp_path):
    deepchange(tmp_path)
    found = opened("deepchange", tmp_path)
    assert [row[1:3] for row in found.train] == [(1, 0), (1, 2), (0, 1)]
    assert [row[1:3] for row in found.query] == [(30, 0)]
    # by the query's camera, in other clothes: a match; in its tracklet: none
    assert [row[1:3] for row in found.gallery] == [(30, 1), (30, 0), (31, 2)]
    assert [found.clothes[row[0]] for row in found.gallery] == ["P30_2", "P30_1", "P31_1"]
    assert len(found.clothes) == 7


def test_deepchange_s_validation_set_is_split_1(tmp_path):
    deepchange(tmp_path, "deepchange/DeepChangeDataset")
    data = load_dataset("deepchange", root=tmp_path, split_id=1)
    assert [record.pid for record in data.gallery] == [20, 20]
    assert data.query[0].image_id == "val-set-query/P20_C1_1_0.jpg"
    with pytest.raises(ConfigError, match=r"0 \(test\) or 1 \(validation\), got 2"):
        opened("deepchange", tmp_path, split_id=2)


@pytest.mark.parametrize("line", ["P30_C1_1_0.jpg", "30_C1_1_0.jpg,8", "P30_C1_1/../../x.jpg,8"])
def test_a_line_of_deepchange_that_is_wrong_is_named(tmp_path, line):
    home = deepchange(tmp_path)
    (home / "test-set-query-bbox.txt").write_text(f"P30_C1_1_0.jpg,8\n{line}\n")
    with pytest.raises(DataError, match=r"line 2 of .*test-set-query-bbox\.txt"):
        opened("deepchange", tmp_path)


def test_a_list_of_deepchange_that_is_missing_is_named(tmp_path):
    home = deepchange(tmp_path)
    (home / "train-set-bbox.txt").unlink()
    with pytest.raises(DataError, match=r"train-set-bbox\.txt' is missing; the public layout"):
        opened("deepchange", tmp_path)


NAMES = ["personx_456", "randperson", "unrealperson", "deepchange"]


@pytest.mark.parametrize("name", NAMES)
def test_a_set_that_is_not_there_says_where_it_belongs(tmp_path, name):
    with pytest.raises(DataError, match=rf"'{name}' was not found: folder '{tmp_path}.*so that it"):
        load_dataset(name, root=tmp_path)


def test_a_name_that_tells_nothing_is_shown_with_the_layout(tmp_path):
    put(tmp_path / "randperson/randperson_subset", "me.jpg")
    with pytest.raises(DataError, match=r"'me\.jpg' .*public layout is \*\.jpg named <pid>_s"):
        opened("randperson", tmp_path)
    put(tmp_path / "randperson_subset/randperson_subset", "000001_s11_c00_f000001.jpg")
    (tmp_path / "randperson/randperson_subset/me.jpg").rename(tmp_path / "me.jpg")
    (tmp_path / "randperson/randperson_subset").rmdir()
    with pytest.raises(DataError, match="scene 11, and RandPerson has scenes 0 to 10"):
        opened("randperson", tmp_path)


def test_stock_torchreid_trains_on_them_together(tmp_path):
    names = [f"{p:06d}_s00_c{c:02d}_f{p:06d}.jpg" for p in range(3) for c in range(2)]
    put(tmp_path / "randperson/randperson_subset", *names)
    unreal(tmp_path)
    personx(tmp_path)
    with installed():
        manager = torchreid_module("data").ImageDataManager(
            root=str(tmp_path), sources=["randperson", "unrealperson"], targets=["personx_456"],
            height=16, width=8, batch_size_train=4, workers=0, use_gpu=False, combineall=True,
        )  # fmt: skip
        cfg = config.add_adv_config(config.CfgNode({"data": {"root": str(tmp_path)}}))
        assert len(training_set(cfg, "unrealperson", None)) == 4  # as adv.meta.virtual is read
    assert manager.num_train_pids == 3 + 3  # nobody twice, although combineall is set
    assert manager.num_train_cams == 2 + 3
    assert len(manager.test_loader["personx_456"]["query"].dataset) == 3
    batch = next(iter(manager.train_loader))
    assert batch["img"].shape == (4, 3, 16, 8)
