"""Our loop against torchattacks on the same metric, through a plain two-logit wrapper."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.core.batch import Batch
from torchreid_adv.models import Features, PixelModel

torchattacks = pytest.importorskip("torchattacks")


class Logits(nn.Module):
    """Two logits whose cross-entropy for class 0 is a linear function of the distance."""

    def __init__(self, model, references):
        super().__init__()
        self.model = model
        self.references = references

    def forward(self, images):
        features = F.normalize(self.model(images), dim=1)
        distance = (features - self.references[: len(images)]).pow(2).sum(1)
        u = distance + 0.1
        return torch.stack([-u, torch.log1p(-torch.exp(-u))], dim=1)


@pytest.fixture
def case():
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8)
    )
    model = PixelModel(network.double(), size=(24, 12)).eval()
    images = torch.randint(256, (5, 3, 24, 12)).double() / 255
    values = F.normalize(torch.randn(5, 8, dtype=torch.float64), dim=1)
    numbers = torch.arange(5)
    features = Features(values, numbers, numbers, tuple(map(str, range(5))))
    return model, images, features


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("fgsm", lambda model: torchattacks.FGSM(model, eps=8 / 255)),
        ("ifgsm", lambda model: torchattacks.BIM(model, eps=8 / 255, alpha=1 / 255, steps=0)),
        (
            "mifgsm",
            lambda model: torchattacks.MIFGSM(
                model, eps=8 / 255, alpha=1 / 255, steps=10, decay=1.0
            ),
        ),
    ],
)
def test_same_images_as_torchattacks(case, name, theirs):
    model, images, features = case
    batch = Batch(images, pids=torch.arange(5))
    ours = build_attack(name, eps=8 / 255)(model, batch, References(features))
    wrapped = Logits(model, features.values).eval()
    expected = theirs(wrapped)(images, torch.zeros(5, dtype=torch.long))
    assert torch.allclose(ours.images, expected.double(), atol=1e-7, rtol=0)
