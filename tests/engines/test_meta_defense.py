"""``adv.engine: meta_defense``: its gradient, whose statistics it learns, what it is trained on."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import standins
import torch
from further_sets import write_duke
from markets import write_market
from torch import nn

from torchreid_adv import cli
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.config import torchreid_keys
from torchreid_adv.engines import train as commands
from torchreid_adv.engines.batches import mixture, to_pixels
from torchreid_adv.engines.losses import ReidLoss
from torchreid_adv.engines.meta_defense import MetaDefenseMixin
from torchreid_adv.engines.meta_gradient import LossAt, VirtualHead, meta_gradient
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import PixelModel

OWN, VIRTUAL, RATE = 3, 5, 1e-3


class Net(nn.Module):
    """Smooth, so that finite differences see no kinks; BatchNorm off its initial point."""

    def __init__(self, classes=OWN, dropout=0.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(4, classes)
        nn.init.normal_(self.norm.bias)

    def forward(self, images):
        maps = nn.functional.softplus(self.norm(self.conv(images)))
        features = self.drop(maps.pow(2).mean((2, 3)))
        return (self.classifier(features), features) if self.training else features


def losses(classes, weight_t=1.0, weight_x=1.0):
    stock = torchreid_module("losses")
    identity = stock.CrossEntropyLoss(num_classes=classes, use_gpu=False)
    triplet = stock.TripletLoss(margin=5.0)  # every triplet counts
    compute = torchreid_module("engine").Engine.compute_loss
    return ReidLoss(identity, weight_x, triplet, weight_t, lambda *given: compute(None, *given))


def batch_of(classes, seed=0, size=(12, 8)):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2 * classes, 3, *size, generator=generator, dtype=torch.float64)
    rows = torch.arange(classes)
    attacked = images[rows] + 0.1
    pids = torch.arange(2 * classes) % classes
    return mixture(images, pids, rows, attacked, mix="both", pairs=False)


def problem(dropout=0.0, rate=0.1, **weights):
    """A network, both losses as functions of its weights, and the virtual set's layers."""
    torch.manual_seed(0)
    net = Net(dropout=dropout).double()
    head = VirtualHead(net, torch.optim.Adam(net.parameters(), rate), own=OWN, count=VIRTUAL)
    for value in head.parameters.values():
        nn.init.normal_(value)
    train = LossAt(net, batch_of(OWN), losses(OWN, **weights))
    test = LossAt(net, batch_of(VIRTUAL, seed=1), losses(VIRTUAL, **weights))
    return net, train, test, head.parameters


def flat(*parts):
    return torch.cat([value.reshape(-1) for part in parts for value in part.values()])


def along(found, parameters, head, direction, head_direction):
    pairs = [(found.own, direction), (found.head, head_direction)]
    return sum(float((grads[n] * way[n]).sum()) for grads, way in pairs for n in way if n in grads)


def objective(net, train, test, head, at, rate):
    """Eq. 14 by its words: step the weights by autograd's gradient, then add the losses."""
    trunk = {name: value.clone().requires_grad_() for name, value in at.items()}
    loss = train(trunk)
    wanted = [name for name in trunk if name not in head]
    grads = torch.autograd.grad(loss, [trunk[name] for name in wanted])
    moved = {n: trunk[n].detach() - rate * g for n, g in zip(wanted, grads, strict=True)}
    return float(loss.detach() + test({**moved, **head}).detach())


