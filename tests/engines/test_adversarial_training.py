"""``adv.engine: adversarial_training``: what a training step sees, and what it leaves alone."""

import copy
from functools import partial

import numpy as np
import pytest
import standins
import torch
from markets import write_market
from torch import nn
from torch.nn import functional as F

from torchreid_adv import cli
from torchreid_adv.attacks import GradientAttack, LinfDelta, SignStep
from torchreid_adv.attacks.sma import SelfDistance
from torchreid_adv.config import torchreid_keys
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import build_distance
from torchreid_adv.engines.batches import batch_norm, evenly, mixture, moved, passing, to_pixels
from torchreid_adv.engines.inner_attack import GuidedDistance, InnerAttack
from torchreid_adv.engines.losses import Consistency
from torchreid_adv.engines.train import train
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import PixelModel
from torchreid_adv.models.loading import build_network

EUCLIDEAN = build_distance("euclidean", normalize=True)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(standins.SCRIPTS))
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    root = write_market(tmp_path / "data", identities=4, cameras=2, images=2, distractors=1)
    return {
        "data.root": str(root),
        "model.name": "tiny_net",
        "adv.plugins": "['tiny_plugin']",
        "adv.engine": "adversarial_training",
        "adv.training.steps": 2,
        "adv.attack.steps": 2,
        "data.height": 64,
        "data.width": 32,
        "data.workers": 0,
        "data.save_dir": str(tmp_path / "log"),
        "train.batch_size": 8,
        "train.max_epoch": 1,
        "train.lr": 0.01,
        "test.normalize_feature": True,
        "use_gpu": False,
    }


def trained(settings, **changed):
    """Train by a config of these settings, ``a__b`` for ``a.b``, and return the engine."""
    cfg = torchreid_keys.default_config()
    more = {key.replace("__", "."): value for key, value in changed.items()}
    cfg.merge_from_list([word for pair in {**settings, **more}.items() for word in pair])
    return train(cfg)


def weights(engine):
    return {name: value.clone() for name, value in engine.model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Net(nn.Module):
    """Convolution, BatchNorm, features; logits in training."""

    def __init__(self, classes=5):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=4)
        self.norm = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, classes)

    def forward(self, images):
        features = self.norm(self.conv(images)).relu().mean((2, 3))
        return self.classifier(features) if self.training else features


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net()
    net(torch.rand(16, 3, 64, 32))  # statistics that are not those of a fresh layer
    return net


def batch_of(count=6, classes=3):
    images = torch.rand(count, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    return Batch(images, pids=torch.arange(count) % classes)


def inner(objective, **changed):
    facts = {"distance": EUCLIDEAN, "eps": 8 / 255, "step_size": 2 / 255, "steps": 3}
    facts |= {"start": "random", "seed": 0, **changed}
    return InnerAttack(objective, **facts)


def test_pixels_go_there_and_back():
    model = PixelModel(nn.Identity())
    levels = torch.randint(0, 256, (2, 3, 8, 4)) / 255
    images = model.normalize(levels)
    assert (to_pixels(model, images) - levels).abs().max() < 1e-6
    images[0, 0] = 99.0  # what some transform did
    clean = to_pixels(model, images)
    assert clean.min() >= 0
    assert clean.max() <= 1
    assert torch.equal(moved(model, images, clean, clean), images)
    expected = model.normalize((levels + 3 / 255)[1])
    assert torch.allclose(moved(model, images, clean, clean + 3 / 255)[1], expected, atol=1e-5)


@pytest.mark.parametrize("objective", ["self", "guided", "classification"])
def test_the_inner_attack_stays_in_its_bound_and_leaves_no_trace(net, objective):
    net.train()
    net.norm.eval()
    net.conv.weight.requires_grad_(False)
    net.classifier.weight.grad = torch.ones_like(net.classifier.weight)
    model, batch = PixelModel(net, size=(64, 32)), batch_of()
    before = copy.deepcopy(net.state_dict())
    flags = [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]
    state, images = torch.get_rng_state(), batch.images.clone()
    found = inner(objective)(model, batch)
    assert 0 < (found - images).abs().max() <= 8 / 255 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert same(before, net.state_dict())
    assert flags == (
        [m.training for m in net.modules()],
        [p.requires_grad for p in net.parameters()],
    )
    assert torch.equal(net.classifier.weight.grad, torch.ones_like(net.classifier.weight))
    assert net.conv.weight.grad is None
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(images, batch.images)


def test_bf16_is_the_attacks_format_too(net):
    batch, model = batch_of(), PixelModel(net, size=(64, 32))
    seen = []
    net.conv.register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    found = inner("self", precision="bf16")(model, batch)
    assert torch.bfloat16 in seen
    assert found.dtype == net.conv.weight.dtype == torch.float32
    assert 0 < (found - batch.images).abs().max() <= 8 / 255 + 1e-6


def test_an_attack_that_does_not_score_gives_the_same_images(net):
    step = partial(SignStep, lr=2 / 255)
    build = partial(GradientAttack, SelfDistance(EUCLIDEAN), LinfDelta(8 / 255), step, 3)
    model = PixelModel(net, size=(64, 32))
    found = [build(start="random", score=score)(model, batch_of()) for score in (True, False)]
    assert torch.equal(found[0].images, found[1].images)
    assert torch.equal(found[0].trace[:3], found[1].trace)
    assert torch.equal(found[1].after, found[0].trace[2])


def test_a_step_on_identities_is_the_sign_of_the_cross_entropys_gradient(net):
    batch = batch_of()
    model = PixelModel(net, size=(64, 32))
    found = inner("classification", steps=1, start="zero")(model, batch)
    net.eval()
    images = batch.images.clone().requires_grad_(True)
    logits = F.linear(net(model.normalize(images)), net.classifier.weight, net.classifier.bias)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, batch.pids), images)
    expected = (batch.images + 2 / 255 * gradient.sign()).clamp(0, 1)
    assert (found - expected).abs().gt(1e-6).float().mean() < 0.01  # signs of rounding alone


