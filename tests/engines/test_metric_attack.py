"""``adv.engine: metric_attack`` through a standard run writes what attack-gallery writes."""

import json

import numpy as np
import pytest
import torch

from torchreid_adv import cli
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.models.loading import build_network

MODEL = "osnet_x0_25"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(5)
    path = tmp_path / "model.pth.tar-1"
    state = {"state_dict": build_network(MODEL).state_dict(), "epoch": 1, "rank1": np.float32(0.5)}
    torch.save(state, path)
    return path


def options(market, weights, out):
    return [
        "--root", str(market), "model.name", MODEL, "model.pretrained", "False",
        "data.height", "64", "data.width", "32", "data.workers", "0", "data.save_dir", str(out),
        "model.load_weights", str(weights), "test.normalize_feature", "True",
        "adv.attack.eps", "8", "adv.attack.steps", "3",
    ]  # fmt: skip


def test_an_evaluation_also_attacks_and_stores(market, weights, tmp_path, capsys):
    engine = ["adv.engine", "metric_attack"]
    arguments = options(market, weights, tmp_path / "run")
    assert cli.main(["train", *arguments, "test.evaluate", "True", *engine]) == 0
    printed = capsys.readouterr().out
    assert printed.count("mAP:") == 3  # the stock evaluation, clean, adversarial
    assert cli.main(["attack-gallery", *options(market, weights, tmp_path / "same")]) == 0
    ours, theirs = (
        json.loads((tmp_path / name / "results.json").read_text())["targets"]["market1501"]
        for name in ("run", "same")
    )
    for key in ("clean", "adversarial", "adversarial_float", "linf", "images", "attack"):
        assert ours[key] == theirs[key], key
    folders = [tmp_path / name / "market1501" / "adversarial" for name in ("run", "same")]
    first, second = (read_manifest(folder).entries for folder in folders)
    assert first == second
    assert (tmp_path / "run" / "report.html").is_file()


def test_training_attacks_once_at_its_end(market, weights, tmp_path, capsys):
    arguments = options(market, weights, tmp_path / "run")
    training = ["train.max_epoch", "2", "train.batch_size", "8", "test.eval_freq", "1"]
    code = cli.main(["train", *arguments, *training, "adv.engine", "metric_attack"])
    assert code == 0
    assert capsys.readouterr().out.count("##### Attacking") == 1
    assert (tmp_path / "run" / "model" / "model.pth.tar-2").is_file()
