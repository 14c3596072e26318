"""Robust training at about the price of plain training: one step, replays, averages, warm-up."""

import copy

import pytest
import torch
from test_adversarial_training import EUCLIDEAN, Net, same, settings, trained, weights  # noqa: F401
from torch.nn import functional as F

from torchreid_adv.core.batch import Batch
from torchreid_adv.engines.averaging import AveragedWeights
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.engines.replays import (
    FreePerturbation,
    UniversalFreePerturbation,
    slower_statistics,
)
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.models import PixelModel

EPS = 8 / 255
ONE_STEP = {"adv__training__steps": None}


def attack(**fields):
    usual = {"objective": "self", "distance": EUCLIDEAN, "eps": EPS, "step_size": EPS, "steps": 1}
    return InnerAttack(**{**usual, "start": "random", "seed": 0, **fields})


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PixelModel(Net().eval(), size=(12, 8)).eval()


@pytest.fixture
def batch():
    draws = torch.Generator().manual_seed(1)
    images = torch.rand(4, 3, 12, 8, generator=draws)
    return Batch(images, pids=torch.arange(4), image_ids=("a", "b", "c", "d"))


def test_n_fgsm_is_noise_and_one_step_that_nothing_but_0_and_1_clips(model, batch):
    found = attack(noise=2.0)(model, batch)
    for row in range(4):
        draws = batch.rng(0, "start")[row]
        noise = (torch.rand(3, 12, 8, generator=draws, dtype=torch.float64) * 2 - 1) * 2 * EPS
        start = (batch.images[row] + noise.float()).clamp(0, 1).requires_grad_()
        clean = F.normalize(model(batch.images[row : row + 1]).detach(), dim=1)
        loss = (F.normalize(model(start[None]), dim=1) - clean).pow(2).sum()
        (gradient,) = torch.autograd.grad(loss, start)
        wanted = (start.detach() + EPS * gradient.sign()).clamp(0, 1)
        assert (found[row] - wanted).abs().max() < 1e-6
    moved = (found - batch.images).abs().max()
    assert EPS * 1.5 < moved <= 3 * EPS + 1e-6


def test_within_a_bound_a_step_keeps_its_share():
    half = attack(step_size=1.25 * EPS).within(EPS / 2)
    assert (half.eps, half.step_size) == (EPS / 2, pytest.approx(1.25 * EPS / 2))


def test_free_training_of_one_replay_from_zero_is_plain_training(settings):  # noqa: F811
    plain = trained(settings, adv__engine="")
    free = trained(
        settings, **ONE_STEP, adv__training__method="free", adv__training__replays=1,
        adv__training__start="zero", adv__training__evaluate=False,
    )  # fmt: skip
    assert same(weights(plain), weights(free))


def test_free_training_updates_weights_as_a_hand_written_loop():
    torch.manual_seed(0)
    network, images = Net().double().train(), torch.rand(6, 3, 12, 8, dtype=torch.float64)
    pids, by_hand = torch.tensor([0, 0, 1, 1, 2, 2]), copy.deepcopy(network)

    def classify(net, pixels):
        return net.classifier(F.adaptive_avg_pool2d(net.norm(net.conv(pixels)), 1).flatten(1))

    free = FreePerturbation(replays=3, start="zero")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    delta = free.begin(images, EPS)
    for _ in range(3):
        pixels = (images + delta).clamp(0, 1).requires_grad_()
        optimizer.zero_grad()
        F.cross_entropy(classify(network, pixels), pids).backward()
        optimizer.step()
        delta = free.step(pixels.detach() - images, pixels.grad, EPS)
    moved = torch.zeros_like(images)
    for _ in range(3):
        pixels = torch.clamp(images + moved, 0, 1).requires_grad_()
        loss = F.cross_entropy(classify(by_hand, pixels), pids)
        gradients = torch.autograd.grad(loss, [pixels, *by_hand.parameters()])
        with torch.no_grad():
            for weight, gradient in zip(by_hand.parameters(), gradients[1:], strict=True):
                weight -= 0.1 * gradient
            moved = pixels - images + EPS * torch.sign(gradients[0])
            moved = torch.maximum(moved, torch.full_like(moved, -EPS))
            moved = torch.minimum(moved, torch.full_like(moved, EPS))
    assert (delta - moved).abs().max() < 1e-12
    for one, other in zip(network.parameters(), by_hand.parameters(), strict=True):
        assert (one - other).abs().max() < 1e-12


def test_the_carried_perturbation_goes_on_where_it_was():
    free = FreePerturbation(start="carried")
    images = torch.full((3, 3, 2, 2), 0.5)
    assert not free.begin(images, EPS).any()
    after = free.step(torch.zeros_like(images), torch.ones_like(images), EPS)
    assert torch.equal(free.begin(images, EPS), after)
    assert torch.equal(free.begin(images[:2], EPS), after[:2])
    free.step(after[:2], -torch.ones(2, 3, 2, 2), EPS)  # a shorter last batch
    assert torch.equal(free.begin(images, EPS)[2], after[2])
    other = FreePerturbation(start="carried")
    other.take_state(free.state())
    assert torch.equal(other.begin(images, EPS), free.begin(images, EPS))