def test_guides_are_the_own_others_and_the_furthest_of_another(net):
    net.eval()
    batch = batch_of(count=7, classes=3)
    losses = GuidedDistance(EUCLIDEAN).bind(net, batch)
    images = batch.images.roll(1, 0)
    clean, after = (F.normalize(net(x).detach(), dim=1) for x in (batch.images, images))
    for row, loss in enumerate(losses(images).tolist()):
        push, far = 0.0, (-1.0, None)
        for other in range(7):
            apart = float((clean[row] - clean[other]).pow(2).sum())
            if batch.pids[other] != batch.pids[row]:
                far = max(far, (apart, other))
            elif other != row:
                push += float((after[row] - clean[other]).pow(2).sum())
        assert loss == pytest.approx(
            push - float((after[row] - clean[far[1]]).pow(2).sum()), abs=1e-5
        )


def test_an_image_without_guides_is_only_pulled(net):
    net.eval()
    batch = Batch(torch.rand(2, 3, 64, 32), pids=torch.tensor([0, 1]))
    losses = GuidedDistance(EUCLIDEAN).bind(net, batch)(batch.images)
    clean = F.normalize(net(batch.images), dim=1)
    expected = -(clean[0] - clean[1]).pow(2).sum()
    assert torch.allclose(losses, expected.expand(2), atol=1e-6)


def test_separate_statistics_are_those_of_two_batches(net):
    images, rows = torch.rand(7, 3, 64, 32), torch.tensor([0, 1, 0, 0, 1, 1, 0], dtype=torch.bool)
    net.train()
    twin = copy.deepcopy(net)
    with batch_norm(net, "separate", rows):
        found = net(images)
    assert torch.allclose(found[~rows], twin(images[~rows]), atol=1e-6)
    assert same(dict(net.named_buffers()), dict(twin.named_buffers()))  # the clean images' alone
    assert torch.allclose(found[rows], twin(images[rows]), atol=1e-6)
    assert net(images[:2]).shape == (2, 5)  # as before, whatever the number of rows


@pytest.mark.parametrize("rows", [[0, 0, 0], [1, 1, 1]])
def test_one_kind_of_image_is_one_batch(net, rows):
    images = torch.rand(3, 3, 64, 32)
    twin = copy.deepcopy(net.train())
    with batch_norm(net, "separate", torch.tensor(rows, dtype=torch.bool)):
        assert torch.equal(net(images), twin(images))
    assert same(dict(net.named_buffers()), dict(twin.named_buffers()))


def test_frozen_statistics_are_used_and_kept(net):
    before, images = copy.deepcopy(net.state_dict()), torch.rand(4, 3, 64, 32)
    net.train()
    with batch_norm(net, "frozen", torch.zeros(4, dtype=torch.bool)):
        found = net(images)
        assert net.training
    assert same(before, net.state_dict())
    assert net.norm.training
    features = net.eval()(images)
    assert torch.allclose(found, net.classifier(features), atol=1e-6)


def test_rows_of_another_number_are_refused():
    class Parts(Net):
        def forward(self, images):
            maps = self.conv(images)
            return self.norm(maps.reshape(-1, 6, 15, 1)).mean((2, 3))

    parts, rows = Parts().train(), torch.tensor([True, False])
    with batch_norm(parts, "separate", rows), pytest.raises(ConfigError, match="one row per image"):
        parts(torch.rand(2, 3, 64, 32))


