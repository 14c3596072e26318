"""The victims: shapes, counts, layers against loops, weights, and training by torchreid."""

import hashlib
import math

import pytest
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import load_weights
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import PixelModel, resnet
from torchreid_adv.models.prepare import Prepared
from torchreid_adv.models.resnet import GeM, InstanceBatchNorm, NeckNorm, NonLocal, Trunk
from torchreid_adv.models.victims import IDE, PCB, BNNeck
from torchreid_adv.registry import MODELS

NAMES = ["ide_resnet50", "pcb_resnet50", "agw_resnet50", "sb_resnet50", "ibn_resnet101"]
SMALL = {"layers": (1, 2, 1, 1), "width": 4}
TINY = {
    "ide": lambda loss: IDE(Trunk(**SMALL, last_stride=2), 5, loss),
    "pcb": lambda loss: PCB(Trunk(**SMALL), 5, loss, reduced=8),
    "agw": lambda loss: BNNeck(Trunk(**SMALL, non_local=(0, 1, 1, 0)), 5, loss, pool=GeM()),
    "sb": lambda loss: BNNeck(Trunk(**SMALL), 5, loss),
    "ibn": lambda loss: BNNeck(Trunk(**SMALL, ibn=True), 5, loss),
}
LENGTHS = {"ide": 2048, "pcb": 48, "agw": 2048, "sb": 2048, "ibn": 2048}


@pytest.fixture(scope="module")
def tiny():
    """Small networks, whose non-local blocks do something and whose norms have seen images."""
    torch.manual_seed(0)
    networks = {}
    for name, build in TINY.items():
        networks[name] = network = build("triplet")
        for module in network.modules():
            if isinstance(module, NonLocal):
                nn.init.ones_(module.out[1].weight)
        with torch.no_grad():
            network.train()(torch.randn(8, 3, 64, 32))
    return networks


@pytest.fixture(scope="module")
def full():
    """The networks of full size without memory: shapes and counts cost little."""
    with torch.device("meta"):
        return {
            name: MODELS.get(name)(num_classes=751, pretrained=False, use_gpu=False)
            for name in NAMES
        }


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def non_local_count(channels):
    half = channels // 2
    return 3 * (channels * half + half) + (half * channels + channels) + 2 * channels


def test_counts_are_the_known_ones(full):
    # torchvision says 25,557,032 and 44,549,160 with the 1000 classes of ImageNet
    resnet50, resnet101 = (n - (2048 + 1) * 1000 for n in (25_557_032, 44_549_160))
    ids = 751 * 2048
    head = {
        "ide_resnet50": 2048 * 2048 + 2048 + 2 * 2048 + ids + 751,
        "pcb_resnet50": 6 * (2048 * 256 + 2 * 256 + 256 * 751 + 751),
        "agw_resnet50": 2 * non_local_count(512) + 3 * non_local_count(1024) + 1 + 2048 + ids,
        "sb_resnet50": 2048 + ids,
        "ibn_resnet101": 2048 + ids,  # IBN has as many parameters as BatchNorm
    }
    base = dict.fromkeys(NAMES, resnet50) | {"ibn_resnet101": resnet101}
    assert {n: count(full[n]) for n in NAMES} == {n: base[n] + head[n] for n in NAMES}


