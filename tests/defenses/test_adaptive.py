"""Attacks through defenses: gradients over draws, seeds, and what is left alone."""

import pytest
import torch
from torch import nn

from torchreid_adv.attacks import build_attack
from torchreid_adv.attacks.loop.gradients import Expectation, exact, expectation
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.core.batch import Batch, pad
from torchreid_adv.defenses import Defended, Defense, build_defense
from torchreid_adv.defenses.base import other_draws
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel

SIZES = [(20, 9), (17, 12), (24, 8)]


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d((4, 2)), nn.Flatten()
        )

    def forward(self, images):
        return self.layers(images)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PixelModel(Toy().double(), size=(16, 10)).eval()


def crops():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randint(256, (3, h, w), generator=generator) / 255).double() for h, w in SIZES]


def batch_of(rows=range(3)):
    canvas, sizes = pad([crops()[row] for row in rows])
    return Batch(canvas, sizes=sizes, image_ids=tuple(f"i{row}" for row in rows))


class Shifted(Defense):
    """Adds a number of its own to each image."""

    random = True

    def draw(self, height, width, generator):
        return float(torch.rand((), generator=generator))

    def exact(self, images, drawn):
        return images * drawn


def test_an_expectation_is_the_mean_over_draws():
    batch = Batch(torch.stack([crops()[0], crops()[0].flip(1)]))
    perturbation, defense = LinfDelta(0.1), Shifted()
    perturbation.reset(batch)

    def losses(images):
        return defense(images).flatten(1).pow(2).sum(1)

    found = expectation(4)(losses, perturbation, batch.images)
    each = []
    for number in range(4):
        with other_draws("sample", number):
            each.append(defense(batch.images).amax((1, 2, 3)) / batch.images.amax((1, 2, 3)))
    factors = torch.stack(each)
    assert factors.std(0).min() > 0.01
    squares = batch.images.flatten(1).pow(2).sum(1)
    assert torch.allclose(found, factors.pow(2).mean(0) * squares)
    wanted = 2 * batch.images * factors.pow(2).mean(0).view(2, 1, 1, 1)
    assert torch.allclose(perturbation.images.grad, wanted)


def test_an_expectation_of_one_draw_is_that_draw():
    assert expectation(1) is exact
    outer = Expectation(3)
    assert expectation(5, of=outer) is outer
    with pytest.raises(ConfigError, match="one draw or more"):
        Expectation(0)


@pytest.mark.parametrize("attack", ["lta", "sma"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("circuitous_scaling", {"sizes": [[9, 5]], "randomized": 20}), ("jpeg", {"quality": 30})],
)
def test_an_image_is_attacked_as_it_would_be_alone(model, name, options, attack):
    if name == "circuitous_scaling":
        options = {**options, "final": [16, 10]}
    defended = Defended(build_defense(name, **options), model, eot_samples=3)
    attack = build_attack(attack, eps=8 / 255, steps=3)
    together = attack(defended, batch_of()).images
    for row, (height, width) in enumerate(SIZES):
        alone = attack(defended, batch_of([row])).images[0]
        assert torch.allclose(alone, together[row, :, :height, :width], rtol=0, atol=1e-9)


def test_the_attack_never_sees_the_deployed_draws(model):
    seen = []

    class Watched(Shifted):
        def draw(self, height, width, generator):
            seen.append(generator.initial_seed())
            return super().draw(height, width, generator)

    defense = Watched()
    image = crops()[0][None]
    defense(image)
    (deployed,) = seen
    seen.clear()
    attack = build_attack("sma", eps=8 / 255, steps=2)
    attack(Defended(defense, model, eot_samples=4), Batch(image))
    in_steps = seen[-9:]  # two steps of four draws, and the end
    assert len(set(in_steps)) == 9
    assert deployed not in in_steps


def test_random_state_flags_and_input_are_left_alone(model):
    defended = Defended(build_defense("rrp_xie", final=[16, 10]), model, draws=2).train()
    batch, state = batch_of(), torch.get_rng_state()
    clean, flags = batch.images.clone(), [m.training for m in defended.modules()]
    build_attack("sma", eps=8 / 255, steps=2)(defended, batch)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(batch.images, clean)
    assert [m.training for m in defended.modules()] == flags


def test_averaging_over_draws_helps_against_a_random_defense(model):
    defense = build_defense("circuitous_scaling", sizes=[[8, 5]], final=[16, 10], randomized=50)
    attack, batch = build_attack("sma", eps=8 / 255, steps=6), batch_of([0])

    def moved(samples):
        images = attack(Defended(defense, model, eot_samples=samples), batch).images
        models = [Defended(defense.reseeded(seed), model) for seed in range(1, 30)]
        with torch.no_grad():
            far = [(one(images) - one(batch.images)).pow(2).sum() for one in models]
        return float(torch.stack(far).mean())

    assert moved(10) > moved(1)
