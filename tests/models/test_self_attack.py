"""The video network: its size, its steps, and descriptors of one modality."""

import functools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.self_attack import SelfAttackVideo
from torchreid_adv.models.self_attack.layers import (
    PARTS,
    ResidualAttention,
    SpatialTemporalGuidance,
)
from torchreid_adv.models.self_attack.parts import GROUPS, group_parameters, moved, parts_in
from torchreid_adv.registry import MODELS

PAIRS = torch.tensor([0, 0, 1, 1])


@functools.cache
def network(classes=3, **switches):
    torch.manual_seed(0)
    return SelfAttackVideo(classes, backbone="resnet18", **switches)


def clips(count=4, frames=2):
    return torch.rand(count, frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def awake(model):
    """Let attention add something, as after some training."""
    for module in model.modules():
        if isinstance(module, ResidualAttention):
            torch.nn.init.ones_(module.norm.weight)
    return model


def millions(parameters):
    return sum(p.numel() for p in parameters) / 1e6


def test_size_and_work_are_those_of_the_paper_s_network():
    with torch.device("meta"):
        model = SelfAttackVideo(500).eval()
    assert millions(model.parameters()) == pytest.approx(133.65, abs=0.02)
    used = group_parameters(model, ("stems", "guidance"))
    used += [*model.defender.parameters(), *model.defender_last.parameters()]
    assert millions(used) == pytest.approx(91.45, abs=0.01)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        descriptor = model(torch.empty(1, 6, 3, 288, 144, device="meta"))
    assert descriptor.shape == (1, 12288)
    assert counter.get_total_flops() / 2e9 == pytest.approx(32.2, abs=0.1)


def test_every_parameter_is_in_one_group():
    with torch.device("meta"):
        model = SelfAttackVideo(3, backbone="resnet18")
    grouped = group_parameters(model, tuple(GROUPS))
    assert len(grouped) == len(set(grouped)) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("step", "fixed"),
    [("defense", False), ("defense", True), ("parts", True), ("attack", False), ("all", True)],
)
def test_gradients_of_a_step_reach_what_it_moves_and_nothing_else(step, fixed):
    model = awake(network()).train()
    model.zero_grad(set_to_none=True)
    outputs = model(clips(), PAIRS, step=step, fixed=fixed)
    sum((value**2).sum() for value in outputs.values()).backward()
    reached = {p for p in model.parameters() if p.grad is not None}
    allowed = set(group_parameters(model, moved(step, fixed=fixed)))
    if step == "parts":  # the raw maps: neither cross-attention nor neck
        idle = [model.cross_middle, model.cross_last, model.neck]
        allowed -= {p for module in idle for p in module.parameters()}
    assert reached == allowed


@pytest.mark.parametrize(
    "guidance",
    ["full", *(pytest.param(g, marks=pytest.mark.slow) for g in ("no_spatial", "temporal"))],
)
def test_a_descriptor_needs_no_partner(guidance):
    model = awake(network(guidance=guidance)).eval()
    images = clips()
    with torch.no_grad():
        together = model(images, PAIRS)
        alone = torch.cat([model(images[:2], PAIRS[:2]), model(images[2:], PAIRS[2:])])
        other = model(images[:2], PAIRS[2:])
    assert together.shape == (4, PARTS * 512)
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together[:2], other, atol=1e-2)


@pytest.mark.slow
def test_without_guidance_a_tracklet_attends_to_itself_or_to_nothing():
    images = clips()
    found = []
    for alone in ("self", "skip"):
        model = awake(network(guidance="none")).eval()
        model.alone = alone
        with torch.no_grad():
            found.append(model(images, PAIRS))
            assert torch.allclose(found[-1][:1], model(images[:1], PAIRS[:1]), atol=1e-5)
    assert found[0].shape == (4, 512)
    assert not torch.allclose(*found, atol=1e-3)


def test_cross_attention_pairs_the_same_place_of_both_modalities():
    """A batch in another order gives each tracklet the same feature."""
    model = awake(network()).train()
    images, order = clips(), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        one = model(images, PAIRS, step="defense")["feature"]
        other = model(images[order], PAIRS[order], step="defense")["feature"]
    assert torch.allclose(one[order], other, atol=1e-4)


@pytest.mark.parametrize(("pooled", "swapped"), [(False, False), (True, False), (False, True)])
def test_attention_is_the_sum_over_places(pooled, swapped):
    block = ResidualAttention(4, pooled=pooled).eval()
    torch.nn.init.ones_(block.norm.weight)
    x, y = torch.rand(2, 4, 4, 6), torch.rand(2, 4, 4, 6)
    found = block(x, y, swapped=swapped)
    asking, asked = (y, x) if swapped else (x, y)
    if pooled:
        asked = torch.nn.functional.max_pool2d(asked, 2)
    query, key, value = block.query(asking), block.key(asked), block.value(asked)
    mixed = torch.zeros_like(query)
    for n in range(2):
        for i in range(4):
            for j in range(6):
                scores = torch.einsum("c,chw->hw", query[n, :, i, j], key[n]) / math.sqrt(2)
                weights = scores.flatten().softmax(0).view(scores.shape)
                mixed[n, :, i, j] = (weights * value[n]).sum((1, 2))
    assert torch.allclose(found, x + block.norm(block.out(mixed)), atol=1e-5)