@pytest.mark.parametrize("weights", [{}, {"weight_t": 0.0}, {"weight_x": 0.0}], ids=str)
def test_order_2_is_the_slope_of_the_whole_objective(weights):
    rate, tiny = 0.02, 1e-5
    net, train, test, head = problem(**weights)
    head = head if weights.get("weight_x", 1) else {}
    parameters = dict(net.named_parameters())
    found = meta_gradient(train, test, parameters, head=head, lr=rate, order="2")
    first = meta_gradient(train, test, parameters, head=head, lr=rate, order="1")
    draw = torch.Generator().manual_seed(3)
    way = {n: torch.randn(p.shape, generator=draw).double() for n, p in parameters.items()}
    head_way = {n: torch.randn(p.shape, generator=draw).double() for n, p in head.items()}

    def value(sign):
        at = {n: p.detach() + sign * tiny * way[n] for n, p in parameters.items()}
        there = {n: p.detach() + sign * tiny * head_way[n] for n, p in head.items()}
        if not head:
            at = {n: p for n, p in at.items() if n in found.own}
        return objective(net, train, test, there, at, rate)

    slope = (value(1) - value(-1)) / (2 * tiny)
    exact, near = (along(f, parameters, head, way, head_way) for f in (found, first))
    assert exact == pytest.approx(slope, rel=1e-6)
    assert abs(near - slope) > 1e-3 * abs(slope)  # order 1 is another one


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "osnet_x0_25"])
def test_order_2_is_exact_in_networks_of_torchreid(name):
    torch.manual_seed(0)
    build = torchreid_module("models").build_model
    net = build(name, OWN, loss="triplet", pretrained=False, use_gpu=False).double().train()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.bias, std=0.5)  # at 0 whole channels sit on ReLU's kink
    head = VirtualHead(net, torch.optim.SGD(net.parameters(), 0.1), own=OWN, count=VIRTUAL)
    train, test = (LossAt(net, batch_of(classes, seed, size=(32, 16)), losses(classes))
                   for classes, seed in ((OWN, 0), (VIRTUAL, 1)))  # fmt: skip
    parameters, rate = dict(net.named_parameters()), 1e-4
    tiny = 1e-8  # 1e-6 reaches across ReLU's kinks
    exact, first = (
        meta_gradient(train, test, parameters, head=head.parameters, lr=rate, order=order)
        for order in ("2", "1")
    )
    way = {n: torch.randn_like(p) * p.detach().abs().mean() for n, p in parameters.items()}

    def value(sign):
        at = {n: p.detach() + sign * tiny * way[n] for n, p in parameters.items()}
        return objective(net, train, test, head.parameters, at, rate)

    slope = (value(1) - value(-1)) / (2 * tiny)
    assert along(exact, parameters, {}, way, {}) == pytest.approx(slope, rel=1e-5)
    assert abs(along(first, parameters, {}, way, {}) - slope) > 1e-2 * abs(slope)


def test_orders_agree_without_an_inner_step():
    net, train, test, head = problem()
    parameters = dict(net.named_parameters())
    one, two, near = (
        meta_gradient(train, test, parameters, head=head, lr=0.0, order=order)
        for order in ("1", "2", "fd")
    )
    for other in (two, near):
        assert torch.allclose(flat(one.own, one.head), flat(other.own, other.head), atol=1e-12)
        assert other.second == pytest.approx(0, abs=1e-12)
    assert one.second is None
    expected = torch.autograd.grad(train({}) + test(head), [*parameters.values(), *head.values()],
                                   allow_unused=True)  # fmt: skip
    own = [g for g, name in zip(expected, parameters, strict=False) if name not in head]
    assert torch.allclose(flat({n: one.own[n] for n in parameters if n not in head}),
                          torch.cat([g.reshape(-1) for g in own]))  # fmt: skip


@pytest.mark.parametrize(("reach", "error"), [(None, 0.01), (1e-5, 1e-6)])
def test_finite_differences_come_close_with_dropout_drawn_once(monkeypatch, reach, error):
    if reach:
        monkeypatch.setattr("torchreid_adv.engines.meta_gradient.REACH", reach)
    net, train, test, head = problem(dropout=0.3)
    parameters, drawn = dict(net.named_parameters()), torch.get_rng_state()
    exact = meta_gradient(train, test, parameters, head=head, lr=0.02, order="2")
    after = torch.get_rng_state()
    torch.set_rng_state(drawn)
    again = LossAt(net, train.batch, train.loss), LossAt(net, test.batch, test.loss)
    near = meta_gradient(*again, parameters, head=head, lr=0.02, order="fd")
    assert torch.equal(after, torch.get_rng_state())
    one, two = flat(exact.own, exact.head), flat(near.own, near.head)
    assert (one - two).norm() < error * one.norm()
    assert near.second == pytest.approx(exact.second, rel=10 * error)
    assert exact.second > 0.05


@pytest.mark.parametrize("order", ["1", "2", "fd"])
def test_running_statistics_are_of_the_real_images_alone(order):
    net, train, test, head = problem()
    alone = copy.deepcopy(net)
    alone(train.batch.images)
    meta_gradient(train, test, dict(net.named_parameters()), head=head, lr=0.02, order=order)
    for one, other in zip(net.buffers(), alone.buffers(), strict=True):
        assert torch.equal(one, other)
    assert int(net.norm.num_batches_tracked) == 1


