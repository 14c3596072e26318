"""Networks that a user's checkout builds: what decides features and is not in the file is asked."""

import pytest
import torch

import torchreid_adv as adv
from torchreid_adv.errors import ConfigError

CONFIG = """
from yacs.config import CfgNode as CN
cfg = CN()
cfg.MODEL = CN({"PRETRAIN_CHOICE": "", "PRETRAIN_PATH": "", "SIE_CAMERA": False})
cfg.MODEL.SIE_VIEW, cfg.MODEL.FUSION = False, "cat"
%s
cfg.INPUT = CN({"SIZE_TEST": [32, 16], "PIXEL_MEAN": [0.5] * 3, "PIXEL_STD": [0.5] * 3})
"""
MODEL = """
from torch import cat, nn

class Network(nn.Module):
    def __init__(self, cfg, classes):
        super().__init__()
        self.base = nn.Conv2d(3, 4, 8, 8)
        self.bottleneck = nn.BatchNorm1d(4)
        self.joined = cfg.MODEL.FUSION == "cat"
        self.classifier = nn.Linear(8 if self.joined else 4, classes, bias=False)

    def forward(self, images, cam_label=None, view_label=None):
        feature = self.bottleneck(self.base(images).amax((2, 3)))
        return cat([feature, 2 * feature], 1) if self.joined else feature

def make_model(cfg, num_class, camera_num, view_num):
    return Network(cfg, num_class)
"""


@pytest.fixture
def place(tmp_path):
    """Return a checkout with a yml, and the weights of a network of 4 features and 7 classes."""
    pytest.importorskip("yacs")
    for package, text in (("config", CONFIG % ""), ("model", MODEL)):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(text)
    (tmp_path / "cfg.yml").write_text("MODEL: {FUSION: mean}\n")
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(4).state_dict(prefix="bottleneck.")
    conv = torch.nn.Conv2d(3, 4, 8, 8).state_dict(prefix="base.")
    state = {**conv, **norm, "classifier.weight": torch.rand(7, 4)}
    torch.save(state, tmp_path / "net.pth")
    return tmp_path


def entry(place, *options):
    return f"{'@'.join(['transreid', *options])}:{place}:{place / 'cfg.yml'}:{place / 'net.pth'}"


def test_a_classifier_of_another_number_of_identities_is_no_matter(place):
    model = adv.load_model(entry(place), device="cpu")
    assert model(torch.rand(2, 3, 32, 16)).shape == (2, 4)


def test_a_classifier_of_features_of_another_size_is_of_another_network(place):
    with pytest.raises(ConfigError, match=r"classifier.weight is \(7, 4\) in the file, \(7, 8\)"):
        adv.load_model(entry(place, "set=MODEL.FUSION,cat"), device="cpu")


@pytest.mark.parametrize("key", ["SEMANTIC_WEIGHT", "POOLING"])
def test_a_setting_that_no_tensor_tells_of_is_asked(place, key):
    (place / "config" / "__init__.py").write_text(CONFIG % f"cfg.MODEL.{key} = 'None'")
    with pytest.raises(ConfigError, match=rf"says MODEL.{key}.* write @set=MODEL.{key},VALUE"):
        adv.load_model(entry(place), device="cpu")
    for value in ("None", "max"):
        adv.load_model(entry(place, f"set=MODEL.{key},{value}"), device="cpu")
    (place / "cfg.yml").write_text(f"MODEL: {{FUSION: mean, {key}: max}}\n")
    adv.load_model(entry(place), device="cpu")
