"""ATAS, GradAlign, EST, ACT and HM against loops written out, each with a planted mistake."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from test_adversarial_training import EUCLIDEAN, same, settings, trained, weights  # noqa: F401
from test_cheap_training import EPS, ONE_STEP
from torch import distributed, nn
from torch.nn import functional as F

from torchreid_adv.core.batch import Batch
from torchreid_adv.core.processes import gathered_values
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.engines.methods import atas, gradalign, triplets
from torchreid_adv.engines.methods.act import Collapse
from torchreid_adv.engines.methods.atas import AtasAttack, StepMemory
from torchreid_adv.engines.methods.est import ShiftAttack
from torchreid_adv.engines.methods.gradalign import averaged, misalignment
from torchreid_adv.engines.methods.hm import HM, Hardness
from torchreid_adv.engines.methods.triplets import GivenTriplets, TripletAttack, softhard
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import PixelModel

STEP = EPS / 2


class Smooth(nn.Module):
    """Features that can be differentiated twice, and logits in training."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2)
        self.classifier = nn.Linear(5, 3)

    def forward(self, images):
        features = self.conv(images).tanh().mean((2, 3))
        return self.classifier(features) if self.training else features


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PixelModel(Smooth().double().eval(), size=(8, 6)).double().eval()


def pixels(count, seed=1):
    draws = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 8, 6, generator=draws, dtype=torch.float64)


def unit(model, images):
    return F.normalize(model(images), dim=1)


def attack(kind=InnerAttack, **fields):
    usual = {"objective": "self", "distance": EUCLIDEAN, "eps": EPS, "step_size": STEP}
    return kind(**{**usual, "steps": 3, "start": "zero", "seed": 0, **fields})


def by_hand(images, loss_of, steps=3, step=STEP):
    """Return what sign steps uphill in a box end in."""
    moved = images.clone()
    for _ in range(steps):
        start = moved.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(start), start)
        moved = (moved + step * gradient.sign()).clamp(images - EPS, images + EPS).clamp(0, 1)
    return moved


def gap(a, b):
    return float((a - b).abs().max())


# ATAS


def steps_by_hand(visits, eps, beta=0.5):
    memory, computed = {}, []
    for names, squares in visits:
        for name, square in zip(names, squares, strict=True):
            memory[name] = beta * memory.get(name, square) + (1 - beta) * square
        typical = sum(value**0.5 for value in memory.values()) / len(memory)
        sizes = [2 * eps / (1 + memory[name] ** 0.5 / typical) for name in names]
        computed.append([min(max(size, eps / 2), 1.75 * eps) for size in sizes])
    return computed


def test_steps_of_atas_are_a_hand_written_loop():
    visits = [("ab", (4.0, 1.0)), ("ca", (900.0, 1.0)), ("bc", (0.0, 2.0)), ("ab", (3.0, 1e-9))]
    memory, wanted = StepMemory(), steps_by_hand(visits, EPS)
    wrong = steps_by_hand(visits, EPS, beta=0.4)
    for (names, squares), sizes in zip(visits, wanted, strict=True):
        computed = memory.steps(tuple(names), torch.tensor(squares, dtype=torch.float64), EPS)
        assert computed.tolist() == pytest.approx(sizes, rel=1e-12)
    assert computed.tolist() != pytest.approx(wrong[-1], rel=1e-3)
    assert computed.min() >= EPS / 2
    assert computed.max() <= 1.75 * EPS


def test_atas_moves_each_image_by_its_step(model):
    images, memory = pixels(4), StepMemory()
    batch = Batch(images, image_ids=tuple("abcd"))
    memory.values = {"a": 1e-6, "b": 1.0, "c": 1e-4, "d": 1e-12}
    before = dict(memory.values)
    inner = attack(AtasAttack, steps=1, start="random", memory=memory, names=tuple("abcd"))
    computed = inner(model, batch)
    for row, (name, draw) in enumerate(zip("abcd", batch.rng(0, "start"), strict=True)):
        noise = (torch.rand(3, 8, 6, generator=draw, dtype=torch.float64) * 2 - 1) * EPS
        start = (images[row] + noise).clamp(0, 1).requires_grad_()
        loss = (unit(model, start[None]) - unit(model, images[row][None]).detach()).pow(2).sum()
        (gradient,) = torch.autograd.grad(loss, start)
        assert memory.values[name] == pytest.approx(
            before[name] / 2 + float(gradient.pow(2).sum()) / 2, rel=1e-5
        )
        typical = sum(value**0.5 for value in memory.values.values()) / 4
        size = 2 * EPS / (1 + memory.values[name] ** 0.5 / typical)
        size = min(max(size, EPS / 2), 1.75 * EPS)
        wanted = start.detach() + size * gradient.sign()
        wanted = wanted.clamp(images[row] - EPS, images[row] + EPS).clamp(0, 1)
        assert gap(computed[row], wanted) < 1e-6
    plain = attack(AtasAttack, steps=1, start="random", memory=memory)(model, batch)
    assert gap(computed, plain) > 1e-3  # without names, all take the same step