def test_a_step_on_the_weights_is_on_copies():
    net, train, test, head = problem()
    before = copy.deepcopy(net.state_dict())
    found = meta_gradient(train, test, dict(net.named_parameters()), head=head, lr=0.5, order="2")
    assert all(torch.equal(before[n], p) for n, p in net.named_parameters())
    assert all(p.grad is None for p in net.parameters())
    assert found.head["classifier.weight"].shape == (VIRTUAL, 4)
    assert found.own["classifier.weight"].shape == (OWN, 4)


def test_a_gradient_is_cut_to_its_longest():
    net, train, test, head = problem()
    found = meta_gradient(train, test, dict(net.named_parameters()), head=head, lr=0.0)
    long = float(flat(found.own, found.head).norm())
    cut = found.clipped(long / 4)
    assert float(flat(cut.own, cut.head).norm()) == pytest.approx(long / 4)
    assert torch.allclose(flat(cut.own) * 4, flat(found.own))
    assert found.clipped(long * 2) is found


@pytest.mark.parametrize(
    "name", ["shufflenet_v2_x0_5", pytest.param("osnet_x0_25", marks=pytest.mark.slow),
             pytest.param("resnet18", marks=pytest.mark.slow)],
)  # fmt: skip
def test_the_heads_change_places_in_networks_of_torchreid(name):
    models = torchreid_module("models")
    net = models.build_model(name, 751, loss="triplet", pretrained=False, use_gpu=False)
    wide = net.classifier.in_features
    head = VirtualHead(net, torch.optim.SGD(net.parameters(), 0.1), own=751, count=410)
    assert {name: tuple(p.shape) for name, p in head.parameters.items()} == {
        "classifier.weight": (410, wide), "classifier.bias": (410,)
    }  # fmt: skip
    images, pids = torch.randn(4, 3, 64, 32), torch.tensor([0, 0, 409, 409])
    batch = mixture(images, pids, pids[:0], images[:0], mix="both", pairs=False)
    loss = LossAt(net.train(), batch, losses(410))
    assert torch.isfinite(loss({**dict(net.named_parameters()), **head.parameters}))
    assert net.classifier.out_features == len(net.classifier.weight) == 751
    with pytest.raises(ConfigError, match=r"logits \(N, 410\).*\(4, 751\)"):
        loss({})


def test_a_network_without_identity_layers_is_refused():
    net = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(ConfigError, match=r"loss\.triplet\.weight_x 0"):
        VirtualHead(net, torch.optim.SGD(net.parameters(), 0.1), own=4, count=2)


def test_the_virtual_layers_follow_the_rate_and_the_kind_of_the_engines_optimizer():
    net = Net()
    own = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.0)
    head = VirtualHead(net, own, own=OWN, count=VIRTUAL, seed=4)
    before = {name: value.detach().clone() for name, value in head.parameters.items()}
    own.param_groups[0]["lr"] = 0.25
    head.step({name: torch.ones_like(value) for name, value in before.items()})
    for name, value in head.parameters.items():
        assert torch.allclose(value, before[name] - 0.25)
    kept = head.state()
    again = VirtualHead(net, own, own=OWN, count=VIRTUAL, seed=5)
    again.load(copy.deepcopy(kept))
    for one in (head, again):
        one.step({name: torch.ones_like(value) for name, value in before.items()})
    for name, value in head.parameters.items():
        assert torch.equal(value, again.parameters[name])
    other = VirtualHead(net, own, own=OWN, count=VIRTUAL + 1)
    with pytest.raises(ValueError, match="of the virtual set"):
        other.load(kept)


