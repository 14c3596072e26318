import pytest
import torch
from torchvision.transforms.functional import to_tensor
from vi_images import write_llcm, write_regdb, write_sysu

from torchreid_adv.config import torchreid_keys
from torchreid_adv.data.cross_modality import CrossModalityIdentitySampler
from torchreid_adv.engines.train import train
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

WRITERS = {"sysu_mm01": write_sysu, "regdb": write_regdb, "llcm": write_llcm}


def opened(root, name, **changed):
    return DATASETS.get(name)(root=str(root), transform=to_tensor, verbose=False, **changed)


def test_sysu_is_read_by_its_cameras_and_lists(tmp_path):
    data = opened(write_sysu(tmp_path), "sysu_mm01")
    assert len(data.train) == 3 * 6 * 2
    assert {row[1] for row in data.train} == {0, 1, 2}
    assert {(row[2], row[3]) for row in data.train} == {
        (0, 0), (1, 0), (2, 1), (3, 0), (4, 0), (5, 1)
    }  # fmt: skip
    assert {row[2] for row in data.query} == {2, 5}
    assert {row[2] for row in data.gallery} == {0, 1, 3, 4}
    assert [row[1] for row in data.gallery[::8]] == [5, 6]  # by identity, whatever the list's order
    indoor = opened(tmp_path, "sysu_mm01_indoor")
    assert {row[2] for row in indoor.gallery} == {0, 1}
    assert indoor.query == data.query


@pytest.mark.parametrize("name", ["regdb", "llcm"])
def test_both_directions_swap_query_and_gallery(tmp_path, name):
    root = WRITERS[name](tmp_path)
    one, other = opened(root, f"{name}_v2i"), opened(root, f"{name}_i2v")
    assert one.query == other.gallery
    assert one.gallery == other.query
    assert {row[3] for row in one.query} == {0}
    assert {row[3] for row in one.gallery} == {1}
    assert {row[3] for row in one.train} == {0, 1}
    sampler = CrossModalityIdentitySampler(one.train, 4, 2)
    pids = [one.train[row][1] for row in sampler]
    assert pids[::2] == pids[1::2]


def test_several_sources_keep_their_modalities(tmp_path):
    data = [opened(WRITERS[name](tmp_path), f"{name}_v2i") for name in ("regdb", "llcm")]
    both = sum(data)
    assert both.num_train_pids == 5
    for row, own in zip(both.train, [*data[0].train, *data[1].train], strict=True):
        assert row[3] % 2 == own[3]
    with pytest.raises(ConfigError, match="does not tell visible from infrared"):
        data[0] + object()


def test_a_trial_of_regdb_is_torchreid_s_split(tmp_path):
    write_regdb(tmp_path, trial=4)
    assert len(opened(tmp_path, "regdb_v2i", split_id=3).query) == 6
    with pytest.raises(DataError, match=r"train_visible_1\.txt' cannot be read"):
        opened(tmp_path, "regdb_v2i")
    with pytest.raises(ConfigError, match="split_id 0 to 9, got 10"):
        opened(tmp_path, "regdb_v2i", split_id=10)


def test_lists_of_something_else_are_refused(tmp_path):
    with pytest.raises(DataError, match="SYSU-MM01' is missing"):
        opened(tmp_path, "sysu_mm01")
    write_sysu(tmp_path)
    (tmp_path / "SYSU-MM01" / "exp" / "test_id.txt").write_text("0001.jpg")
    with pytest.raises(DataError, match="not a list of identities"):
        opened(tmp_path, "sysu_mm01")
    (tmp_path / "SYSU-MM01" / "exp" / "test_id.txt").write_text("99")
    with pytest.raises(DataError, match="identity 99 of the lists has no folder"):
        opened(tmp_path, "sysu_mm01")
    write_regdb(tmp_path)
    (tmp_path / "RegDB" / "idx" / "test_thermal_1.txt").write_text("Thermal/1.bmp\n")
    with pytest.raises(DataError, match=r"line 1 of .* not 'path label'"):
        opened(tmp_path, "regdb_v2i")


@pytest.mark.slow
def test_torchreid_s_engine_evaluates_by_the_protocol(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    cfg = torchreid_keys.default_config()
    values = {
        "data.root": str(write_sysu(tmp_path)),
        "data.sources": "['sysu_mm01']",
        "data.targets": "['sysu_mm01', 'sysu_mm01_indoor']",
        "data.height": 32, "data.width": 16, "data.workers": 0, "data.save_dir": str(tmp_path),
        "model.name": "shufflenet_v2_x0_5", "model.pretrained": False, "use_gpu": False,
        "sampler.train_sampler": "CrossModalityIdentitySampler",
        "train.batch_size": 8, "train.max_epoch": 1,
    }  # fmt: skip
    cfg.merge_from_list([part for pair in values.items() for part in pair])
    torch.manual_seed(0)
    engine = train(cfg)
    assert "by the protocol sysu_mm01" in capsys.readouterr().out
    assert len(engine.results["sysu_mm01"].valid) == 8 * 10
