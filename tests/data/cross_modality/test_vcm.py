import pytest
import torch
from torchvision.transforms.functional import to_tensor
from vcm import write_vcm

from torchreid_adv import config
from torchreid_adv.data.cross_modality.samplers import CrossModalityTrackletSampler
from torchreid_adv.data.cross_modality.vcm import VCMFiles
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.registry import DATASETS

OPTIONS = {"transform": to_tensor, "seq_len": 6, "sample_method": "restricted", "verbose": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_vcm(tmp_path_factory.mktemp("vcm"))


def opened(root, name="vcm_i2v", **changed):
    return DATASETS.get(name)(root=str(root), **{**OPTIONS, **changed})


@pytest.mark.parametrize("plain", [False, True])
def test_tracklets_are_the_lines_that_the_lists_name(tmp_path, plain):
    data = opened(write_vcm(tmp_path, plain=plain))
    assert len(data.train) == 4 * 2 * 2
    paths, pid, camid, dsetid = data.train[0]
    below = "" if plain else "Train/"
    assert paths[0].endswith(f"HITSZ-VCM/{below}0001/ir/D1/1.jpg")
    assert paths[-1].endswith("/12.jpg")  # last line of the range included
    assert (pid, camid, dsetid) == (0, 0, 1)
    assert data.train[2][0][0].endswith("0001/rgb/D1/1.jpg")
    assert {row[1] for row in data.train} == {0, 1, 2, 3}
    assert {row[1] for row in data.query} == {501, 502, 503}
    assert {row[3] for row in data.query} == {1}
    assert {row[3] for row in data.gallery} == {0}
    assert all((tmp_path / path).is_file() for row in data.gallery for path in row[0])


def test_the_other_direction_swaps_query_and_gallery(root):
    one, other = opened(root), opened(root, "vcm_v2i")
    assert one.query == other.gallery
    assert one.gallery == other.query
    assert one.train == other.train


def test_an_item_has_the_frames_of_the_rule(tmp_path):
    root = write_vcm(tmp_path, train=1, test=1, cameras=1, frames=13)
    data = opened(root, mode="gallery")
    item = data[0]
    assert item["img"].shape == (6, 3, 32, 16)
    assert item["dsetid"] == 0
    levels = (item["img"][:, :, -1].mean((1, 2)) * 255 / 8).round().int().tolist()
    assert levels == [1, 4, 7, 10, 13, 13]


def test_short_tracklets_are_left_out_by_the_config(tmp_path):
    root = write_vcm(tmp_path, train=1, test=1, cameras=1, frames=6)
    with pytest.raises(DataError, match=r"too short: the longest has 6 frames.*lower it"):
        opened(root)
    cfg = config.add_adv_config(config.AdvConfig())
    cfg.adv.video.min_length = 6
    assert len(opened(root).train) == 2


def test_transforms_are_drawn_for_each_frame_or_once(root):
    def noisy(image):
        return to_tensor(image) * 0 + torch.rand(1)

    values = [opened(root, transform=noisy, sync=sync)[0]["img"] for sync in (False, True)]
    assert len(set(values[0][:, 0, 0, 0].tolist())) == 6
    assert len(set(values[1][:, 0, 0, 0].tolist())) == 1


def test_two_sources_keep_modalities_identities_and_frames(root):
    data = opened(root)
    both = sum([data, opened(root)])
    assert {row[3] for row in both.train} == {0, 1, 2, 3}
    assert both.num_train_pids == 8
    assert len(both) == 32
    paths = [row[0] for row in both.train]
    for row, other in zip(both.train[:16], both.train[16:], strict=True):
        assert row[3] % 2 == other[3] % 2
        assert other[1] == row[1] + 4
    assert paths[:16] == paths[16:]
    assert both[20]["img"].shape == (6, 3, 32, 16)
    assert CrossModalityTrackletSampler(both.train, 16, 4).batches == 16 // 8


def test_a_source_without_modalities_is_not_joined(root):
    data = opened(root)
    with pytest.raises(ConfigError, match="does not tell visible from infrared"):
        data + object()


def test_lists_that_are_of_something_else_are_refused(tmp_path):
    write_vcm(tmp_path, test=1)
    info = tmp_path / "HITSZ-VCM" / "info"
    tracks, names = info / "track_train_info.txt", info / "train_name.txt"
    kept = tracks.read_text(), names.read_text()

    def refused(match):
        with pytest.raises(DataError, match=match):
            VCMFiles(tmp_path / "HITSZ-VCM").tracks("train")
        tracks.write_text(kept[0])
        names.write_text(kept[1])

    tracks.write_text(kept[0].replace("1 1 12 1 1", "1 1 12 1"))
    refused("line 1 of .*not 'modality first last identity camera'")
    tracks.write_text(kept[0].replace("1 1 12 1 1", "1 1 900 1 1"))
    refused("frames 1 to 900 of a list of 192 names")
    tracks.write_text(kept[0].replace("1 1 12 1 1", "2 1 12 1 1"))
    refused("identity 1, modality 2, and its frame '0001M1D1T1F1.jpg' says otherwise")
    names.write_text(kept[1].replace("0001M1D1T1F3.jpg", "0001_c1_f3.jpg"))
    refused("'0001_c1_f3.jpg', not one such as")
    tracks.unlink()
    refused("cannot be read")


def test_queries_of_another_split_are_refused(tmp_path):
    write_vcm(tmp_path, train=1)
    (tmp_path / "HITSZ-VCM" / "info" / "query_IDX.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match="does not list the 6 infrared test tracklets"):
        opened(tmp_path)


def test_a_root_without_the_set_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"no train_name.txt in HITSZ-VCM/info"):
        opened(tmp_path)


def test_an_unknown_frame_rule_is_refused_before_training(root):
    with pytest.raises(ConfigError, match=r"unknown video.sample_method 'restrictd'"):
        opened(root, sample_method="restrictd")