@pytest.mark.parametrize("height", [256, pytest.param(384, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_features_at_both_sizes(name, height, full):
    maps = []
    handle = full[name].trunk.register_forward_hook(lambda *seen: maps.append(seen[-1].shape))
    features = full[name].eval()(torch.empty(2, 3, height, 128, device="meta"))
    handle.remove()
    stride = 32 if name == "ide_resnet50" else 16
    assert maps == [(2, 2048, height // stride, 128 // stride)]
    assert features.shape == (2, 1536 if name == "pcb_resnet50" else 2048)


@pytest.mark.parametrize("name", TINY)
def test_eval_mode_gives_the_same_features_again_whatever_the_batch(name, tiny):
    network, images = tiny[name].eval(), torch.randn(4, 3, 64, 32)
    with torch.no_grad():
        features = network(images)
        assert features.shape == (4, LENGTHS[name])
        assert torch.equal(network(images), features)
        assert torch.allclose(network(images[:1]), features[:1], atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_the_loss_decides_what_training_gives(name):
    network, images = TINY[name]("softmax").train(), torch.randn(2, 3, 64, 32)
    parts = network(images) if name == "pcb" else [network(images)]
    assert [part.shape for part in parts] == [(2, 5)] * (6 if name == "pcb" else 1)
    network.loss = "triplet"
    scores, features = network(images)
    assert len(scores) == (6 if name == "pcb" else 2)
    assert features.shape == (2, LENGTHS[name])
    with pytest.raises(ConfigError, match="'softmax' or 'triplet', got 'centre'"):
        TINY[name]("centre")


@pytest.mark.parametrize("name", TINY)
def test_attacks_see_the_same_network(name, tiny):
    model = PixelModel(tiny[name], size=(64, 32), mean=[0.5] * 3, std=[0.2] * 3).eval()
    images = torch.rand(2, 3, 64, 32, requires_grad=True)
    plain, prepared = model(images), Prepared(model, images)(images)
    assert torch.allclose(plain, prepared, atol=1e-4 * float(plain.detach().abs().max()))
    (gradient,) = torch.autograd.grad(prepared.square().sum(), images)
    assert gradient.abs().amax((1, 2, 3)).min() > 0


def test_the_features_of_a_victim_are_where_the_papers_take_them(tiny):
    images = torch.randn(3, 3, 64, 32)
    with torch.no_grad():
        pooled = tiny["ide"].eval().trunk(images).mean((2, 3))
        assert torch.allclose(tiny["ide"](images), pooled, atol=1e-6)
        pooled = tiny["sb"].eval().trunk(images).mean((2, 3))
        norm = tiny["sb"].neck
        behind = (pooled - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight
        assert torch.allclose(tiny["sb"](images), behind, atol=1e-4)
        network = tiny["pcb"].eval()
        images = torch.randn(3, 3, 192, 32)  # maps of 12 rows: parts of two
        stripes = network.trunk(images).unflatten(2, (6, 2)).mean((3, 4))
        third = network.reduction[2](stripes[:, :, 2, None, None]).flatten(1)
        assert torch.allclose(network(images)[:, 16:24], third, atol=1e-5)
        assert network(images).min() >= 0  # behind the ReLU


def test_the_trunk_is_torchvision_s():
    torch.manual_seed(1)
    known = ResNet(Bottleneck, [1, 2, 1, 1], width_per_group=4)
    known.fc = nn.Identity()
    ours = Trunk(**SMALL, last_stride=2)
    ours.load_state_dict(known.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours.eval()(images).mean((2, 3)), known.eval()(images))
    assert Trunk(**SMALL)(images).shape[2:] == (4, 4)


def test_non_local_blocks_change_nothing_until_they_are_trained():
    torch.manual_seed(1)
    plain, attended = Trunk(**SMALL), Trunk(**SMALL, non_local=(0, 1, 1, 0))
    attended.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(plain(images), attended(images))
    assert [len(blocks) for blocks in attended.attention.values()] == [1, 1]


def test_gem_is_the_loop_over_places():
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    pool = GeM(p=2.5).double()
    found = pool(maps).detach()
    assert found.shape == (2, 3, 1, 1)
    for n in range(2):
        for c in range(3):
            powers = [v**2.5 for v in maps[n, c].flatten().tolist()]
            expected = (sum(powers) / len(powers)) ** (1 / 2.5)
            assert float(found[n, c]) == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(pool, maps.requires_grad_())
    half = pool.to(torch.bfloat16)(maps.detach().to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.double(), found, rtol=0.01)


def test_a_non_local_block_is_the_loop_over_pairs_of_places():
    torch.manual_seed(0)
    block = NonLocal(4).double().eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter).requires_grad_(False)
    maps = torch.randn(2, 4, 3, 2, dtype=torch.float64)
    found = block(maps).flatten(2)

    def at(layer, vector):
        matrix = layer.weight[:, :, 0, 0]
        return [
            sum(float(matrix[row, c]) * vector[c] for c in range(len(vector)))
            + float(layer.bias[row])
            for row in range(len(matrix))
        ]

    norm = block.out[1]
    for n in range(2):
        places = maps[n].flatten(1).T.tolist()
        for i, here in enumerate(places):
            theta, heard = at(block.theta, here), [0.0, 0.0]
            for there in places:
                phi, g = at(block.phi, there), at(block.g, there)
                weight = sum(a * b for a, b in zip(theta, phi, strict=True)) / len(places)
                heard = [h + weight * value for h, value in zip(heard, g, strict=True)]
            added = at(block.out[0], heard)
            for c in range(4):
                scale = float(norm.weight[c]) / math.sqrt(1 + norm.eps)
                expected = here[c] + scale * added[c] + float(norm.bias[c])
                assert float(found[n, c, i]) == pytest.approx(expected, rel=1e-9)


def test_ibn_norms_half_by_image_and_half_by_batch():
    layer, maps = InstanceBatchNorm(6).double(), torch.randn(4, 6, 5, 3, dtype=torch.float64)
    found = layer(3 * maps + 1)
    assert torch.allclose(found[:, :3].mean((2, 3)), torch.zeros(4, 3).double(), atol=1e-9)
    assert torch.allclose(found[:, 3:].mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-9)
    assert float(found[:, 3:].mean((2, 3)).abs().max()) > 0.01
    names = set(InstanceBatchNorm(6).state_dict())  # those of the published weights
    assert {"IN.weight", "IN.bias", "BN.weight", "BN.running_var"} <= names
    kinds = [type(block.bn1) for block in (*Trunk(**SMALL, ibn=True).layer2,)]
    assert kinds == [InstanceBatchNorm] * 2
    assert type(Trunk(**SMALL, ibn=True).layer4[0].bn1) is nn.BatchNorm2d


def kept(folder, monkeypatch, network):
    """Write weights where torch's hub keeps those of ResNet-50, under a name with their hash."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    path = folder / "hub" / "checkpoints" / "resnet50.pth"
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    name = f"resnet50-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    monkeypatch.setitem(resnet.WEIGHTS, "resnet50", f"https://example.com/models/{name}")
    return path.rename(path.with_name(name))


def test_weights_of_imagenet_are_read_where_the_hub_keeps_them(monkeypatch, tmp_path):
    torch.manual_seed(3)
    published = ResNet(Bottleneck, [1, 2, 1, 1], width_per_group=4)
    path = kept(tmp_path, monkeypatch, published)
    ours = Trunk(**SMALL, non_local=(0, 1, 0, 0))
    resnet.load_imagenet(ours, "resnet50")
    assert torch.equal(ours.layer2[1].conv2.weight, published.layer2[1].conv2.weight)
    with pytest.raises(
        ConfigError, match=r"do not fit this network, for example layer1\.0\.bn1\.IN"
    ):
        resnet.load_imagenet(Trunk(**SMALL, ibn=True), "resnet50")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ConfigError, match="is damaged: its SHA-256"):
        resnet.load_imagenet(ours, "resnet50")


def test_weights_that_are_not_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"resnet50-0676ba61\.pth' is missing.*put https://"):
        resnet.load_imagenet(Trunk(**SMALL), "resnet50")


def test_torchreid_loads_their_checkpoints(tiny, tmp_path):
    state = {f"module.{key}": value for key, value in tiny["agw"].state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "agw.pth.tar")
    fresh = TINY["agw"]("softmax")
    with installed():
        utils = torchreid_module("utils")
        utils.load_pretrained_weights(fresh, str(tmp_path / "agw.pth.tar"))
    assert all(torch.equal(a, state[f"module.{key}"]) for key, a in fresh.state_dict().items())
    other = BNNeck(Trunk(**SMALL, non_local=(0, 1, 1, 0)), 9, pool=GeM())  # other identities
    load_weights(other, tmp_path / "agw.pth.tar", strict=True)
    assert torch.equal(other.neck.running_mean, tiny["agw"].neck.running_mean)


@pytest.mark.parametrize("name", TINY)
def test_torchreid_counts_what_is_used_at_test_time(name, tiny):
    parameters, operations = torchreid_module("utils").compute_model_complexity(
        tiny[name], (1, 3, 64, 32)
    )
    unused = [tiny[name].classifier, *([tiny[name].embedding] if name == "ide" else [])]
    assert parameters == count(tiny[name]) - sum(map(count, unused))
    assert operations > 1e6


def test_the_shift_of_a_neck_is_not_trained():
    neck = NeckNorm(4)
    assert [name for name, _ in neck.named_parameters()] == ["weight"]
    assert set(nn.BatchNorm1d(4).state_dict()) == set(neck.state_dict())
    assert torch.allclose(neck(torch.randn(64, 4) + 3).mean(0), torch.zeros(4), atol=1e-5)