def test_the_universal_perturbation_is_a_hand_written_loop():
    draws = torch.Generator().manual_seed(3)
    gradients = torch.randn(5, 4, 3, 6, 4, generator=draws, dtype=torch.float64)
    images = torch.rand(4, 3, 6, 4, dtype=torch.float64)
    universal = UniversalFreePerturbation()
    universal.new_epoch(torch.Generator().manual_seed(7))
    torch.manual_seed(5)
    deltas = []
    for gradient in gradients:
        delta = universal.begin(images, EPS)
        deltas.append(delta)
        universal.step(delta, gradient, EPS)
    noise = torch.rand(1, 3, 6, 4, generator=torch.Generator().manual_seed(7))
    value, velocity = ((noise * 2 - 1) * EPS).double(), torch.zeros(1, 3, 6, 4).double()
    torch.manual_seed(5)
    for gradient, delta in zip(gradients, deltas, strict=True):
        rows = (torch.rand(4, 1, 1, 1) < 0.8).double()
        assert torch.equal(delta, value * rows)
        total = sum(gradient[row] * rows[row] for row in range(4))[None]
        velocity = total / total.abs().mean() + velocity
        value = (value + velocity.sign() / 255).clamp(-EPS, EPS)
    assert (universal.delta - value).abs().max() < 1e-12


def test_statistics_move_once_for_all_replays():
    norm = torch.nn.BatchNorm2d(2, momentum=0.2)
    with slower_statistics(norm, 4):
        assert norm.momentum == pytest.approx(0.05)
    assert norm.momentum == 0.2


def test_the_average_follows_every_update():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    average = AveragedWeights(network, decay=0.9)
    average.follow(optimizer)
    wanted = {k: v.clone().double() for k, v in network.state_dict().items()}
    for update in range(1, 6):
        optimizer.zero_grad()
        network(torch.randn(4, 2)).pow(2).sum().backward()
        optimizer.step()
        decay = min(0.9, (1 + update) / (10 + update))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                wanted[name] = decay * wanted[name] + (1 - decay) * value.double()
            else:
                wanted[name] = value
    for name, value in average.weights.items():
        assert (value - wanted[name]).abs().max() < 1e-6


METHODS = ["fgsm_rs", "n_fgsm", "free", "universal_free"]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_trains_saves_its_average_and_is_guarded(settings, tmp_path, capsys, method):  # noqa: F811
    engine = trained(
        settings, **ONE_STEP, adv__training__method=method, adv__training__guard=1,
        adv__training__ema=0.9, adv__training__warmup=1, adv__training__mix="adversarial",
        adv__training__evaluate=False,
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "=> Guard: nearest image right: clean" in said
    average = read_checkpoint(tmp_path / "log" / "model-average" / "model.pth.tar-1")
    assert average["state_dict"].keys() == engine.model.state_dict().keys()
    assert not same(average["state_dict"], engine.model.state_dict())


@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_is_resumed_ends_in_the_same_weights(settings, tmp_path, method):  # noqa: F811
    words = {
        **ONE_STEP, "adv__training__method": method, "adv__training__ema": 0.9,
        "adv__training__guard": 1, "adv__training__evaluate": False, "train__max_epoch": 2,
    }  # fmt: skip
    if method == "free":
        words["adv__training__start"] = "carried"
    whole = trained(settings, **words, data__save_dir=str(tmp_path / "whole"))
    trained(settings, **{**words, "train__max_epoch": 1}, data__save_dir=str(tmp_path / "half"))
    path = tmp_path / "half" / "model" / "model.pth.tar-1"
    half = trained(
        settings, **words, data__save_dir=str(tmp_path / "rest"), model__resume=str(path)
    )
    assert same(weights(whole), weights(half))
    assert same(whole.average.weights, half.average.weights)
    assert whole.guard.looks == half.guard.looks


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"adv__training__method": "free"}, "does not read adv.training.steps"),
        ({"adv__training__method": "fgsm_rs"}, "takes one step from a random start"),
        ({**ONE_STEP, "adv__training__start": "carried"}, "is of adv.training.method 'free'"),
        (
            {**ONE_STEP, "adv__training__method": "free", "adv__training__consistency": 1.0},
            "does not read adv.training.consistency",
        ),
        (
            {
                **ONE_STEP,
                "adv__training__method": "n_fgsm",
                "adv__training__objective": "universal",
            },
            "makes its own perturbation",
        ),
        (
            {"adv__training__mode": "offline", "adv__training__guard": 1},
            "are of mode 'online'",
        ),
    ],
)
def test_keys_that_exclude_each_other_are_refused(settings, words, reason):  # noqa: F811
    with pytest.raises(ConfigError, match=reason):
        trained(settings, **words)
