"""Learning universal perturbations: steps by hand, meta gradients by finite differences."""

import functools

import pytest
import torch
from torch import nn

from torchreid_adv.attacks import GradientAttack, LinfDelta, SignStep
from torchreid_adv.attacks.learned.meta_attack import InnerStep, UniversalFit, meta
from torchreid_adv.attacks.learned.triplets import BatchTriplet, CentroidTriplet, cluster_centers
from torchreid_adv.attacks.learned.universal import UniversalPerturbation
from torchreid_adv.attacks.sma import SelfDistance
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel

EPS = 0.2
STEP = functools.partial(SignStep, lr=EPS / 10, momentum=1.0)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(128, 6)]
        return PixelModel(nn.Sequential(*layers).double(), size=(8, 4))


def batch(seed, count=6):
    draws = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 3, 8, 4, generator=draws, dtype=torch.float64) * 0.4 + 0.3
    return Batch(pixels, pids=torch.arange(count) // 2)


def perturbation(kind="both", budget="split", scale=0.1):
    """Somewhere inside its bounds."""
    own = UniversalPerturbation(EPS, kind=kind, size=(4, 2), cells=3, budget=budget).double()
    draws = torch.Generator().manual_seed(5)
    for parameter in own.parameters():
        noise = torch.rand(parameter.shape, generator=draws, dtype=torch.float64)
        parameter.data = (noise * 2 - 1) * scale * own.share
    own.project()
    return own


def objective():
    return BatchTriplet(build_distance("euclidean"), margin=10.0)  # no hinge closes


def filled(rule, own):
    """Give a rule something to remember."""
    draws = torch.Generator().manual_seed(9)
    for parameter in own.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draws, dtype=torch.float64)
        rule.state[parameter]["memory"] = parameter.grad / parameter.grad.abs().sum()
    return rule


def by_hand(own, names, values, train, test, losses, kind, lr, memory):
    """L_train + L_test after the step, written out, as a function of the parameters."""
    call = functools.partial(torch.func.functional_call, own)
    here = losses[0](call(dict(zip(names, values, strict=True)), (train.images,))).mean()
    gradients = torch.autograd.grad(here, values, create_graph=True)
    moved = {}
    for name, value, gradient, before in zip(names, values, gradients, memory, strict=True):
        direction = gradient / gradient.abs().sum() + before
        step = direction.sign() if kind == "sign" else direction / direction.abs().mean()
        low, high = own.limits()[name]
        moved[name] = torch.minimum(torch.maximum(value + lr * step, low), high)
    return here + losses[1](call(moved, (test.images,))).mean()


def setting(kind, lr=0.002):
    own, model, train, test = perturbation(), network().eval(), batch(0), batch(1)
    rule = filled(STEP(own.parameters()), own)
    losses = [objective().bind(model, part) for part in (train, test)]
    memory = [rule.state[p]["memory"].clone() for p in own.parameters()]
    names = [name for name, _ in own.named_parameters()]

    def total(values):
        return by_hand(own, names, values, train, test, losses, kind, lr, memory)

    def found(order):
        inner = InnerStep(kind=kind, order=order, step_size=lr)
        meta(losses[1], test.images, rule, inner)(losses[0], own, train.images)
        return [p.grad.clone() for p in own.parameters()]

    return own, total, found


@pytest.mark.parametrize(("kind", "order"), [("sign", 1), ("sign", 2), ("sgd", 2)])
def test_the_meta_gradient_is_that_of_finite_differences(kind, order):
    own, total, found = setting(kind)
    gradients, values = found(order), [p.detach() for p in own.parameters()]
    draws = torch.Generator().manual_seed(2)
    way = [torch.randn(v.shape, generator=draws, dtype=torch.float64) for v in values]

    def at(h):
        return total(
            [(v + h * w).requires_grad_() for v, w in zip(values, way, strict=True)]
        ).item()

    h = 1e-6
    slope = (at(h) - at(-h)) / (2 * h)
    expected = sum((g * w).sum().item() for g, w in zip(gradients, way, strict=True))
    assert slope == pytest.approx(expected, rel=1e-5)


def test_signed_steps_have_no_second_order_and_unsigned_ones_do():
    own, total, found = setting("sign")
    values = [p.detach().requires_grad_() for p in own.parameters()]
    second = torch.autograd.grad(total(values), values)  # the graph of the inner step included
    for one, other in zip(found(1), second, strict=True):
        assert torch.equal(one, other)
    _, _, found = setting("sgd")
    first, second = torch.cat([g.flatten() for g in found(1)]), found(2)
    second = torch.cat([g.flatten() for g in second])
    assert (first - second).norm() > 1e-3 * second.norm()


