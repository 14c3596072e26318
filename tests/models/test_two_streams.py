"""AGW with two streams: which weights see which image, and training through stock engines."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from vi_images import write_llcm, write_regdb, write_sysu

from torchreid_adv.config import torchreid_keys
from torchreid_adv.engines.train import train
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import victims
from torchreid_adv.models.loading import build_network, load_model
from torchreid_adv.models.resnet import Trunk
from torchreid_adv.models.victims import TwoStreams, with_modality
from torchreid_adv.runs import torchreid_checks

MIXED = torch.tensor([0, 1, 3, 2])  # as of two sources


@pytest.fixture
def small(monkeypatch):
    """Stages of one to three blocks, in the place of ResNet-50's."""
    monkeypatch.setattr(victims, "Trunk", partial(Trunk, (1, 2, 3, 1), width=4))


def images(count=4, size=(32, 16)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


def apart(model):
    """Let the infrared layers differ, as after some training."""
    nn.init.normal_(model.trunk.infrared[0].weight, std=0.1)
    return model.eval()


def test_each_image_passes_the_layers_of_its_modality(small):
    """Against torch's own functions, image by image."""
    torch.manual_seed(0)
    model = apart(victims.agw_two_stream(3, pretrained=False))
    trunk, shared = model.trunk, model.trunk.shared
    with torch.no_grad():
        found = trunk(with_modality(images(), MIXED))
        for row, odd in enumerate((False, True, True, False)):
            layers = (trunk.infrared[0], trunk.infrared[1]) if odd else (shared.conv1, shared.bn1)
            maps = F.conv2d(images()[row : row + 1], layers[0].weight, stride=2, padding=3)
            norm = layers[1]
            maps = F.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias)
            maps = F.max_pool2d(F.relu(maps), 3, stride=2, padding=1)
            expected = shared.stages(maps)
            assert torch.allclose(found[row : row + 1], expected, atol=1e-5)


def test_an_image_is_described_the_same_alone_and_in_company(small):
    model = apart(victims.agw_two_stream(3, pretrained=False))
    inputs = with_modality(images(), MIXED)
    with torch.no_grad():
        together = model(inputs)
        alone = torch.cat([model(inputs[row : row + 1]) for row in range(4)])
        assert torch.allclose(together, alone, atol=1e-5)
        assert torch.allclose(model(images()[:1]), together[:1], atol=1e-5)  # visible, if not said
        assert not torch.allclose(model(images()[1:2]), together[1:2], atol=1e-3)
    with pytest.raises(ConfigError, match="4 with their modality, got 5"):
        model(torch.zeros(1, 5, 8, 8))


def test_both_streams_start_from_the_same_weights_and_part_in_training(small):
    model = victims.agw_two_stream(3, loss="triplet", pretrained=False).train()
    shared, infrared = model.trunk.shared, model.trunk.infrared
    assert torch.equal(shared.conv1.weight, infrared[0].weight)
    scores, features = model(with_modality(images(), MIXED))
    assert scores.shape == (4, 3)
    assert features.shape == (4, 2048)
    scores[:2].sum().backward()
    assert not torch.equal(shared.conv1.weight.grad, infrared[0].weight.grad)


def test_a_modality_is_a_channel_of_any_stack_of_images():
    draws = torch.rand(2, 5, 3, 4, 4)
    stacked = with_modality(draws, torch.tensor([2, 1]))
    assert torch.equal(stacked[:, :, :3], draws)
    assert stacked[0, :, 3].eq(0).all()
    assert stacked[1, :, 3].eq(1).all()


def test_size_is_agw_s_and_one_first_layer_more():
    with torch.device("meta"):
        one, two = (
            victims.agw_resnet50(5, pretrained=False),
            victims.agw_two_stream(5, pretrained=False),
        )
    count = [sum(p.numel() for p in model.parameters()) for model in (one, two)]
    assert count[1] - count[0] == 64 * 3 * 7 * 7 + 2 * 64


WRITERS = {"sysu_mm01": write_sysu, "regdb_v2i": write_regdb, "llcm_i2v": write_llcm}


def settings(root, name, **changed):
    pairs = {
        "data.root": str(WRITERS[name](root)),
        "data.sources": repr([name]), "data.targets": repr([name]),
        "data.height": 32, "data.width": 16, "data.workers": 0,
        "data.transforms": "[]", "data.save_dir": str(root / "log"),
        "model.name": "agw_two_stream", "model.pretrained": False, "use_gpu": False,
        "sampler.train_sampler": "CrossModalityIdentitySampler", "sampler.num_instances": 4,
        "train.batch_size": 8, "train.max_epoch": 1, "test.normalize_feature": True,
        "adv.engine": "cross_modality",
        **{key.replace("__", "."): value for key, value in changed.items()},
    }  # fmt: skip
    return [part for pair in pairs.items() for part in pair]


def run(arguments):
    cfg = torchreid_keys.default_config()
    cfg.merge_from_list(arguments)
    torchreid_checks.check(cfg)
    return train(cfg)


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("regdb_v2i", "softmax"),
        ("llcm_i2v", "triplet"),
        pytest.param("sysu_mm01", "triplet", marks=pytest.mark.slow),
    ],
)
def test_stock_engines_train_it_and_tell_it_the_modality(tmp_path, monkeypatch, small, name, loss):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    seen, stock = [], TwoStreams.forward

    def watched(self, batch):
        if batch.shape[1] == 4:
            seen.append((self.training, batch[:, 3, 0, 0].tolist()))
        return stock(self, batch)

    monkeypatch.setattr(TwoStreams, "forward", watched)
    pairs = {"loss__name": loss, "loss__triplet__weight_x": 1.0}
    if loss == "triplet":
        pairs["adv__loss__triplet"] = "weighted"
    engine = run(settings(tmp_path, name, **pairs))
    trained = [modality for training, modality in seen if training]
    assert trained
    assert all(modality == [0, 0, 1, 1] * 2 for modality in trained)
    sides = [set(modality) for training, modality in seen if not training]
    assert sides == [{0.0}, {1.0}] if name.endswith("v2i") else [{1.0}, {0.0}]
    assert 0 <= engine.results[name].mAP <= 1
    weights = tmp_path / "log" / "model" / "model.pth.tar-1"
    again = load_model("agw_two_stream", weights, size=(32, 16)).network
    for key, value in engine.model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_complexity_is_torchreid_s(small):
    model = build_network("agw_two_stream", classes=3)
    count, flops = torchreid_module("utils").compute_model_complexity(model, (1, 3, 32, 16))
    assert count > 0
    assert flops > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"adv__engine": ""}, "set data.type image and adv.engine cross_modality"),
        ({"model__name": "resnet18"}, "set model.name agw_two_stream"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, small, monkeypatch, changed, message):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    with pytest.raises(ConfigError, match=message):
        run(settings(tmp_path, "regdb_v2i", **changed))
