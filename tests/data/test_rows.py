"""Records as a whole: files on both sides, files twice, sums of sets, all images for training."""

import json

import pytest
from trees import MAKERS

import torchreid_adv.integration as hooks
from torchreid_adv.data.datasets import load_dataset, open_dataset
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.layout import torchreid_module

TRACKLETS = {"seq_len": 2, "sample_method": "evenly"}
# MARS's own method leaves its training set alone where a query has no match, with a warning
SETS = [n for n in MAKERS if " " not in n and not n.startswith(("virtual", "adv", "mars", "prid"))]


def made(name, root):
    tree = MAKERS[name](root)
    video = any(len(row.files) > 1 for row in tree.rows)
    return tree, (TRACKLETS if video else {}) | tree.options


@pytest.mark.parametrize("name", [*SETS, "prid2011"])
def test_all_images_for_training_have_one_label_a_person(name, tmp_path):
    _, options = made(name, tmp_path)
    plain = open_dataset(name, tmp_path, **options)
    joined = open_dataset(name, tmp_path, combineall=True, **options)
    places = [row[0] for row in joined.train]
    assert len(set(places)) == len(places)
    assert sorted({row[1] for row in joined.train}) == list(range(joined.num_train_pids))
    pids = {row[0]: row[1] for row in joined.train}
    for rows in (plain.train, [*plain.query, *plain.gallery]):
        people = {}
        for place, pid, *_ in rows:
            if place in pids:
                people.setdefault(pid, set()).add(pids[place])
        assert all(len(labels) == 1 for labels in people.values())
        assert len(set().union(*people.values())) == len(people)


def manager(root, **options):
    kind = torchreid_module("data").ImageDataManager
    sizes = {"batch_size_train": 2, "batch_size_test": 2, "height": 16, "width": 8, "workers": 0}
    with hooks.installed():
        return kind(root=str(root), use_gpu=False, **sizes, **options)


def test_two_sets_are_trained_together_and_one_set_twice_is_refused(tmp_path):
    for name in ("market1501", "dukemtmcreid"):
        MAKERS[name](tmp_path)
    both = manager(tmp_path, sources=["market1501", "dukemtmcreid"], targets="market1501")
    assert both.num_train_pids == 4
    with pytest.raises(DataError, match=r"two identities.*named twice in data\.sources"):
        manager(tmp_path, sources=["market1501", "market1501"], targets="market1501")


@pytest.mark.parametrize("value", [-1, 20, 10**6, 1.5, "0", None])
@pytest.mark.parametrize("name", ["viper", "cuhk03", "ilidsvid", "regdb_v2i", "deepchange"])
def test_a_split_that_is_none_is_named(name, value, tmp_path):
    _, options = made(name, tmp_path)
    with pytest.raises(ConfigError, match=r"data\.split_id"):
        load_dataset(name, tmp_path, **options | {"split_id": value})


@pytest.mark.parametrize("value", [1.5, float("inf"), "1", -1, True, 10**30, None])
def test_a_split_file_with_another_value_than_a_number_is_named(value, tmp_path):
    MAKERS["cuhk03"](tmp_path)
    path = tmp_path / "cuhk03/splits_new_detected.json"
    splits = json.loads(path.read_text())
    splits[0]["train"][0][1] = value
    path.write_text(json.dumps(splits))
    with pytest.raises(DataError, match=r"splits_new_detected\.json.*'train'; remove it"):
        load_dataset("cuhk03", tmp_path)
    path.write_text("[]")
    with pytest.raises(DataError, match="holds none"):
        load_dataset("cuhk03", tmp_path)


@pytest.mark.parametrize("side", ["train", "gallery"])
def test_an_image_twice_in_a_split_is_named(side, tmp_path):
    MAKERS["cuhk03"](tmp_path)
    path = tmp_path / "cuhk03/splits_new_detected.json"
    splits = json.loads(path.read_text())
    row = splits[0][side][0]
    splits[0][side].append([row[0], row[1] + 1, row[2]])
    path.write_text(json.dumps(splits))
    with pytest.raises(DataError, match=r"twice among its \w+ images, of identity"):
        load_dataset("cuhk03", tmp_path)


def test_an_image_in_training_and_in_the_test_is_named(tmp_path):
    MAKERS["prid2011"](tmp_path)
    path = tmp_path / "prid2011/splits_prid2011.json"
    splits = json.loads(path.read_text())
    splits[0]["test"].append(splits[0]["train"][0])
    path.write_text(json.dumps(splits))
    with pytest.raises(DataError, match="in training and in the test"):
        load_dataset("prid2011", tmp_path, **TRACKLETS)


def test_a_record_that_tells_no_clothes_and_no_view_is_described_as_before_there_were_any(tmp_path):
    import dataclasses
    import json

    from torchreid_adv.core.contents import Contents
    from torchreid_adv.data.contents import _described
    from torchreid_adv.data.records import Record

    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    record = Record("gallery/a.jpg", path, 7, 1)
    labels, _ = _described(record, Contents())
    fields = "image_id pid camid modality tracklet number clip"
    assert set(labels) == set(fields.split())
    texts = {
        json.dumps(_described(dataclasses.replace(record, **told), Contents()))
        for told in ({}, {"clothes": "red"}, {"view": 0}, {"view": 1})
    }
    assert len(texts) == 4