def test_without_an_inner_step_the_orders_are_one():
    _, _, found = setting("sgd", lr=0.0)
    for one, other in zip(found(1), found(2), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_the_temporary_step_leaves_parameters_and_memory_alone():
    own, model = perturbation(), network().eval()
    rule = filled(STEP(own.parameters()), own)
    before = [p.detach().clone() for p in own.parameters()]
    memory = [rule.state[p]["memory"].clone() for p in own.parameters()]
    losses = [objective().bind(model, batch(seed)) for seed in (0, 1)]
    meta(losses[1], batch(1).images, rule, InnerStep())(losses[0], own, batch(0).images)
    assert all(torch.equal(a, p) for a, p in zip(before, own.parameters(), strict=True))
    assert all(
        torch.equal(m, rule.state[p]["memory"])
        for m, p in zip(memory, own.parameters(), strict=True)
    )
    assert len(rule.state) == len(before)


def test_entries_that_the_inner_step_carries_out_of_bounds_see_no_meta_test():
    own, model = perturbation("delta", "joint"), network().eval()
    own.delta.data.fill_(EPS)
    losses = [objective().bind(model, batch(seed)) for seed in (0, 1)]
    rule = STEP(own.parameters())
    inner = InnerStep(step_size=EPS / 10)
    meta(losses[1], batch(1).images, rule, inner)(losses[0], own, batch(0).images)
    (alone,) = torch.autograd.grad(losses[0](own(batch(0).images)).mean(), [own.delta])
    out = alone > 0
    assert out.any()
    assert torch.equal(own.delta.grad[out], alone[out])
    assert (own.delta.grad[~out] != alone[~out]).all()


def test_a_step_with_a_virtual_batch_moves_one_step_not_two():
    fit = UniversalFit(objective(), perturbation(scale=0), STEP)
    fit.fit_step(network(), batch(0), batch(1))
    for name, parameter in fit.perturbation.named_parameters():
        low, high = fit.perturbation.limits()[name]
        size = torch.minimum(torch.full_like(parameter, EPS / 10), torch.maximum(high, -low))
        assert (parameter.abs() <= size + 1e-12).all()
        assert (parameter.abs() > EPS / 10 - 1e-9).any()


@pytest.mark.parametrize("kind", ["delta", "both"])
def test_a_kept_inner_step_makes_two_steps_of_an_iteration(kind):
    """The first without memory, on the batch alone; the second on the sum of both gradients."""
    own = perturbation(kind, scale=0.5)
    fit = UniversalFit(objective(), own, STEP, inner=InnerStep(kept=True))
    model, data, other = network().eval(), batch(0), batch(1)
    losses = [objective().bind(model, part) for part in (data, other)]
    memory = {name: 0.0 for name, _ in own.named_parameters()}
    for number in range(3):
        fit.fit_step(model, data, other)
        names = [name for name, _ in own.named_parameters()]
        here = losses[0](own(data.images)).mean()
        first = torch.autograd.grad(here, list(own.parameters()))
        inside = {}
        with torch.no_grad():
            for name, gradient in zip(names, first, strict=True):
                parameter, (low, high) = own.get_parameter(name), own.limits()[name]
                parameter += EPS / 10 * gradient.sign()
                inside[name] = (parameter >= low) & (parameter <= high)
            own.project()
        there = losses[1](own(other.images)).mean()
        second = torch.autograd.grad(there, list(own.parameters()))
        with torch.no_grad():
            for name, one, two in zip(names, first, second, strict=True):
                total = one + two * inside[name]
                memory[name] = memory[name] + total / total.abs().sum()
                own.get_parameter(name).add_(EPS / 10 * memory[name].sign())
            own.project()
        for name, parameter in fit.perturbation.named_parameters():
            torch.testing.assert_close(parameter, own.get_parameter(name))
        assert fit.steps == 2 * (number + 1)


def test_three_momentum_sign_steps_by_hand():
    fit, model, data = UniversalFit(objective(), perturbation("delta"), STEP), network(), batch(0)
    value, memory = fit.perturbation.delta.detach().clone(), 0.0
    losses_of = objective().bind(model.eval(), data)
    own = perturbation("delta")
    for _ in range(3):
        fit.fit_step(model, data)
        own.delta.data = value
        (gradient,) = torch.autograd.grad(losses_of(own(data.images)).sum(), [own.delta])
        memory = memory + gradient / gradient.abs().sum()
        value = (value + EPS / 10 * memory.sign()).clamp(-EPS, EPS)
    torch.testing.assert_close(fit.perturbation.delta.detach(), value)


def test_a_triplet_takes_the_furthest_of_either_kind():
    features = torch.tensor([[0.0], [1.0], [3.0], [9.0], [4.0]])
    given = Batch(torch.zeros(5, 3, 1, 1), pids=torch.tensor([0, 0, 0, 1, 2]))
    triplet = BatchTriplet(build_distance("euclidean"))
    positive, negative = triplet.pick(features, given)
    assert positive.flatten().tolist() == [3, 3, 0, 9, 4]  # alone: itself
    assert negative.flatten().tolist() == [9, 9, 9, 0, 9]
    losses = triplet.bind(lambda _: features, given)(given.images)
    expected = [-(9 - 3 + 0.5), -(8 - 2 + 0.5), -(6 - 3 + 0.5), -(9 - 0 + 0.5), -(5 - 0 + 0.5)]
    torch.testing.assert_close(losses, torch.tensor(expected), atol=1e-5, rtol=0)


def test_centroids_are_the_nearest_one_and_the_one_at_the_largest_angle():
    centers = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.1]])
    clean = torch.tensor([[0.9, 0.1], [-1.0, 0.0]])
    pick = CentroidTriplet(build_distance("euclidean"), centers).pick
    positive, negative = pick(clean, batch(0))
    assert torch.equal(positive, centers[[0, 0]])
    assert torch.equal(negative, centers[[2, 0]])


