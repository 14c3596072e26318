"""Identity scores as networks give them in training, from layers as in testing."""

import pytest
import torch
from torch import nn

from torchreid_adv.attacks.classification import check_identities, identity_scores
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.prepare import prepared


class Net(nn.Module):
    """An embedding with BatchNorm and dropout before the classifiers, as IDE has."""

    def __init__(self, form="softmax"):
        super().__init__()
        self.form = form
        self.conv, self.norm = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.embedding = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
        self.classifier, self.other = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, images):
        features = self.norm(self.conv(images)).relu().mean((2, 3))
        if not self.training:
            return features
        inner = self.embedding(features)
        scores = self.classifier(inner)
        parts = [scores, self.other(inner)]
        forms = {"softmax": scores, "triplet": (scores, features), "parts": parts}
        return {**forms, "both": (parts, features), "none": features}[self.form]


def model_of(form="softmax"):
    torch.manual_seed(0)
    model = PixelModel(Net(form), size=(16, 8))
    model.train()(torch.rand(16, 3, 16, 8))  # statistics that are not those of a fresh layer
    return model.eval()


@pytest.mark.parametrize(
    ("form", "heads"), [("softmax", 1), ("triplet", 1), ("parts", 2), ("both", 2)]
)
@pytest.mark.parametrize("precision", [None, "fp32", "bf16"])
def test_scores_are_those_of_the_layers_in_testing(form, heads, precision):
    model, images = model_of(form), torch.rand(3, 3, 16, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    net = model.network
    inner = net.embedding(net(model.normalize(images)))
    expected = [net.classifier(inner), net.other(inner)][:heads]
    if precision is None:
        found = identity_scores(model, images)
    else:
        with prepared(model, images, precision=precision) as ready:
            found = identity_scores(ready, images)
    assert len(found) == heads
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.allclose(one, other, atol=1e-5 if precision != "bf16" else 0.05)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_scores_of_an_image_have_a_gradient():
    images = torch.rand(2, 3, 16, 8, requires_grad=True)
    identity_scores(model_of(), images)[0].sum().backward()
    assert images.grad.abs().max() > 0


@pytest.mark.parametrize("form", ["softmax", "both"])
def test_a_network_with_classifiers_passes_and_is_left_as_it_was(form):
    model = model_of(form).train()
    model.network.norm.eval()
    flags, before = [m.training for m in model.modules()], model.network.norm.running_mean.clone()
    check_identities(model)
    assert [m.training for m in model.modules()] == flags
    assert torch.equal(model.network.norm.running_mean, before)


def test_a_network_without_classifiers_is_refused():
    with pytest.raises(ConfigError, match="no classifier of two or more"):
        check_identities(model_of("none"))
    lonely = model_of()
    lonely.network.classifier = nn.Linear(6, 1)
    with pytest.raises(ConfigError, match="no classifier of two or more"):
        check_identities(lonely)
