"""BUPTCampus on a small tree in its public layout."""

import pytest
import torch
from bupt import write_bupt
from scripts.tiny_resnet import TinyResNet
from torchvision.transforms.functional import to_tensor

from torchreid_adv.config import torchreid_keys
from torchreid_adv.data.cross_modality import CrossModalityTrackletSampler
from torchreid_adv.engines.train import train
from torchreid_adv.errors import DataError
from torchreid_adv.evaluation import evaluate, evaluate_matrix
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import Features
from torchreid_adv.models.self_attack import layers
from torchreid_adv.registry import DATASETS


def opened(root, name="bupt_campus_i2v", **changed):
    return DATASETS.get(name)(
        root=str(root), transform=to_tensor, verbose=False, seq_len=2, sample_method="grid",
        **changed,
    )  # fmt: skip


def test_a_training_tracklet_of_both_spectra_is_two(tmp_path):
    data = opened(write_bupt(tmp_path))
    assert len(data.train) == 3 * 2 * 2
    assert {row[1] for row in data.train} == {0, 1, 2}
    assert {(row[2], row[3]) for row in data.train} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for paths, _, camid, dsetid in data.train:
        assert len(paths) == 4
        spectrum, camera = ("RGB", "IR")[dsetid], ("LS3", "G25")[camid]
        assert all(f"/{spectrum}/{camera}/" in path for path in paths)
    pids = [data.train[row][1] for row in CrossModalityTrackletSampler(data.train, 4, 2)]
    assert pids[::2] == pids[1::2]
    item = data[0]
    assert item["img"].shape == (2, 3, 32, 16)


def test_a_direction_takes_queries_of_one_spectrum_and_the_gallery_of_the_other(tmp_path):
    one, other = opened(write_bupt(tmp_path)), opened(tmp_path, "bupt_campus_v2i")
    assert {row[3] for row in one.query} == {row[3] for row in other.gallery} == {1}
    assert {row[3] for row in one.gallery} == {row[3] for row in other.query} == {0}
    assert {row[1] for row in one.query} == {11, 12, 13}
    assert len(one.query) == len(one.gallery) == 3


def test_no_camera_is_left_out():
    """A match by the query's own camera counts, as in its authors' evaluation."""
    values = torch.tensor([[0.1], [0.2], [0.6]])
    query = Features(values[:1], torch.tensor([7]), torch.tensor([3]), ("q",))
    gallery = Features(values[1:], torch.tensor([7, 8]), torch.tensor([3, 1]), ("a", "b"))
    found = evaluate(query, gallery, protocol="bupt_campus")
    assert found.rank(1) == 1
    with pytest.raises(DataError):
        evaluate_matrix(torch.tensor([[0.1, 0.5]]), [7], [7, 8], [3], [3, 1])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.txt", "1 RGB/IR LS3\n", "line 1 of .* not 'identity RGB"),
        ("query.txt", "\n11 RGB X9 1\n", "line 2 of .* with one of the cameras LS3, G25"),
        ("gallery.txt", "11 RGB LS3 2\n", "data_paths.json has no frames of"),
        ("query.txt", "11 RGB G25 1\n", "have no infrared"),
        ("data_paths.json", "[]", "holds no frames by identity"),
        ("data_paths.json", "{", "cannot be read"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, name, text, message):
    write_bupt(tmp_path)
    (tmp_path / "BUPTCampus" / name).write_text(text)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_a_missing_folder_or_list_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="get BUPTCampus from its authors"):
        opened(tmp_path)
    write_bupt(tmp_path)
    (tmp_path / "BUPTCampus" / "gallery.txt").unlink()
    with pytest.raises(DataError, match=r"gallery\.txt' cannot be read"):
        opened(tmp_path)


def test_the_video_network_is_trained_and_tested_on_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    monkeypatch.setattr(layers.models, "resnet18", TinyResNet)
    names = repr(["bupt_campus_i2v", "bupt_campus_v2i"])
    values = {
        "data.root": str(write_bupt(tmp_path)), "data.type": "video", "use_gpu": False,
        "data.sources": "['bupt_campus_i2v']", "data.targets": names,
        "data.height": 32, "data.width": 16, "data.workers": 0, "data.transforms": "[]",
        "data.save_dir": str(tmp_path / "log"), "model.name": "self_attack_video_resnet18",
        "model.pretrained": False, "sampler.train_sampler": "CrossModalityTrackletSampler",
        "video.seq_len": 2, "video.sample_method": "restricted", "train.batch_size": 8,
        "train.max_epoch": 1, "adv.engine": "vi_self_attack",
    }  # fmt: skip
    cfg = torchreid_keys.default_config()
    cfg.merge_from_list([part for pair in values.items() for part in pair])
    engine = train(cfg)
    assert capsys.readouterr().out.count("by the protocol bupt_campus") == 2
    assert set(engine.results) == {"bupt_campus_i2v", "bupt_campus_v2i"}
    assert all(result.queries == 3 for result in engine.results.values())
