"""What holds for all of them: draws, seeds, workers, wrong input, wrong options."""

import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.random_transform import Mixture, RandomTransform

OURS = [
    name
    for name in TRANSFORMS
    if TRANSFORMS.get(name).__module__.startswith("torchreid_adv.")
    and not TRANSFORMS.facts(name).get("learned")  # from a file, and tested with it
]
MIXED = ("color", "diversity", "diversity_global")
FUSED = ("channel_fusion", "color", "lht", "diversity", "diversity_global")


def always(name: str) -> RandomTransform:
    """The transform with all it can do, and little of doing nothing."""
    if name not in MIXED:
        return TRANSFORMS.build(name, p=1.0)
    known = ("gray", "gray_fusion", "sketch_fusion", "augment", "lht")
    options = [option for option in TRANSFORMS.options(name) if option in known]
    return TRANSFORMS.build(name, **dict.fromkeys(options, 1 / len(options)))


@pytest.mark.parametrize("name", OURS)
def test_draws_follow_the_generator_and_can_be_replayed(name, image):
    transform = always(name)

    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        return [transform.draw(64, 32, generator) for _ in range(5)]

    assert drawn(3) == drawn(3)
    if name not in ("grayscale", "sketch"):
        assert drawn(3) != drawn(4)
    torch.manual_seed(3)
    called = [transform(image) for _ in range(5)]
    replayed = [transform.apply(image, d) for d in drawn(3)]
    assert [i.tobytes() for i in called] == [i.tobytes() for i in replayed]


def test_a_spawned_worker_makes_the_same_of_the_same_draws(image):
    transforms = {name: always(name) for name in OURS}
    torch.manual_seed(0)
    drawn = [(n, t.draw(64, 32)) for n, t in transforms.items() for _ in range(6)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = [pool.apply_async(transforms[n].apply, (image, d)) for n, d in drawn]
        there = [result.get(timeout=120).tobytes() for result in there]
    assert there == [transforms[n].apply(image, d).tobytes() for n, d in drawn]
    assert pickle.loads(pickle.dumps(drawn)) == drawn


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_modes_than_rgb_are_refused(name, mode):
    with pytest.raises(ConfigError, match=f"takes RGB images, got Pillow mode '{mode}'"):
        always(name)(Image.new(mode, (32, 64)))


@pytest.mark.parametrize("name", sorted({*OURS} - {"grayscale", "lgt"}))
def test_tensors_and_arrays_are_refused_where_they_are_not_taken(name):
    for wrong in (torch.zeros(3, 64, 32), np.zeros((64, 32, 3), np.uint8)):
        with pytest.raises(ConfigError, match="before ToTensor"):
            always(name)(wrong)


@pytest.mark.parametrize("name", ["grayscale", "lgt"])
def test_gray_takes_tensors_of_images_only(name):
    assert always(name)(torch.rand(2, 3, 64, 32)).shape == (2, 3, 64, 32)
    with pytest.raises(ConfigError, match=r"got shape \(1, 64, 32\)"):
        always(name)(torch.rand(1, 64, 32))
    with pytest.raises(ConfigError, match="got a ndarray"):
        always(name)(np.zeros((64, 32, 3)))


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 3)])
def test_tiny_images_pass(name, size):
    transform, tiny = always(name), Image.new("RGB", size, "teal")
    torch.manual_seed(0)
    assert {transform(tiny).size for _ in range(50)} == {size}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sketch", {"p": -0.1}, "p is a probability"),
        ("sketch", {"p": "often"}, "p is a probability"),
        ("sketch", {"p": float("nan")}, "p is a probability"),
        ("channel_fusion", {"p": 2}, "p is a probability"),
        ("channel_fusion", {"sketch": 1.1, "mode": "code"}, "sketch is a probability"),
        ("pad_crop", {"padding": 0}, "1 or more; got 0"),
        ("lht", {"p": True}, "p is a probability"),
        ("lht", {"gray": 0.9}, "add up to 1.7"),
        ("lht", {"area_min": 0.0}, "area_min"),
        ("lht", {"ratio_min": "tall"}, "ratio_min is a number"),
        ("color", {"gray": -0.05}, "gray is a probability"),
        ("color", {"gray": 0.99, "gray_fusion": 0.02}, "add up to 1.02"),
        ("diversity", {"lht": 0.9}, "add up to 1.02"),
        ("diversity", {"lht": None}, "lht is a probability"),
        ("diversity_global", {"lht": 0.1}, "no option 'lht'"),
        *[(name, {"mode": "papr"}, "did you mean 'paper'") for name in FUSED],
        *[(name, {"mode": "code", "keep_order": True}, "always shuffles") for name in FUSED],
    ],
)
def test_bad_options_are_refused(name, options, words):
    with pytest.raises(ConfigError, match=words):
        TRANSFORMS.build(name, **options)


def test_a_mixture_draws_each_name_with_its_probability():
    mixture, generator = Mixture({"a": 0.5, "b": 0.0, "c": 0.3}), torch.Generator().manual_seed(0)
    drawn = [mixture.draw(generator) for _ in range(10_000)]
    found = [drawn.count(name) / len(drawn) for name in ("a", "b", "c", None)]
    assert found == pytest.approx([0.5, 0, 0.3, 0.2], abs=0.02)


class ToLevels:
    """What a plugin might do: one channel is left."""

    def __call__(self, image):
        return image.convert("L")


class Fails:
    """A plugin that has trouble with the image it is tried on."""

    calls = 0

    def __call__(self, image):
        self.calls += 1
        raise RuntimeError("needs a person")


@pytest.fixture
def entries():
    TRANSFORMS.register("to_levels", stage="pil")(ToLevels)
    TRANSFORMS.register("late_color", stage="tensor")(TRANSFORMS.get("color"))
    TRANSFORMS.register("fails", stage="pil")(Fails)
    yield
    for name in ("to_levels", "late_color", "fails"):
        TRANSFORMS.remove(name)


def build(names):
    with installed():
        return torchreid_module("data.transforms").build_transforms(64, 32, names)


def test_what_comes_before_is_held_against_what_is_taken_before_training(entries):
    with pytest.raises(ConfigError, match="Color takes RGB images, got Pillow mode 'L'"):
        build(["to_levels", "color"])
    with pytest.raises(ConfigError, match="belongs before ToTensor"):
        build(["late_color"])
    build(["color", "to_levels"])


def test_the_trial_leaves_no_trace_and_no_judgment_on_plugins(entries):
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train, _ = build(["fails", "diversity"])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    (plugin,) = (t for t in train.transforms if isinstance(t, Fails))
    assert plugin.calls == 0


def test_the_log_says_the_probabilities(entries, capsys):
    build(["diversity_global", "sketch"])
    lines = capsys.readouterr().out.splitlines()
    assert "+ sketch (p=0.01)" in lines
    wanted = "(gray=0.05, gray_fusion=0.01, sketch_fusion=0.01, augment=0.05)"
    assert f"+ diversity learning without LHT {wanted}" in lines