def test_cluster_centers_are_the_means_of_what_is_near():
    draws = torch.randn(60, 2, generator=torch.manual_seed(0)) * 0.01
    places = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]]).repeat_interleave(20, 0)
    found = cluster_centers(places + draws, 3)
    means = (places + draws).view(3, 20, 2).mean(1)
    torch.testing.assert_close(found[torch.cdist(means, found).argmin(1)], means)
    assert torch.equal(found, cluster_centers(places + draws, 3))


@pytest.mark.parametrize("kind", ["both", "color", "delta"])
def test_learning_raises_the_objective_and_steps_shrink(kind):
    model, data = network(), batch(0)
    fit = UniversalFit(objective(), perturbation(kind, "joint", scale=0), STEP)
    learned = fit.fit(model, [data], epochs=6, decay=0.01)
    losses = objective().bind(model.eval(), data)
    with torch.no_grad():
        assert losses(learned(data.images)).mean() > losses(data.images).mean()
    assert ((learned(data.images) - data.images).abs() <= EPS + 1e-9).all()
    assert fit.rule.param_groups[0]["lr"] == pytest.approx(EPS / 10 * 0.99**6, rel=1e-3)


def test_learning_is_repeatable_and_leaves_everything_as_it_was():
    model, own = network().train(), perturbation()
    before, state = [p.detach().clone() for p in own.parameters()], torch.get_rng_state()
    learned = []
    for _ in range(2):
        fit = UniversalFit(SelfDistance(build_distance("cosine")), own, STEP, start="random")
        learned.append(fit.fit(model, [batch(0)], epochs=2))
    pairs = zip(learned[0].parameters(), learned[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(torch.equal(a, b) for a, b in zip(before, own.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_an_objective_of_batches_is_refused_for_single_images():
    attack = GradientAttack(objective(), LinfDelta(EPS), STEP, 2)
    with pytest.raises(ConfigError, match="depends on an image's neighbors"):
        attack(network(), batch(0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: InnerStep(kind="sing"), "did you mean 'sign'"),
        (lambda: InnerStep(order=3), "1 or 2"),
        (lambda: UniversalFit(objective(), perturbation(), STEP, start="stuck"), "zero, random"),
        (lambda: objective().bind(lambda x: x.flatten(1), Batch(batch(0).images)), "pids="),
        (lambda: cluster_centers(torch.zeros(1, 2), 4), "two cluster centers"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_a_batch_of_one_identity_is_refused():
    one = Batch(batch(0).images, pids=torch.zeros(6, dtype=torch.long))
    with pytest.raises(ConfigError, match="no negatives"):
        objective().bind(network(), one)
