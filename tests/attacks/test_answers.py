"""Attacks by gradients are refused where there is none, before an image is read."""

import pytest
import torch
from torch import nn

import torchreid_adv as adv
from torchreid_adv.attacks.build import check_gradient
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.pixel_model import BlackBox
from torchreid_adv.registry import ATTACKS

SIZE = (16, 8)
LEARNED = ("mis_ranking", "universal")  # applied from a file, without a gradient
BY_ANSWERS = ("nes", "spsa", "square")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 5, 4)

    def forward(self, images):
        return self.body(images).mean((2, 3))


class Box(BlackBox):
    def forward(self, images):
        return images.detach().mean((2, 3))


class Cut(Net):
    def forward(self, images):
        with torch.no_grad():
            return super().forward(images)


class Detached(Net):
    def forward(self, images):
        return super().forward(images.detach())


class Rounded(Net):
    def forward(self, images):
        return super().forward(images) + images.argmax(1).float().mean()


@pytest.mark.parametrize("network", [Box, Cut, Detached])
@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in LEARNED])
def test_each_attack_by_gradients_is_refused(name, network):
    attack = adv.build_attack(name, eps=8 / 255)
    for model in (
        PixelModel(network(), size=SIZE),
        Ensemble([PixelModel(Net(), size=SIZE), PixelModel(network(), size=SIZE)]),
    ):
        check_gradient(PixelModel(Net(), size=SIZE), attack)
        check_gradient(PixelModel(Rounded(), size=SIZE), attack)
        if name in BY_ANSWERS:
            check_gradient(model, attack)
            continue
        with pytest.raises(ConfigError, match=r"has no gradient.*square, nes or spsa"):
            check_gradient(model, attack)


def test_attack_dataset_reads_no_image_before(tmp_path, monkeypatch):
    class Untouched(ReIDData):
        def side(self, name):
            raise AssertionError(f"{name} was read")

    with pytest.raises(ConfigError, match="has no gradient"):
        adv.attack_dataset(
            PixelModel(Cut(), size=SIZE).eval(),
            Untouched("none", tmp_path, (), (), ()),
            adv.build_attack("sma", eps=8 / 255),
            out=tmp_path,
        )