def test_mixtures():
    images, pids = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2), torch.tensor([5, 6, 7, 8])
    rows = torch.tensor([1, 3])
    attacked = images[rows] + 10

    def facts(mix, pairs):
        found = mixture(images, pids, rows, attacked, mix=mix, pairs=pairs)
        numbers = found.images[:, 0, 0, 0]
        assert torch.equal(found.adversarial, numbers >= 10)
        assert (numbers[found.adversarial_rows] - numbers[found.clean_rows] == 10).all()
        return numbers.tolist(), found.pids.tolist(), len(found.clean_rows)

    assert facts("both", False) == ([0, 1, 2, 3, 11, 13], [5, 6, 7, 8, 6, 8], 2)
    assert facts("clean", True) == ([0, 1, 2, 3, 11, 13], [5, 6, 7, 8], 2)
    assert facts("adversarial", False) == ([0, 11, 2, 13], [5, 6, 7, 8], 0)
    assert facts("adversarial", True) == ([0, 11, 2, 13, 1, 3], [5, 6, 7, 8], 2)


def test_a_share_is_evenly_spread():
    assert evenly(8, 0.5, torch.device("cpu")).tolist() == [0, 2, 4, 6]
    assert evenly(4, 1.0, torch.device("cpu")).tolist() == [0, 1, 2, 3]
    assert evenly(4, 0.01, torch.device("cpu")).tolist() == [0]


def test_consistency_is_a_term_of_the_loss(net):
    images, pids = torch.rand(4, 3, 64, 32), torch.tensor([0, 1, 2, 3])
    batch = mixture(images, pids, torch.arange(4), images.flip(3) * 0.9, mix="clean", pairs=True)
    net.train()
    twin = copy.deepcopy(net)
    with passing(net, 4, "fp32"), Consistency(net, 3.0).added(batch) as summary:
        F.cross_entropy(net(batch.images), pids).backward()
    features = twin.norm(twin.conv(batch.images)).relu().mean((2, 3))
    unit = F.normalize(features, dim=1)
    term = 3 * (unit[:4] - unit[4:]).pow(2).sum(1).mean()
    (F.cross_entropy(twin.classifier(features[:4]), pids) + term).backward()
    assert summary["loss_c"] == pytest.approx(term.item(), rel=1e-5)
    for own, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(own.grad, other.grad, atol=1e-6)


def test_consistency_without_classifiers_is_refused(net):
    with pytest.raises(ConfigError, match="this network has none"):
        Consistency(net.conv, 1.0)
    images, rows = torch.rand(2, 3, 64, 32), torch.arange(2)
    batch = mixture(images, rows, rows, images, mix="both", pairs=True)
    with pytest.raises(ConfigError, match="no effect"), Consistency(net, 1.0).added(batch):
        pass


def test_bf16_computes_in_bf16_and_gives_fp32(net):
    seen = []
    net.conv.register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    with passing(net, 2, "bf16"):
        assert net(torch.rand(3, 3, 64, 32)).dtype == torch.float32
    assert seen == [torch.bfloat16]
    assert "forward" not in vars(net)


def test_without_room_to_move_training_is_the_stock_engines(settings):
    plain = trained(settings, adv__engine="", train__max_epoch=2)
    eps = {"adv__training__eps": 0, "adv__training__mix": "adversarial"}
    ours = trained(
        settings, **eps, train__max_epoch=2, data__save_dir=settings["data.save_dir"] + "2"
    )
    assert same(weights(plain), weights(ours))


ENGINES = {
    "image-softmax": {},
    "image-triplet": {
        "loss__name": "triplet",
        "loss__triplet__weight_x": 1.0,
        "sampler__train_sampler": "RandomIdentitySampler",
    },
    "video-softmax": {"data__type": "video", "data__sources": "tiny_tracklets"},
    "video-triplet": {
        "data__type": "video",
        "data__sources": "tiny_tracklets",
        "loss__name": "triplet",
        "loss__triplet__weight_x": 1.0,
        "sampler__train_sampler": "RandomIdentitySampler",
    },
}
WAYS = {
    "self": {},
    "guided": {"adv__training__objective": "guided", "adv__training__mix": "adversarial"},
    "classification": {
        "adv__training__objective": "classification",
        "adv__training__batchnorm": "separate",
    },
    "consistency": {"adv__training__mix": "clean", "adv__training__consistency": 1.0},
    "half": {"adv__training__ratio": 0.5, "adv__training__batchnorm": "frozen"},
}


QUICK = [("image-softmax", "self"), ("image-triplet", "guided"), ("image-softmax", "half"),
         ("video-softmax", "classification"), ("video-triplet", "consistency")]  # fmt: skip
EVERY = [
    pytest.param(kind, way, marks=() if (kind, way) in QUICK else pytest.mark.slow)
    for kind in ENGINES
    for way in WAYS
]


