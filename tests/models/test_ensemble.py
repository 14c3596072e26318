import pytest
import torch
from markets import write_market
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.core.batch import Batch
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Ensemble, Features, PixelModel, extract
from torchreid_adv.models.specs import ModelSpec, parse_models

SIZES = ((32, 16), (20, 10))
MEANS = ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
EPS = 6 / 255


def member(seed):
    torch.manual_seed(seed)
    height, width = SIZES[seed]
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, 5 + seed), nn.Tanh())
    return PixelModel(network.double(), size=SIZES[seed], mean=MEANS[seed]).eval()


@pytest.fixture
def members():
    return [member(0), member(1)]


def test_distances_are_means_of_the_members_distances(members):
    one, other = torch.rand(2, 4, 3, 24, 12, dtype=torch.float64)
    model = Ensemble(members)
    found = (model(one) - model(other)).pow(2).sum(1)
    each = [(F.normalize(m(one)) - F.normalize(m(other))).pow(2).sum(1) for m in members]
    assert torch.allclose(found, sum(each) / 2, rtol=0, atol=1e-12)
    assert torch.allclose(model(one).norm(dim=1), torch.ones(4).double())


def test_the_attack_is_that_on_the_mean_of_the_losses(members):
    """Sign steps along the mean of the members' losses, each with references of its own."""
    images = torch.rand(2, 3, 24, 12, dtype=torch.float64)
    guides = torch.rand(3, 3, 24, 12, dtype=torch.float64)
    model = Ensemble(members)
    with torch.no_grad():
        values = model(guides)
    features = Features(values, torch.ones(3).long(), torch.zeros(3).long(), ("a", "b", "c"))
    batch = Batch(images, pids=torch.ones(2).long())
    found = build_attack("ifgsm", eps=EPS, steps=4)(model, batch, References(features)).images

    low, high = (images - EPS).clamp_min(0), (images + EPS).clamp_max(1)
    current = images.clone()
    for _ in range(4):
        current = current.detach().requires_grad_(True)
        losses = []
        for m in members:
            own, others = F.normalize(m(current)), F.normalize(m(guides)).detach()
            losses.append(sum((own - other).pow(2).sum(1) for other in others) / len(others))
        (sum(losses) / 2).sum().backward()
        current = (current + current.grad.sign() / 255).detach().maximum(low).minimum(high)
    assert torch.allclose(found, current, rtol=0, atol=1e-12)


def test_features_of_files_are_those_of_each_member(tmp_path):
    records = load_dataset("market1501", root=write_market(tmp_path)).query
    members = [member(0).float(), member(1).float()]
    together = extract(Ensemble(members), records, chunk=5).values
    each = [F.normalize(extract(m, records, chunk=5).values, dim=1) for m in members]
    assert torch.allclose(together, torch.cat(each, 1) / 2**0.5, atol=1e-6)


def test_members_are_models():
    with pytest.raises(ConfigError, match="one PixelModel or more"):
        Ensemble([])
    with pytest.raises(ConfigError, match="one PixelModel or more"):
        Ensemble([nn.Flatten()])


def test_models_are_named_in_a_config():
    assert parse_models(["resnet50:a/b:c.pth", "ha=hacnn@160x64:d.pth"]) == [
        ModelSpec("resnet50", "resnet50", "a/b:c.pth"),
        ModelSpec("ha", "hacnn", "d.pth", (160, 64)),
    ]
    assert parse_models([]) == []


@pytest.mark.parametrize("entry", ["resnet50", ":a.pth", "resnet50@160:a.pth", "a b:c", "x=:y", ""])
def test_other_forms_are_refused(entry):
    with pytest.raises(ConfigError, match="names no model"):
        parse_models([entry])


def test_two_models_need_two_labels():
    with pytest.raises(ConfigError, match="two models are called 'resnet50'"):
        parse_models(["resnet50:a.pth", "resnet50:b.pth"])
