"""Attacks and defenses on a CUDA device: the same promises, and what the CPU finds."""

import warnings

import pytest
import torch
from place import DEVICE

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.core.batch import Batch
from torchreid_adv.defenses import build_defense
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.models.loading import build_network
from torchreid_adv.registry import ATTACKS, DEFENSES
from torchreid_adv.testing import _toy_batch as toy_batch
from torchreid_adv.testing import _toy_model as toy_model
from torchreid_adv.testing import _toy_references as toy_references
from torchreid_adv.testing import check_attack, check_defense

pytestmark = pytest.mark.gpu

COMPUTED = [name for name in ATTACKS if "weights" not in ATTACKS.options(name)]


def built(name, **options):
    known = ATTACKS.options(name)
    options = {"queries": 60, "seed": 3, **options}
    return build_attack(name, eps=8 / 255, **{k: v for k, v in options.items() if k in known})


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("targeted", [False, True])
def test_every_attack_keeps_its_promises(name, targeted):
    if targeted and "targeted" not in ATTACKS.options(name):
        pytest.skip("has no target")
    check_attack(built(name, targeted=targeted), device=DEVICE)


@pytest.mark.parametrize("name", COMPUTED)
def test_every_attack_finds_what_the_cpu_finds(name):
    """In float64, where rounding turns no sign; draws belong to images, not to the device."""
    attack = built(name)
    slow, fast = (
        attack(toy_model(device), toy_batch(range(3), device), toy_references())
        for device in ("cpu", DEVICE)
    )
    assert fast.images.device.type == DEVICE
    assert torch.allclose(fast.before.cpu(), slow.before, rtol=1e-9)
    assert torch.allclose(fast.after.cpu(), slow.after, rtol=1e-6)
    assert float((fast.images.cpu() - slow.images).abs().max()) < 1e-6


@pytest.mark.parametrize("name", list(DEFENSES))
def test_every_defense_keeps_its_promises(name):
    check_defense(build_defense(name), device=DEVICE)


@pytest.mark.parametrize("name", list(DEFENSES))
def test_every_defense_gives_what_the_cpu_gives(name):
    defense, images = build_defense(name), torch.rand(3, 3, 40, 20, dtype=torch.float64)
    fast = defense.to(DEVICE)(images.to(DEVICE)).cpu()
    assert torch.allclose(fast, defense.to("cpu")(images), rtol=0, atol=1e-6)


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
    fast = attack(model.to(DEVICE), batch.to(DEVICE), references)
    assert fast.images.device.type == DEVICE
    assert float((fast.images.cpu() - batch.images).abs().max()) <= 8 / 255 + 1e-6
    assert torch.allclose(fast.after.cpu(), slow.after, rtol=0.05)
    assert not any(p.grad is not None for p in model.parameters())


def test_nothing_in_the_loop_waits_for_the_device(case):
    """Steps are queued; a wait in each of them would leave the device idle."""
    model, batch, references = case
    model, batch = model.to(DEVICE), batch.to(DEVICE)
    attacks = [build_attack("ifgsm", eps=8 / 255, steps=steps) for steps in (2, 9)]
    waits = [_waits(attack, model, batch, references) for attack in attacks]
    assert waits[0] == waits[1]


def _waits(attack, model, batch, references):
    attack(model, batch, references)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            attack(model, batch, references)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return len([one for one in caught if "synchroniz" in str(one.message)])
