"""A start's training: warm-up, half-size epochs, and what a kill leaves."""

import math

import pytest
import torch
import toys

from torchreid_adv import config
from torchreid_adv.config import torchreid_keys
from torchreid_adv.core.files import unfinished_name
from torchreid_adv.engines import trained
from torchreid_adv.engines.progress import KeptProgressMixin, unfinished_file
from torchreid_adv.engines.start import start_config, start_weights
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.specs import ModelSpec

SPEC = ModelSpec("tiny", "tiny_classifier", "")


def toy_config(root):
    cfg = torchreid_keys.default_config()
    cfg.data.root, cfg.data.save_dir = str(root), str(root / "log")
    cfg.data.height, cfg.data.width, cfg.data.workers = 64, 32, 0
    cfg.data.sources = cfg.data.targets = ["virtual_a"]
    cfg.model.pretrained, cfg.use_gpu = False, False
    cfg.adv.plugins = ["scripts.tiny_model"]
    for key, value in toys.PEOPLE.items():
        cfg.adv.virtual[key] = value
    start = cfg.adv.start
    start.sources, start.identities, start.batch = ["virtual_b", "virtual_c"], 4, 8
    start.epochs, start.half_size, start.warmup = 3, 1, 1
    return cfg


@pytest.fixture
def cfg(tmp_path):
    with installed():
        cfg = toy_config(tmp_path)
        config.setup(cfg)
        yield cfg
    config.forget()


def weights(path):
    return torch.load(path, weights_only=False)["state_dict"]


@pytest.mark.parametrize("name", ["cosine", "multi_step", "single_step"])
@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_the_rate_rises_and_then_follows_torchreids_own(name, warmup):
    epochs, stock = 10, {
        "cosine": lambda e: 0.5 * (1 + math.cos(math.pi * e / 10)),
        "multi_step": lambda e: 0.1 ** ((e >= 6) + (e >= 8)),
        "single_step": lambda e: 0.1 ** (e // 8),
    }  # fmt: skip
    with installed():
        cfg = torchreid_keys.default_config()
        cfg.adv.schedule.warmup = warmup
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        scheduler = torchreid_module("optim").build_lr_scheduler(
            optimizer, lr_scheduler=name, stepsize=[6, 8], max_epoch=epochs
        )
        for epoch in range(epochs):
            rate = 0.5 * stock[name](epoch) * min(1, (epoch + 1) / (warmup + 1))
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate), epoch
            optimizer.step()
            scheduler.step()


def test_a_start_that_was_killed_ends_in_the_same_weights(cfg, monkeypatch):
    whole = weights(start_weights(cfg, SPEC))
    (folder,) = (path for path in _models(cfg).iterdir() if path.is_dir())
    folder.rename(folder.with_name("whole"))
    train, sizes = KeptProgressMixin.train, []

    def killed(self, *args, **keywords):
        train(self, *args, **keywords)
        if self.epoch == 1:
            raise KeyboardInterrupt

    forward = KeptProgressMixin.forward_backward

    def counted(self, data):
        result = forward(self, data)
        sizes.append(self.epoch)
        return result

    monkeypatch.setattr(KeptProgressMixin, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        start_weights(cfg, SPEC)
    (left,) = _models(cfg).glob("*.unfinished")
    assert not list(_models(cfg).glob("*.tmp"))

    monkeypatch.setattr(KeptProgressMixin, "train", train)
    monkeypatch.setattr(KeptProgressMixin, "forward_backward", counted)
    again = weights(start_weights(cfg, SPEC))
    assert set(sizes) == {2}  # the third epoch alone
    assert not left.exists()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def _models(cfg):
    return toys.Path(cfg.data.root) / "models"


def test_the_first_epochs_see_images_of_half_the_size(cfg, monkeypatch):
    seen = []
    network = torchreid_module("engine.engine").Engine.parse_data_for_train

    def spied(self, data):
        seen.append((self.epoch, tuple(data["img"].shape[2:])))
        return network(self, data)

    monkeypatch.setattr(torchreid_module("engine.engine").Engine, "parse_data_for_train", spied)
    start_weights(cfg, SPEC)
    assert dict(seen) == {0: (32, 16), 1: (64, 32), 2: (64, 32)}


def test_a_start_is_made_once_and_on_its_own_people(cfg, monkeypatch, capsys):
    first = start_weights(cfg, SPEC)
    monkeypatch.setattr(trained, "train_quietly", None)
    assert start_weights(cfg, SPEC) == first
    assert "Using the model trained before" in capsys.readouterr().out
    own = start_config(cfg, SPEC)
    assert own.data.sources == ["virtual_b", "virtual_c"]
    assert own.adv.virtual.train_identities == 4
    assert cfg.data.sources == ["virtual_a"]  # the study's own config is as it was
    classes = weights(first)["classifier.weight"].shape[0]
    assert classes == 8  # four people of each set


def test_without_a_start_the_configs_own_weights_are_used(cfg):
    cfg.adv.start.sources, cfg.model.load_weights = [], "imagenet.pth"
    assert start_weights(cfg, SPEC) == "imagenet.pth"


def test_what_is_kept_lies_beside_the_folder_and_has_the_name_of_its_training():
    folder = toys.Path("models") / unfinished_name("tiny-1a2b3c4d")
    assert unfinished_file(folder) == toys.Path("models") / "tiny-1a2b3c4d.unfinished"
