"""torchattacks on a metric, against its own classes on a loss written here."""
# ruff: noqa: F811 (fixtures)

import math
import sys

import pytest
import torch
from test_fgsm import EPS, PIDS, SIZES, features, images, make_batch, model  # noqa: F401 (fixtures)
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack, configured_attack
from torchreid_adv.attacks.torchattacks_methods import METHODS, REFUSED, TwoLogits
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import PixelModel
from torchreid_adv.runs.torchreid_checks import check
from torchreid_adv.testing import check_attack

torchattacks = pytest.importorskip("torchattacks")

SEED = 4
BY_ROW = [name for name, how in METHODS.items() if not how.alone]
SHORT = {
    "PGDRS": {"noise_sd": 0.05},
    "PGDRSL2": {"noise_sd": 0.05},
    "SPSA": {"nb_sample": 8, "max_batch_size": 4},
    "CW": {"c": 300},
    "EADL1": {"binary_search_steps": 2, "initial_const": 100.0},
    "EADEN": {"binary_search_steps": 2, "initial_const": 100.0},
}


def build(name, **options):
    how = METHODS[name]
    if how.steps:
        options.setdefault("steps", 12 if how.tau else 3)
    kwargs = {**SHORT.get(name, {}), **options.pop("kwargs", {})}
    return build_attack("torchattacks", eps=EPS, attack=name, kwargs=kwargs, seed=SEED, **options)


def distance(model, image, guides):
    """Mean squared distance of unit features, written out."""
    feature = F.normalize(model(image), dim=1)
    return (feature[:, None] - F.normalize(guides, dim=1)).pow(2).sum(2).mean(1)


class Distances(nn.Module):
    def __init__(self, model, guides):
        super().__init__()
        self.model, self.guides = model, guides

    def forward(self, image):
        return distance(self.model, image, self.guides)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", BY_ROW)
def test_same_images_as_torchattacks_on_the_raw_distance(
    model,
    images,
    features,
    name,
    targeted,
    monkeypatch,
):
    """Its own class, an image at a time, with cross-entropy replaced by the distance itself."""
    targets = {"1": 3, "2": 1, "3": 2} if targeted else {}
    attack, batch = build(name, targeted=targeted), make_batch(images)
    found = attack(model, batch, References(features, targets=targets))
    monkeypatch.setattr(nn, "CrossEntropyLoss", lambda: lambda outputs, labels: outputs.mean())
    for row, image in enumerate(images):
        guides = features.values[features.pids == targets.get(str(PIDS[row]), PIDS[row])]
        height, width = SIZES[row]
        unit = math.sqrt(image.numel()) if name == "PGDL2" else 1
        options = {"eps": EPS * unit}
        if METHODS[name].steps:
            options["steps"] = 3
        theirs = getattr(torchattacks, name)(Distances(model, guides).eval(), **options)
        if targeted:
            theirs.set_mode_targeted_by_label(quiet=True)
        with torch.random.fork_rng():
            torch.manual_seed(generator(SEED, "torchattacks", f"g{row}").initial_seed())
            expected = theirs(image[None], torch.zeros(1).long())[0]
        difference = (found.images[row, :, :height, :width] - expected).abs().max()
        assert difference < 1e-12, (name, row)
        sign = -1 if targeted else 1
        assert torch.isclose(found.before[row], sign * distance(model, image[None], guides)[0])


@pytest.mark.parametrize("name", ["FGSM", "PGD", "VNIFGSM", "PGDL2", "PGDRS", "SPSA"])
@pytest.mark.parametrize("targeted", [False, True])
def test_it_keeps_what_attacks_promise(name, targeted):
    check_attack(build(name, targeted=targeted))


@pytest.mark.parametrize("name", [name for name, how in METHODS.items() if how.tau])
@pytest.mark.parametrize("targeted", [False, True])
def test_a_threshold_is_crossed_by_the_images_that_can_and_the_others_are_named(
    model,
    images,
    features,
    name,
    targeted,
):
    batch, references = make_batch(images), References(features)
    clean = build("FGSM")(model, batch, references).before
    shift = -0.005 if targeted else 0.005
    tau = float(clean.median()) + shift  # some are there, one is near, the others are far
    attack = build(
        name, tau=tau, targeted=targeted, steps=12 if name in ("EADL1", "EADEN", "FAB") else 40
    )
    state = torch.get_rng_state()
    found = attack(model, batch, references)
    assert torch.equal(torch.get_rng_state(), state)
    assert float((found.images - batch.images).abs().max()) <= EPS + 1e-7
    sign = -1 if targeted else 1
    there, now = sign * clean >= sign * tau, found.after >= sign * tau - 2e-3
    assert (now & ~there).any(), "none crossed"
    still = (found.images == batch.images).flatten(1).all(1)
    assert torch.equal(found.zero_gradient, still)
    height, width = SIZES[1]
    alone = attack(model, make_batch(images, [1]), references)
    assert torch.equal(alone.images[0], found.images[1, :, :height, :width])


