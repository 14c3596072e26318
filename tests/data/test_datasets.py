import shutil

import pytest
import torch
from PIL import Image

from torchreid_adv.core.batch import chunks, filled
from torchreid_adv.data.datasets import from_torchreid, load_dataset
from torchreid_adv.data.loading import check_images, make_batch, read_groups, refuse
from torchreid_adv.errors import ConfigError, DataError


class Listed:
    """What torchreid's data set objects have."""

    def __init__(self, train, query, gallery):
        self.train, self.query, self.gallery = train, query, gallery


def test_market_is_read_with_the_folders_own_names(market):
    data = load_dataset("market1501", root=market)
    assert (len(data.train), len(data.query), len(data.gallery)) == (24, 12, 27)
    assert {r.image_id.split("/")[0] for r in data.gallery} == {"bounding_box_test"}
    assert list(data.gallery) == sorted(data.gallery)
    assert data.query[0].image_id.startswith("query/0101_c1")
    assert {r.camid for r in data.query} == {0, 1, 2}
    assert {r.pid for r in data.gallery} == {0, 101, 102, 103, 104}


def test_wrong_names_and_places_are_named(market, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'market1501'"):
        load_dataset("market1502", root=market)
    with pytest.raises(DataError, match="does not exist; give it with --root"):
        load_dataset("market1501", root=tmp_path / "nowhere")
    with pytest.raises(DataError, match="is missing; put it there"):
        load_dataset("dukemtmcreid", root=market)
    assert not (market / "dukemtmc-reid").exists()


@pytest.mark.parametrize("split", ["query", "bounding_box_test", "bounding_box_train"])
def test_an_empty_split_is_named(market, split):
    folder = market / "market1501" / "Market-1501-v15.09.15" / split
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="cannot read the data set 'market1501'"):
        load_dataset("market1501", root=market)
    folder.mkdir()
    with pytest.raises(DataError, match="empty split"):
        load_dataset("market1501", root=market)


def test_sides_that_share_a_folder_get_the_sides_names():
    rows = [[(f"/d/set/test/000{i}/{side}.jpg", i, 0) for i in range(3)] for side in "qg"]
    train = [(f"/d/set/train/000{i}/t.jpg", i, 0) for i in range(3)]
    data = from_torchreid("x", "/d", Listed(train, *rows))
    assert data.query[0].image_id == "query/0000/q.jpg"
    assert data.train[0].image_id == "train/0000/t.jpg"
    both = [("/d/s/p1/a.jpg", 1, 0), ("/d/s/p2/a.jpg", 2, 0)]
    data = from_torchreid("x", "/d", Listed(both, both, both))
    assert [r.image_id for r in data.gallery] == ["gallery/p1/a.jpg", "gallery/p2/a.jpg"]


def test_names_that_would_be_one_file_are_refused():
    twins = [("/d/q/a.jpg", 1, 0), ("/d/q/A.png", 1, 1)]
    other = [("/d/g/a.jpg", 1, 0)]
    with pytest.raises(DataError, match="differ by suffix, case or Unicode form"):
        from_torchreid("x", "/d", Listed([("/d/t/a.jpg", 0, 0)], twins, other))
    composed = [("/d/q/caf\u00e9.jpg", 1, 0), ("/d/q/cafe\u0301.jpg", 1, 1)]
    with pytest.raises(DataError, match="Unicode form"):
        from_torchreid("x", "/d", Listed([("/d/t/a.jpg", 0, 0)], composed, other))


@pytest.mark.parametrize("name", ["no camera.jpg", "x999_c1s1_000001_00.jpg", "_c1.jpg"])
def test_a_file_name_that_tells_no_identity_is_named(market, name):
    folder = market / "market1501" / "Market-1501-v15.09.15" / "query"
    shutil.copy(next(folder.iterdir()), folder / name)
    with pytest.raises(DataError, match=name):
        load_dataset("market1501", root=market)


def test_groups_become_batches_with_their_records(market):
    records = load_dataset("market1501", root=market).gallery
    groups = chunks(records, 8)
    parts = list(read_groups(groups))
    assert [len(images) for images in parts] == [8, 8, 8, 3]
    batch = make_batch(groups[-1], filled(parts[-1], 8))
    assert len(batch) == 8
    assert torch.equal(batch.images[7], batch.images[2])
    assert batch.image_ids[:3] == tuple(r.image_id for r in groups[-1])
    assert tuple(batch.images.shape[-2:]) == tuple(batch.sizes.amax(0).tolist())
    assert len(set(map(tuple, batch.sizes.tolist()))) > 1


def test_workers_read_the_same(market):
    groups = chunks(load_dataset("market1501", root=market).query, 5)
    for a, b in zip(read_groups(groups), read_groups(groups, workers=2), strict=True):
        assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_all_bad_images_are_named_at_once(market):
    records = load_dataset("market1501", root=market).query
    sizes = [Image.open(record.path).size for record in records]
    assert check_images(records) == ({}, sum(width * height for width, height in sizes))
    records[0].path.write_bytes(b"")
    records[3].path.write_bytes(records[3].path.read_bytes()[:200])
    bad, _ = check_images(records)
    assert sorted(bad) == sorted(records[place].image_id for place in (0, 3))
    refuse({}, 12)
    with pytest.raises(DataError, match="2 of 12 images are bad") as caught:
        refuse(bad, 12)
    assert records[0].path.name in str(caught.value)
    assert records[3].path.name in str(caught.value)