def test_the_adversarial_half_moves_its_pixels_by_eps_at_most():
    torch.manual_seed(0)
    attack = UniversalPerturbation(8 / 255, size=(12, 8))
    for value in attack.parameters():
        nn.init.uniform_(value, -1, 1)
    attack.project()
    model = PixelModel(nn.Identity(), size=(12, 8))
    levels = torch.randint(0, 256, (10, 3, 12, 8)) / 255
    images, pids = model.normalize(levels), torch.arange(10) % 5
    normalize = SimpleNamespace(mean=model.mean, std=model.std)
    engine = object.__new__(MetaDefenseMixin)
    engine.perturbation = attack
    engine.meta_config = SimpleNamespace(adv=SimpleNamespace(meta=SimpleNamespace(ratio=0.5)))
    engine.model, engine.datamanager = nn.DataParallel(nn.Identity()), data_of(normalize)
    batch = engine._mixed(images, pids)
    assert batch.images.shape == (15, 3, 12, 8)
    assert torch.equal(batch.images[:10], images)
    assert torch.equal(batch.pids[10:], pids[batch.clean_rows])
    assert len(batch.clean_rows.unique()) == 5
    change = to_pixels(model, batch.images[10:]) - levels[batch.clean_rows]
    assert 7 / 255 < change.abs().max() <= 8 / 255 + 1e-6
    assert (change.abs() > 1 / 255).float().mean() > 0.5


def data_of(normalize):
    from torchvision.transforms import Compose, Normalize

    both = Compose([Normalize(normalize.mean, normalize.std)])
    return SimpleNamespace(transform_te=both, height=12, width=8)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(standins.SCRIPTS))
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    root = write_market(tmp_path / "data", identities=4, cameras=2, images=2, distractors=1)
    attack = UniversalPerturbation(8 / 255, size=(64, 32))
    nn.init.uniform_(attack.delta, -1, 1)
    attack.project()
    save_universal(tmp_path / "universal.safetensors", attack)
    return {
        "data.root": str(root),
        "data.save_dir": str(tmp_path / "log"),
        "data.height": 64,
        "data.width": 32,
        "data.workers": 0,
        "model.name": "tiny_net",
        "loss.name": "triplet",
        "loss.triplet.weight_x": 1.0,
        "sampler.train_sampler": "RandomIdentitySampler",
        "sampler.num_instances": 2,
        "train.batch_size": 4,
        "train.max_epoch": 1,
        "train.lr": 0.01,
        "use_gpu": False,
        "adv.plugins": "['tiny_plugin']",
        "adv.engine": "meta_defense",
        "adv.meta.virtual": "tiny_market",
        "adv.attack.name": "universal",
        "adv.attack.eps": 8,
        "adv.attack.side": "query",
        "adv.attack.weights": str(tmp_path / "universal.safetensors"),
    }


def trained(settings, **changed):
    """Train by a config of these settings, ``a__b`` for ``a.b``, and return the engine."""
    cfg = torchreid_keys.default_config()
    more = {key.replace("__", "."): value for key, value in changed.items()}
    cfg.merge_from_list([word for pair in {**settings, **more}.items() for word in pair])
    return commands.train(cfg)