def test_step_sizes_are_exchanged_between_processes(monkeypatch):
    parts = [StepMemory(), StepMemory()]
    parts[0].values = {"a": 9.0, "b": 1.0, "c": 7.0}
    parts[1].values = dict(parts[0].values)
    for memory, names in zip(parts, ("ab", "cd"), strict=True):
        memory.steps(tuple(names), torch.ones(2), EPS)
    changed = [{name: m.values[name] for name in m.changed} for m in parts]
    monkeypatch.setattr(atas.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(atas, "gathered_values", lambda mine: changed)
    for memory in parts:
        memory.share()
    assert parts[0].values == parts[1].values == {"a": 5.0, "b": 1.0, "c": 4.0, "d": 1.0}
    assert not parts[0].changed


def test_values_are_gathered_unchanged(tmp_path):
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        value = {"a.jpg": 0.1 + 0.2, "ä": 1e-300}
        assert gathered_values(value) == [value]
        assert gathered_values({}) == [{}]
    finally:
        distributed.destroy_process_group()


# GradAlign


def losses_of(outputs, pids):
    return F.cross_entropy(outputs, pids), {}


def test_the_gradient_of_the_alignment_term_is_that_of_finite_differences(model):
    network, pids = model.network, torch.tensor([0, 1, 2])
    clean = pixels(3)
    noisy = (clean + 0.2 * (pixels(3, seed=2) - 0.5)).clamp(0, 1)
    network.training = True

    def term():
        return misalignment(model, losses_of, pids, clean, noisy)

    computed = torch.autograd.grad(term(), list(network.parameters()), allow_unused=True)
    checked = 0
    for weight, gradient in zip(network.parameters(), computed, strict=True):
        flat = weight.data.view(-1)
        for place in range(0, len(flat), max(1, len(flat) // 4)):
            before, values = float(flat[place]), []
            for step in (1e-5, -1e-5):
                flat[place] = before + step
                values.append(float(term().detach()))
            flat[place] = before
            wanted = (values[0] - values[1]) / 2e-5
            value = 0.0 if gradient is None else float(gradient.reshape(-1)[place])
            assert value == pytest.approx(wanted, abs=1e-7, rel=1e-4)
            checked += abs(wanted) > 1e-6
    assert checked > 5
    assert float(misalignment(model, losses_of, pids, clean, clean).detach()) < 1e-9


def test_images_without_a_gradient_do_not_count(model):
    def nothing(outputs, pids):
        return (outputs * 0).sum(), {}

    assert misalignment(model, nothing, None, pixels(2), pixels(2, 3)).detach() == 0


def test_gradalign_of_weight_0_is_training_on_fgsm(settings):  # noqa: F811
    words = {"adv__training__objective": "classification", "adv__training__evaluate": False}
    levels = 4.0
    words |= {"adv__training__eps": levels}
    fgsm = trained(
        settings, **words, adv__training__steps=1, adv__training__step_size=levels,
        adv__training__start="zero",
    )  # fmt: skip
    words |= {**ONE_STEP, "adv__training__method": "gradalign"}
    none, some = (trained(settings, **words, adv__training__gradalign=w) for w in (0.0, 5.0))
    assert same(weights(fgsm), weights(none))
    assert not same(weights(some), weights(none))


def test_a_term_that_is_not_finite_is_named_before_it_reaches_weights(settings, monkeypatch):  # noqa: F811
    monkeypatch.setattr(
        gradalign, "misalignment", lambda model, *_: sum(p.sum() for p in model.parameters()) / 0
    )
    with pytest.raises(DataError, match=r"loss_g is .* Images of the batch: .*\.jpg"):
        trained(
            settings, **ONE_STEP, adv__training__method="gradalign",
            adv__training__objective="classification",
        )  # fmt: skip


# EST


def test_est_is_a_random_direction_and_then_away_from_the_clean_feature(model):
    images = pixels(3)
    batch = Batch(images, image_ids=tuple("abc"))
    computed = attack(ShiftAttack)(model, batch)
    clean = unit(model, images).detach()
    z = torch.stack([torch.randn(5, generator=draw) for draw in batch.rng(0, "shift")]).double()
    first = by_hand(images, lambda x: (unit(model, x) * z).sum(), steps=1)
    shifted = by_hand(images, lambda x: (unit(model, x) - clean + 1e-7 * z).pow(2).sum(), steps=1)
    assert gap(first, shifted) < 1e-12  # as published, in the limit of small noise
    wanted = first
    for _ in range(2):
        start = wanted.clone().requires_grad_()
        loss = (unit(model, start) - clean).pow(2).sum()
        (gradient,) = torch.autograd.grad(loss, start)
        moved = wanted + STEP * gradient.sign()
        wanted = moved.clamp(images - EPS, images + EPS).clamp(0, 1)
    assert gap(computed, wanted) < 1e-6
    assert gap(attack(ShiftAttack, start="zero", steps=1)(model, batch), wanted) > 1e-3


# triplets, ACT and HM


def test_triplets_are_drawn_among_the_soft_and_hard_ones():
    pids, features = torch.tensor([0, 1, 0, 1, 0, 0, 2]), torch.randn(7, 3)
    distances = torch.cdist(features, features)
    drawn = set()
    for seed in range(60):
        rows = softhard(distances, pids, torch.Generator().manual_seed(seed))
        assert rows.anchors.tolist() == [0, 1, 4]
        drawn |= set(zip(*(part.tolist() for part in vars(rows).values()), strict=True))
    wanted = set()
    for a in (0, 1, 4):
        same_pid = [row for row in range(7) if row != a and pids[row] == pids[a]]
        others = [row for row in range(7) if pids[row] != pids[a]]
        nearest = min(float(distances[a, row]) for row in others)
        furthest = max(float(distances[a, row]) for row in same_pid)
        positives = [p for p in same_pid if distances[a, p] > nearest] or same_pid
        negatives = [n for n in others if distances[a, n] < furthest] or others
        wanted |= {(a, p, n) for p, n in itertools.product(positives, negatives)}
    assert drawn == wanted


def test_a_batch_without_triplets_is_refused():
    with pytest.raises(ConfigError, match="RandomIdentitySampler"):
        softhard(torch.zeros(3, 3), torch.tensor([0, 1, 2]), torch.Generator())


def length(vector):
    return float(sum(float(value) ** 2 for value in vector)) ** 0.5


@pytest.mark.parametrize("structure", [0.0, 0.5])
def test_the_loss_of_given_triplets_is_a_slow_loop(structure):
    features = torch.randn(10, 4, dtype=torch.float64)[: 10 if structure else 6]
    loss = float(GivenTriplets(EUCLIDEAN, 0.3, structure)(features, None))
    rows = [row / length(row) for row in features]
    wanted = sum(
        max(0.0, 0.3 + length(rows[t] - rows[t + 2]) - length(rows[t] - rows[t + 4]))
        for t in range(2)
    )
    if structure:
        wanted += structure * sum(
            max(0.0, length(rows[t + 6] - rows[t]) - length(rows[t + 6] - rows[t + 8]))
            for t in range(2)
        )
    assert loss == pytest.approx(wanted / 2, rel=1e-9)
    swapped = features.roll(2, 0)
    assert float(GivenTriplets(EUCLIDEAN, 0.3, structure)(swapped, None)) != pytest.approx(loss)


def distance_of(a, b):
    return (a - b).pow(2).sum(1).sqrt()


def test_act_draws_positives_and_negatives_together(model):
    images = pixels(4)

    def collapse(x, sign=-1.0):
        features = unit(model, x)
        return sign * distance_of(features[:2], features[2:]).sum()

    computed = attack(TripletAttack, goal=Collapse(EUCLIDEAN))(model, Batch(images))
    assert gap(computed, by_hand(images, collapse)) < 1e-6
    assert gap(computed, by_hand(images, lambda x: collapse(x, sign=1.0))) > 1e-3
    features, before = unit(model, computed), unit(model, images)
    assert (distance_of(features[:2], features[2:]) < distance_of(before[:2], before[2:])).all()


def hardness(model, images):
    a, p, n = unit(model, images).chunk(3)
    return distance_of(a, p) - distance_of(a, n)


@pytest.mark.parametrize("mark", [0.0, -0.1])
def test_hm_raises_hardness_to_its_mark_and_no_further(model, mark):
    images = pixels(6, seed=4)
    goal = Hardness(EUCLIDEAN, lambda: mark)
    computed = attack(TripletAttack, goal=goal)(model, Batch(images))

    def manipulated(x, mark=mark):
        return -(mark - hardness(model, x)).clamp_min(0).pow(2).sum()

    assert gap(computed, by_hand(images, manipulated)) < 1e-6
    above = attack(TripletAttack, goal=Hardness(EUCLIDEAN, lambda: -3.0))(model, Batch(images))
    assert torch.equal(above, images)  # they are past the mark already
    assert gap(computed, by_hand(images, lambda x: manipulated(x, mark=2.0))) > 1e-3


def test_the_mark_of_hm_rises_as_the_loss_falls():
    method = HM.__new__(HM)
    method.criterion = SimpleNamespace(margin=0.2)
    for previous, wanted in ((5.0, -0.2), (0.2, -0.2), (0.05, -0.05), (0.0, 0.0)):
        method.previous = previous
        assert method.destination() == pytest.approx(wanted)


def test_a_gradient_of_one_process_is_its_own_mean():
    gradient = torch.randn(3)
    assert torch.equal(averaged(gradient.clone()), gradient)


def test_the_stock_loss_comes_back_after_a_batch(settings):  # noqa: F811
    engine = trained(settings, **TRIPLETS, adv__training__method="act")
    assert not isinstance(engine.criterion_t, triplets.GivenTriplets)


TRIPLETS = {
    "loss__name": "triplet",
    "sampler__train_sampler": "RandomIdentitySampler",
    "sampler__num_instances": 2,
    "adv__training__evaluate": False,
}
CLASSES = {"adv__training__objective": "classification"}
NEW = {
    "atas": ONE_STEP,
    "gradalign": {**ONE_STEP, **CLASSES},
    "est": {},
    "act": TRIPLETS,
    "hm": {**TRIPLETS, "adv__training__structure": 0.5},
}


LOSSES = [*itertools.product(NEW, ["triplet"]), *itertools.product(list(NEW)[:3], ["softmax"])]


@pytest.mark.parametrize(("method", "loss"), LOSSES)
def test_a_training_that_is_resumed_ends_in_the_same_weights(settings, tmp_path, method, loss):  # noqa: F811
    words = {**NEW[method], "adv__training__method": method, "adv__training__guard": 1}
    words |= {"adv__training__evaluate": False, "train__max_epoch": 2}
    if loss == "triplet":
        words |= TRIPLETS
    whole = trained(settings, **words, data__save_dir=str(tmp_path / "whole"))
    trained(settings, **{**words, "train__max_epoch": 1}, data__save_dir=str(tmp_path / "half"))
    path = tmp_path / "half" / "model" / "model.pth.tar-1"
    rest = trained(
        settings, **words, data__save_dir=str(tmp_path / "rest"), model__resume=str(path)
    )
    assert same(weights(whole), weights(rest))
    assert whole.method.state() == rest.method.state()
    assert bool(whole.method.state()) == (method in ("atas", "hm"))
    assert whole.guard.looks == rest.guard.looks


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"method": "hm"}, "defends a triplet loss; set loss.name triplet"),
        ({"method": "hmm"}, "unknown training method 'hmm'; did you mean 'hm'"),
        ({"method": "atas"}, "does not read adv.training.steps"),
        ({"method": "est", "objective": "guided"}, "does not read adv.training.objective"),
        ({"method": "gradalign", "steps": None}, "objective 'self' has no gradient"),
        ({"clean_epochs": 3}, "is read by 'torchreid-adv train'"),
    ],
)
def test_keys_that_a_method_cannot_use_are_refused(settings, words, reason):  # noqa: F811
    with pytest.raises(ConfigError, match=reason):
        trained(settings, **{f"adv__training__{key}": value for key, value in words.items()})
