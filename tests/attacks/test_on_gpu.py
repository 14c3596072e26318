"""The same attack on a CUDA device: same bounds, nearly the same images."""

import pytest
import torch

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.data.batch import Batch
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.models.loading import build_network

pytestmark = pytest.mark.gpu


@pytest.fixture
def case():
    torch.manual_seed(0)
    model = PixelModel(build_network("osnet_x0_25"), size=(64, 32))
    pids = torch.arange(4)
    batch = Batch(torch.rand(4, 3, 48, 20), pids=pids)
    features = Features(torch.randn(4, 512), pids, pids, tuple("abcd"))
    return model, batch, References(features)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_attack_is_as_strong_as_on_the_cpu(case, precision):
    model, batch, references = case
    attack = build_attack("mifgsm", eps=8 / 255, precision=precision)
    slow = attack(model, batch, references)
    fast = attack(model.cuda(), batch.to("cuda"), references)
    assert fast.images.is_cuda
    assert float((fast.images.cpu() - batch.images).abs().max()) <= 8 / 255 + 1e-6
    assert torch.allclose(fast.after.cpu(), slow.after, rtol=0.05)
    assert not any(p.grad is not None for p in model.parameters())
