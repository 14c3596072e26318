import pytest

from torchreid_adv import config
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.contents import training_facts
from torchreid_adv.data.virtual.folder import VirtualOptions
from torchreid_adv.data.virtual.render import render_dataset
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

COUNTS = {
    "train_identities": 4,
    "test_identities": 3,
    "cameras_per_identity": 3,
    "images_per_camera": 2,
    "distractors": 5,
}
SMALL = VirtualOptions(**COUNTS)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("reid-data")


def without_paths(items):
    return sorted((path.rsplit("/", 1)[1], *rest) for path, *rest in items)


def test_torchreid_s_own_reader_reads_the_same(root, tmp_path):
    place = render_dataset(root, "virtual_a", SMALL)
    (tmp_path / "market1501").mkdir()
    (tmp_path / "market1501" / "Market-1501-v15.09.15").symlink_to(place)
    stock = torchreid_module("data.datasets").init_image_dataset(
        "market1501", root=str(tmp_path), verbose=False
    )
    ours = DATASETS.get("virtual_a")(str(root), options=SMALL, verbose=False)
    assert without_paths(ours.query) == without_paths(stock.query)
    assert without_paths(ours.gallery) == without_paths(stock.gallery)
    assert without_paths(ours.train) == without_paths(stock.train)
    assert ours.num_train_pids == 4


@pytest.mark.parametrize("name", ["virtual_a", "virtual_b", "virtual_c", "virtual_c_long"])
def test_it_is_a_torchreid_data_set_as_torchreid_calls_it(name, root):
    cfg = config.add_adv_config(config.AdvConfig())
    for key, value in COUNTS.items():
        cfg.adv.virtual[key] = value
    dataset = DATASETS.get(name)(
        transform=None,
        k_tfm=1,
        mode="query",
        combineall=False,
        root=str(root),
        split_id=0,
        cuhk03_labeled=False,
        cuhk03_classic_split=False,
        market1501_500k=False,
        verbose=False,
    )
    assert isinstance(dataset, torchreid_module("data.datasets.dataset").ImageDataset)
    assert DATASETS.facts(name) == {"video": False}
    assert len(dataset) == 9
    assert dataset[0]["img"].size[0] >= 56
    assert {pid for _, pid, _, _ in dataset.train} == {0, 1, 2, 3}
    assert [item[0] for item in dataset.train] == sorted(item[0] for item in dataset.train)
    assert {camid for _, _, camid, _ in dataset.gallery} <= set(range(6))


def test_distractors_stay_out_of_training_on_everything(root):
    dataset = DATASETS.get("virtual_a")(str(root), options=SMALL, combineall=True, verbose=False)
    assert dataset.num_train_pids == 7


def test_a_config_value_out_of_range_is_named(root):
    cfg = config.add_adv_config(config.AdvConfig())
    cfg.adv.virtual.images_per_camera = 0
    with pytest.raises(ConfigError, match=r"adv\.virtual\.images_per_camera"):
        DATASETS.get("virtual_a")(str(root))


@pytest.mark.parametrize("name", ["virtual_a", "virtual_vi_i2v"])
def test_people_who_are_only_tested_do_not_change_a_training_set(name, tmp_path):
    """The folder is named after all that is rendered; what is trained on is the same."""

    def facts(combineall=False, **people):
        cfg = config.add_adv_config(config.AdvConfig())
        for key, value in {**COUNTS, "frames": 2, **people}.items():
            cfg.adv.virtual[key] = value
        cfg.adv.video.min_length, contents = 2, Contents()
        with config.using(cfg):
            return training_facts(name, tmp_path, contents, combineall=combineall)

    before = facts()
    assert facts(test_identities=4) == before
    assert facts(train_identities=5) != before
    assert facts(combineall=True) != facts(combineall=True, test_identities=4)
    assert len([*tmp_path.glob("virtual*")]) == 3