def test_guidance_is_equations_11_to_15_written_out():
    torch.manual_seed(0)
    block = SpatialTemporalGuidance(16)
    maps = torch.rand(2, 3, 16, 6, 2)  # a stripe is a row of two places
    found = block(maps)
    for n in range(2):
        f = [[maps[n, t, :, k].mean(1) for k in range(PARTS)] for t in range(3)]
        m = [block.motion(torch.stack([f[t][k] for t in range(3)])[None])[0][0] for k in range(6)]
        s = block.spatial(torch.stack([m[k][-1] for k in range(6)])[None])[0][0, -1]
        for k in range(PARTS):
            h = [f[t][k] * block.gate(torch.cat([f[t][k], s])) + m[k][t] for t in range(3)]
            part = found[n, 16 * k : 16 * (k + 1)]
            assert torch.allclose(part, torch.stack(h).mean(0), atol=1e-5)


def test_an_image_is_a_tracklet_of_one_frame_of_visible_light():
    model = network().eval()
    with torch.no_grad():
        image = clips()[:, 0]
        assert torch.equal(model(image), model(image[:, None], torch.zeros(4, dtype=torch.long)))


def test_training_without_a_step_is_refused():
    with pytest.raises(ConfigError, match=r"set adv.engine vi_self_attack"):
        network().train()(clips())


def test_the_last_stride_is_one_and_the_neck_has_no_bias():
    model = network()
    assert {m.stride for m in model.defender_last.modules() if isinstance(m, torch.nn.Conv2d)} == {
        (1, 1)
    }
    assert model.neck.bias is None
    with torch.no_grad():
        assert model.eval().defender(model.stem_visible(clips()[:1, 0])).shape[2:] == (2, 2)


def test_the_factory_builds_what_the_config_switches_on():
    cfg = config.add_adv_config(config.AdvConfig())
    cfg.adv.video.update({"attack": False, "defense": False, "guidance": "none"})
    with torch.device("meta"):
        model = MODELS.get("self_attack_video_resnet18")(num_classes=3, pretrained=False)
    assert model.attention is None
    assert model.cross_last is None
    assert model.guidance is None
    assert model.feature_dim == 512


@pytest.mark.parametrize("neck", ["classifier", "descriptor"])
def test_a_batch_norm_may_stand_before_the_classifier_of_the_parts(neck):
    plain, own = network.__wrapped__(), network.__wrapped__(parts_neck=neck)
    own.load_state_dict(plain.state_dict(), strict=False)
    assert own.neck_parts.bias is None
    torch.nn.init.uniform_(own.neck_parts.weight, 0.5, 2)
    seen = []
    with torch.no_grad():
        handle = own.guidance.register_forward_hook(lambda *call: seen.append(call[2]))
        logits = own.train()(clips(), PAIRS, step="parts")["parts"]
        handle.remove()
        (raw,) = seen
        unit = (raw - raw.mean(0)) / (raw.var(0, unbiased=False) + own.neck_parts.eps).sqrt()
        expected = unit * own.neck_parts.weight @ own.classifier_parts.weight.T
        assert torch.allclose(logits, expected, atol=1e-4)
        own.eval(), plain.eval()
        plain.load_state_dict(own.state_dict(), strict=False)
        whole, printed = own(clips(), PAIRS), plain(clips(), PAIRS)
        if neck == "classifier":
            assert torch.equal(whole, printed)
        else:
            assert torch.allclose(whole, own.neck_parts(printed), atol=1e-5)
            assert not torch.allclose(whole, printed)
    grouped = group_parameters(own, tuple(GROUPS))
    assert len(grouped) == len(set(grouped)) == len(list(own.parameters()))


def test_parts_of_the_descriptor_can_be_asked_for_alone():
    whole = network().eval()
    seen = []
    handle = whole.defender_last.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        whole(clips(), PAIRS)
        handle.remove()
        maps = seen[0].unflatten(0, (4, 2))
        bands = [band.mean((3, 4)) for band in maps.repeat_interleave(6, 3).chunk(PARTS, 3)]
        by_hand = torch.stack(bands, 2).mean(1).flatten(1)  # 6 bands of maps of any height
        found = {}
        for part in ("defender", "stripes"):
            other = network.__wrapped__(descriptor=part)
            other.load_state_dict(whole.state_dict())
            found[part] = other.eval()(clips(), PAIRS)
            assert found[part].shape[1] == other.feature_dim
        unguided = network.__wrapped__(guidance="none")
        unguided.load_state_dict(whole.state_dict(), strict=False)
        assert torch.equal(found["defender"], unguided.eval()(clips(), PAIRS))
    assert found["stripes"].shape == by_hand.shape
    assert torch.allclose(found["stripes"], by_hand, atol=1e-5)


def test_a_checkpoint_says_whether_it_has_the_batch_norm():
    names = [*network(parts_neck="classifier").state_dict()]
    assert parts_in(names)["parts_neck"] == "classifier"
    assert parts_in(network().state_dict())["parts_neck"] == "none"