def test_a_threshold_out_of_reach_leaves_all_images_and_says_so(model, images, features):
    found = build("APGD", tau=50.0)(model, make_batch(images), References(features))
    assert found.zero_gradient.all()
    assert torch.equal(found.before, found.after)


def slow_pgdrs(model, image, guides, draws, steps):
    """Sign ascent on ``-log mean exp(-d)`` over five noisy copies."""
    delta = torch.zeros(image.shape)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(draws.initial_seed())
        for _ in range(steps):
            delta.requires_grad_()
            copies = (image + delta).clamp(0, 1).expand(5, -1, -1, -1)
            noise = torch.randn(5, image.numel()).view(copies.shape) * 0.05
            loss = -torch.exp(-distance(model, copies + noise, guides)).mean().log()
            sign = torch.autograd.grad(loss, delta)[0].sign()
            delta = (delta.detach() + 2 / 255 * sign).clamp(-EPS, EPS)
    return (image + delta).clamp(0, 1)


def test_randomized_smoothing_averages_over_the_copies_of_one_image(model, images, features):
    found = build("PGDRS")(model, make_batch(images), References(features))
    for row, image in enumerate(images):
        guides = features.values[features.pids == PIDS[row]]
        draws = generator(SEED, "torchattacks", f"g{row}")
        expected = slow_pgdrs(model, image, guides, draws, 3)
        height, width = SIZES[row]
        assert torch.allclose(
            found.images[row, :, :height, :width], expected.double(), rtol=0, atol=1e-6
        )


def test_spsa_follows_the_distance_by_its_own_adam(model, images, features):
    found = build("SPSA", steps=2)(model, make_batch(images, [2]), References(features))
    image, guides = images[2][None], features.values[features.pids == PIDS[2]]
    move = torch.zeros_like(image)
    adam = torch.optim.Adam([move], lr=0.01)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(generator(SEED, "torchattacks", "g2").initial_seed())
        for _ in range(2):
            total = 0
            for _ in range(2):
                way = torch.empty(4, 1, *image.shape[1:]).double().bernoulli_() * 2 - 1
                for u in way:

                    def margin(at):
                        above = distance(model, at, guides) + 0.5
                        return torch.log1p(-torch.exp(-above)) + above

                    rise = margin(image + move + 0.01 * u) - margin(image + move - 0.01 * u)
                    total = total - (rise / 0.02).view(1, 1, 1, 1) * u
            move.grad = total.detach() / 8
            adam.step()
            with torch.no_grad():
                move.copy_((image + move.clamp(-EPS, EPS)).clamp(0, 1) - image)
    height, width = SIZES[2]
    difference = found.images[0, :, :height, :width] - (image + move)[0]
    assert difference.abs().max() < 1e-9


def test_the_loss_is_linear_in_the_distance_in_single_precision():
    values = torch.linspace(0, 4, 41).requires_grad_()
    logits = TwoLogits(lambda d: d, values.detach(), scale=3.0, offset=0.5)(values)
    loss = F.cross_entropy(logits, torch.zeros(41).long(), reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), values)
    assert torch.allclose(loss, 3 * values + 0.5, rtol=1e-6, atol=1e-6)
    assert (gradient - 3).abs().max() < 3e-6


def test_the_first_logit_wins_below_the_threshold():
    values = torch.tensor([0.0, 0.69, 0.71, 9.0])
    logits = TwoLogits.crossing(lambda d: d, values, 0.7)(values)
    assert logits.argmax(1).tolist() == [0, 0, 1, 1]
    assert (logits > 0).all()


class Breaking(nn.Module):
    """A network that fails at its third call, and cannot be copied."""

    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, images):
        self.calls += 1
        if self.calls > 3:
            raise ValueError("broken")
        return self.network(images)

    def __deepcopy__(self, memo):
        raise TypeError("no copies")