def weights(engine):
    return {name: value.clone() for name, value in engine.model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_learns_tests_and_saves_a_stock_checkpoint(settings, capsys):
    small = {"train_identities": 6, "test_identities": 2, "images_per_camera": 2, "distractors": 0}
    settings |= {f"adv.virtual.{name}": value for name, value in small.items()}
    settings |= {"adv.meta.virtual": "virtual_b", "adv.meta.clip": 10.0}
    engine = trained(settings, adv__meta__defense_order="2")
    printed = capsys.readouterr().out
    assert printed.count("mAP:") == 2
    assert "** Attacked at the network's size: query, universal, eps 8 **" in printed
    saved = read_checkpoint(f"{settings['data.save_dir']}/model/model.pth.tar-1")
    assert saved["state_dict"].keys() == engine.model.state_dict().keys()
    assert len(saved["state_dict"]["classifier.weight"]) == 4
    kept = saved["adv_random"]["virtual_head"]["weights"]
    assert len(kept["classifier.weight"]) == len(kept["classifier.bias"]) == 6
    rows = engine.virtual.loader.dataset.train
    assert {row[1] for row in rows} == set(range(6))
    assert all("virtual_b" in row[0] for row in rows)
    assert len(saved["optimizer"]["param_groups"]) == 1


def test_a_network_in_data_parallel_learns_the_same(settings, monkeypatch):
    settings |= {"adv.training.evaluate": False, "adv.meta.iterations": 2}
    bare, build = weights(trained(settings)), commands.build_model
    monkeypatch.setattr(commands, "build_model", lambda *a, **k: nn.DataParallel(build(*a, **k)))
    wrapped = trained(settings)
    assert type(wrapped.model) is nn.DataParallel
    assert same(bare, wrapped.model.module.state_dict())


LOSSES = {
    "softmax": {"loss__name": "softmax"},
    "triplet alone": {"loss__triplet__weight_x": 0.0},
    "both": {},
}
LEARNING = {
    "meta": {},
    "source": {"adv__meta__learning": "source"},
    "joined": {"adv__meta__learning": "joined",
               "adv__meta__virtual": "dukemtmcreid",
               "data__sources": "['market1501', 'dukemtmcreid']"},
}  # fmt: skip
QUICK = [("softmax", "meta"), ("triplet alone", "meta"), ("both", "joined")]


@pytest.mark.parametrize(
    ("loss", "learning"),
    [
        pytest.param(a, b, marks=() if (a, b) in QUICK else pytest.mark.slow)
        for a in LOSSES
        for b in LEARNING
    ],
)
def test_the_ablations_of_tables_17_and_18(settings, loss, learning):
    off = {"adv__training__evaluate": False}
    write_duke(Path(settings["data.root"]))
    engine = trained(settings, **LOSSES[loss], **LEARNING[learning], **off)
    classes = 8 if learning == "joined" else 4
    assert engine.model.classifier.out_features == classes
    assert (engine.head is not None) == (learning == "meta" and loss != "triplet alone")
    assert (engine.virtual is not None) == (learning == "meta")


@pytest.mark.parametrize("kind", ["color", "delta", "both"])
def test_the_part_of_the_perturbation_is_chosen(kind):
    whole = UniversalPerturbation(8 / 255, size=(6, 4))
    for value in whole.parameters():
        nn.init.uniform_(value, -1, 1)
    whole.project()
    part, images = whole.part(kind), torch.rand(2, 3, 6, 4)
    assert part.kind == kind
    names = ("color", "delta") if kind == "both" else (kind,)
    own = dict(part.named_parameters())
    assert set(own) == set(names)
    assert all(torch.equal(own[name], getattr(whole, name)) for name in names)
    assert (part(images) - images).abs().max() > 0


def test_a_resumed_run_ends_in_the_weights_of_one_that_did_not_stop(settings):
    settings |= {"train.optim": "sgd", "adv.training.evaluate": False, "adv.meta.iterations": 2}
    settings |= {"test.eval_freq": 1, "data.transforms": "['random_flip']"}
    whole = trained(settings, train__max_epoch=2)
    path = f"{settings['data.save_dir']}/model/model.pth.tar-1"
    settings["data.save_dir"] += "2"
    resumed = trained(settings, train__max_epoch=2, model__resume=path)
    assert same(weights(whole), weights(resumed))
    assert not same(weights(whole), read_checkpoint(path)["state_dict"])
    assert same(whole.head.parameters, resumed.head.parameters)


def run(settings, *pairs):
    words = [str(word) for pair in settings.items() for word in pair]
    return cli.main(["train", *words, *pairs])


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["adv.attack.name", "ifgsm", "adv.attack.weights", ""], "adv.attack.name universal"),
        (["adv.attack.weights", "nowhere"], "there is no universal perturbation 'nowhere'"),
        (["adv.attack.eps", "4"], "was learned within 8 gray levels"),
        (["adv.training.mix", "clean"], "does not use adv.training.mix"),
        (["adv.training.eps", "7"], "does not use adv.training.eps"),
        (["adv.meta.loss", "self"], "does not use adv.meta.loss"),
        (["adv.meta.learning", "source", "adv.meta.clip", "1"], "without adv.meta.learning meta"),
        (["adv.meta.learning", "joined"], "name 'tiny_market' in data.sources"),
        (["adv.meta.learning", "virtual"], "adv.meta.learning source"),
        (["adv.meta.learning", "two_step"], "a way to learn a perturbation"),
        (["adv.meta.learning", "twice"], "takes meta, source or joined"),
        (["adv.meta.defense_order", "3"], "must be one of '1', '2', 'fd'"),
        (["sampler.train_sampler", "RandomSampler"], "RandomIdentitySampler"),
        (["adv.meta.virtual", "virtual_d"], "virtual_"),
    ],
)
def test_what_cannot_be_is_said(settings, pairs, words, capsys):
    assert run(settings, *pairs) == ConfigError.exit_code
    assert words in capsys.readouterr().err
