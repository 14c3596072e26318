"""The contract checks pass on what we ship and fail on what breaks a promise."""

import dataclasses
from pathlib import Path

import pytest
import torch

from torchreid_adv import registry
from torchreid_adv.attacks import build_attack
from torchreid_adv.attacks.learned.generator import GeneratedNoise, save_generator
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.defenses import Defense, build_defense
from torchreid_adv.testing import check_attack, check_defense, check_transform

OURS = [
    name
    for name in registry.TRANSFORMS
    if registry.TRANSFORMS.get(name).__module__.startswith("torchreid_adv.")
]

MIXED = ("gray", "gray_fusion", "sketch_fusion", "augment", "lht")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The file of a universal perturbation, for what applies one."""
    perturbation = UniversalPerturbation(8 / 255, size=(16, 8))
    perturbation.randomize([torch.Generator()])
    path = tmp_path_factory.mktemp("learned") / "universal.safetensors"
    save_universal(path, perturbation)
    return str(path)


@pytest.fixture(scope="module")
def files(learned):
    """The files of what was learned before, by the attack that applies them."""
    path = str(Path(learned).with_name("generator.safetensors"))
    save_generator(path, GeneratedNoise(8 / 255, size=(16, 8), filters=2, blocks=1))
    return {"universal": learned, "mis_ranking": path}


@pytest.mark.parametrize("name", list(registry.ATTACKS))
@pytest.mark.parametrize("targeted", [False, True])
def test_every_attack_keeps_its_promises(name, targeted, files):
    known = registry.ATTACKS.options(name)
    if targeted and "targeted" not in known:
        pytest.skip("has no target")
    wanted = {"targeted": targeted, "queries": 60, "weights": files.get(name)}
    options = {key: value for key, value in wanted.items() if key in known}
    options |= {"steps": 20} if name == "apgd" else {}
    check_attack(build_attack(name, eps=8 / 255, **options))


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_every_transform_keeps_its_promises(name, p, learned):
    known = registry.TRANSFORMS.options(name)
    mixed = [option for option in MIXED if option in known]
    options = {"p": p} if "p" in known else {option: p / len(mixed) for option in mixed}
    options |= {"weights": learned} if "weights" in known else {}
    transform = registry.TRANSFORMS.build(name, **options)
    check_transform(transform, stage=registry.TRANSFORMS.facts(name)["stage"])


DEFENSES = [
    *((name, {}) for name in registry.DEFENSES),
    ("circuitous_scaling", {"preset": "jad3", "exact": True}),
    ("circuitous_scaling", {"preset": "jad2", "randomized": 10}),
    ("circuitous_scaling", {"preset": "A", "mode": "bilinear", "exact": True, "randomized": 5}),
    ("rrp_paper", {"exact": True}),
    ("rrp_paper", {"place": "random"}),
    ("rrp_paper", {"place": "random", "exact": True}),
]


@pytest.mark.parametrize(("name", "options"), DEFENSES)
def test_every_defense_keeps_its_promises(name, options):
    check_defense(build_defense(name, **options))


class Flawed(Defense):
    """Darkens; its subclasses have one defect each."""

    def exact(self, images, drawn=None):
        return images * 0.9


class Bright(Flawed):
    def exact(self, images):
        return images * 2


class InPlace(Flawed):
    def exact(self, images):
        return images.mul_(0.9)


class Flat(Flawed):
    def exact(self, images):
        return images.round(decimals=1)


class Wrong(Flawed):
    """Its gradient is that of something else."""

    def exact(self, images):
        return images.detach() * 0.9 + (images * 0.3 - images.detach() * 0.3)


class Together(Flawed):
    def exact(self, images):
        return images * images.mean()


class SaysRandom(Flawed):
    random = True

    def draw(self, height, width, generator):
        return 0


class Secret(Flawed):
    """Draws from torch's own generator."""

    def exact(self, images):
        return images * float(torch.rand(()))


class Vanishing(Flawed):
    differentiable = False

    def surrogate(self, images):
        return images * 0


class Trains(Flawed):
    def exact(self, images):
        self.eval()
        return images * 0.9


class Averages(Flawed):
    aggregates = True


@pytest.mark.parametrize(
    ("defense", "sentence"),
    [
        (Bright, "leave .0, 1"),
        (InPlace, "changed in place"),
        (Flat, "gradient is zero"),
        (Wrong, "differences say"),
        (Together, "depends on its neighbors"),
        (SaysRandom, "random=True, which is not so"),
        (Secret, "random state"),
        (Vanishing, "gradient is zero"),
        (Trains, "train flag"),
        (Averages, "aggregates means"),
    ],
)
def test_a_broken_defense_is_found(defense, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_defense(defense())


def test_a_defense_that_keeps_its_promises_passes():
    check_defense(Flawed())


class Broken:
    """I-FGSM with one defect."""

    def __init__(self, defect):
        self.inner, self.defect = build_attack("ifgsm", eps=8 / 255), defect
        self.linf, self.name = 8 / 255, "broken"

    def __call__(self, model, batch, references=None):
        found = self.inner(model, batch, references)
        return self.defect(model, batch, found)


def beyond(model, batch, found):
    return dataclasses.replace(found, images=(found.images + 0.05).clamp(0, 1))


def in_place(model, batch, found):
    batch.images.add_(0)
    batch.images[0, 0, 0, 0] = 0.5
    return found


def evaluates(model, batch, found):
    model.eval()
    return found


def draws(model, batch, found):
    torch.rand(1)
    return found


def neighbors(model, batch, found):
    if len(batch) == 1:
        return dataclasses.replace(found, images=batch.images)
    return found


def idle(model, batch, found):
    return dataclasses.replace(found, images=batch.images, after=found.before)


@pytest.mark.parametrize(
    ("defect", "sentence"),
    [
        (beyond, "more than linf"),
        (in_place, "changed in place"),
        (evaluates, "train flag"),
        (draws, "random state"),
        (neighbors, "depends on its neighbors"),
        (idle, "no image's objective rose"),
    ],
)
def test_a_broken_attack_is_found(defect, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_attack(Broken(defect))


class Unseeded:
    """Draws from a generator of its own."""

    generator = torch.Generator()

    def __call__(self, image):
        return image.rotate(int(torch.randint(4, (1,), generator=self.generator)) * 180)


def test_a_transform_that_ignores_the_seed_is_found():
    with pytest.raises(AssertionError, match="same seed"):
        check_transform(Unseeded())


def test_a_transform_of_a_local_class_is_found():
    class Local(Unseeded):
        pass

    with pytest.raises(AssertionError, match="imported"):
        check_transform(Local())


def test_each_check_says_what_it_has_checked():
    attacked = check_attack(build_attack("fgsm", eps=4 / 255))
    assert "images of 20x9, 17x12, 24x8: the attack " in attacked
    assert "within linf" in attacked
    assert "the defense " in check_defense(build_defense("jpeg", quality=50))
    assert "the transform " in check_transform(registry.TRANSFORMS.build("channel_fusion", p=0.5))