@pytest.mark.parametrize("name", ["VMIFGSM", "CW", "Square"])
def test_nothing_is_left_behind_after_an_error(model, images, features, name):
    broken = PixelModel(Breaking(model.network.train()), size=model.size)
    broken.network.network.norm.eval()
    flags = [module.training for module in broken.modules()]
    state = torch.get_rng_state()
    attack = build(name, tau=9.0 if METHODS[name].tau else None)
    with pytest.raises(ValueError, match="broken"):
        attack(broken, make_batch(images), References(features))
    assert [module.training for module in broken.modules()] == flags
    assert all(weight.grad is None and weight.requires_grad for weight in broken.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_it_runs_where_gradients_are_switched_off(model, images, features):
    attack, batch = build("MIFGSM"), make_batch(images)
    with torch.no_grad():
        inside = attack(model, batch, References(features))
    assert torch.equal(inside.images, attack(model, batch, References(features)).images)
    assert not inside.images.requires_grad


def test_an_l2_class_takes_eps_as_the_root_mean_square(model, images, features):
    attack, batch = build("PGDL2", step_size=EPS), make_batch(images)
    found = attack(model, batch, References(features))
    assert attack.linf is None
    for row, (height, width) in enumerate(SIZES):
        moved = (found.images - batch.images)[row, :, :height, :width]
        assert EPS * 0.8 < float(moved.pow(2).mean().sqrt()) <= EPS + 1e-9


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_class_that_cannot_be_right_is_refused_with_the_reason(name):
    with pytest.raises(ConfigError, match=f"torchattacks' {name} is not run on a metric: "):
        build_attack("torchattacks", eps=EPS, attack=name)


def test_every_class_of_torchattacks_is_run_or_refused():
    classes = {name for name, value in vars(torchattacks).items() if isinstance(value, type)}
    assert classes - {"MultiAttack", "LGV"} <= {*METHODS, *REFUSED}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"attack": "VMIFGS"}, "did you mean 'VMIFGSM'"),
        ({"attack": "APGD"}, "give it as the option tau"),
        ({"attack": "APGD", "tau": -1.0}, "above 0"),
        ({"attack": "BIM", "tau": 0.5}, "leave the option tau out"),
        ({"attack": "FGSM", "steps": 3}, "FGSM does not use steps"),
        ({"attack": "FGSM", "step_size": 0.01}, "does not use step_size"),
        ({"attack": "PGD", "momentum": 1.0}, "PGD does not use momentum"),
        ({"attack": "PGD", "kwargs": {"alpha": 0.1}}, "is set by step_size"),
        ({"attack": "PGD", "kwargs": {"eps": 0.1}}, "is set by eps"),
        ({"attack": "VMIFGSM", "kwargs": {"betta": 1}}, "did you mean 'beta'"),
        ({"attack": "UPGD", "kwargs": {"loss": "dlr"}}, "loss='ce' only"),
        ({"attack": "APGD", "tau": 0.5, "kwargs": {"norm": "L2"}}, "norm='Linf' only"),
    ],
)
def test_wrong_options_are_named(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_attack("torchattacks", eps=EPS, **options)


def test_without_torchattacks_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    with pytest.raises(ConfigError, match="pip install torchattacks"):
        build_attack("torchattacks", eps=EPS)


def test_references_and_still_images_are_needed(model, images, features):
    attack, batch = build("FGSM"), make_batch(images)
    with pytest.raises(ConfigError, match="needs references"):
        attack(model, batch)
    with pytest.raises(DataError, match="no reference"):
        attack(model, batch, References(features, targets={"2": 9}))
    with pytest.raises(ConfigError, match="still images"):
        attack(model, Batch(torch.rand(1, 2, 3, 8, 4)), References(features))


def test_it_is_chosen_and_described_from_a_config():
    cfg = default_config()
    cfg.merge_from_list(
        [
            *("adv.attack.name", "torchattacks", "adv.attack.step_size", 2.0),
            *("adv.attack.options", {"attack": "VNIFGSM", "kwargs": {"N": 3}}),
        ]
    )
    check(cfg)
    facts = configured_attack(cfg).describe()
    assert (facts["torchattacks"], facts["eps"], facts["step_size"]) == ("VNIFGSM", 5, 2)
    assert facts["options"] == {"N": 3}