@pytest.mark.parametrize(("kind", "way"), EVERY)
def test_the_four_engines_train_every_way(settings, kind, way, capsys):
    video = {"data__targets": "tiny_tracklets", "video__seq_len": 2} if "video" in kind else {}
    engine = trained(settings, **ENGINES[kind], **WAYS[way], **video)
    assert type(engine).__name__ == "".join(kind.title().split("-")) + "Engine"
    printed = capsys.readouterr().out
    assert printed.count("mAP:") == 2
    assert "** Attacked at the network's size: gallery, ifgsm, eps 5 **" in printed
    (clean,), (attacked,) = engine.results.values(), engine.attacked_results.values()
    assert attacked.queries == clean.queries
    saved = read_checkpoint(f"{settings['data.save_dir']}/model/model.pth.tar-1")
    assert same(saved["state_dict"], engine.model.state_dict())


def test_the_attacked_evaluation_is_worse(settings, capsys):
    settings |= {"adv.attack.eps": 20, "adv.attack.steps": 10, "adv.training.eps": 0}
    engine = trained(settings, train__max_epoch=4)
    (clean,), (attacked,) = engine.results.values(), engine.attacked_results.values()
    assert attacked.mAP < clean.mAP


def test_evaluations_can_do_without_attacks(settings, capsys):
    engine = trained(settings, adv__training__evaluate=False)
    assert engine.attacked_results == {}
    assert capsys.readouterr().out.count("mAP:") == 1


def test_a_loss_that_is_not_finite_stops_before_the_weights_and_names_the_files(settings):
    stock = torchreid_module("losses").CrossEntropyLoss
    own = stock.forward
    stock.forward = lambda self, outputs, pids: own(self, outputs, pids) * np.nan
    try:
        with pytest.raises(DataError, match="loss is nan in epoch 1, batch 1") as caught:
            trained(settings)
    finally:
        stock.forward = own
    assert str(caught.value).count(".jpg") == 8


def run(settings, *pairs):
    words = [str(word) for pair in settings.items() for word in pair]
    return cli.main(["train", *words, *pairs])


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["adv.training.mix", "clean"], "adv.training.consistency above 0"),
        (["adv.training.start", "zero"], "adv.training.start 'random'"),
        (["adv.training.eps", "0.03"], "gray levels"),
        (["adv.training.batchnorm", "seperate"], "must be one of 'shared'"),
        (["adv.training.report", "['ifgms']"], "did you mean 'ifgsm'"),
        (["adv.training.options.stepps", "3"], "takes no option 'stepps'"),
        (["adv.attack.metric", "xqda"], "adv.attack.metric 'euclidean'"),
        (["adv.attack.targeted", "True"], "without a target"),
    ],
)
def test_what_cannot_be_is_said(settings, pairs, words, capsys):
    assert run(settings, *pairs) == ConfigError.exit_code
    assert words in capsys.readouterr().err


def test_networks_of_torchreid_are_trained(settings):
    settings |= {"model.name": "shufflenet_v2_x0_5", "model.pretrained": False}
    before = build_network("shufflenet_v2_x0_5", classes=4).state_dict()
    engine = trained(settings, adv__training__batchnorm="separate", adv__training__steps=1)
    assert not same(weights(engine), before)


@pytest.mark.parametrize("sampler", ["RandomSampler", "RandomIdentitySampler"])
def test_a_resumed_run_ends_in_the_weights_of_one_that_did_not_stop(settings, sampler):
    settings |= {"sampler.train_sampler": sampler, "train.optim": "sgd", "test.eval_freq": 1}
    settings |= {"data.transforms": "['random_flip', 'random_erase', 'diversity']"}
    whole = weights(trained(settings, train__max_epoch=4))
    path = f"{settings['data.save_dir']}/model/model.pth.tar-2"
    settings["data.save_dir"] += "2"
    trained(settings, train__max_epoch=2)
    halves = [read_checkpoint(p)["state_dict"] for p in (path, path.replace("log", "log2", 1))]
    assert same(*halves)
    resumed = weights(trained(settings, train__max_epoch=4, model__resume=path))
    assert same(whole, resumed)
    assert not same(whole, halves[0])


def test_an_evaluation_on_the_way_changes_no_weight(settings):
    silent = weights(trained(settings, train__max_epoch=2))
    settings["data.save_dir"] += "2"
    assert same(silent, weights(trained(settings, train__max_epoch=2, test__eval_freq=1)))


def test_a_checkpoint_with_another_state_is_refused(settings):
    trained(settings)
    path = f"{settings['data.save_dir']}/model/model.pth.tar-1"
    content = torch.load(path, weights_only=False)
    content["adv_random"]["generators"]["torch"] = torch.zeros(3)
    torch.save(content, path)
    with pytest.raises(ConfigError, match="random state"):
        trained(settings, train__max_epoch=2, model__resume=path)
