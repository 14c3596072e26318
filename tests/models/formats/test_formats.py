"""Every family: features of its source's own extractor, a gradient, an attack, and refusals.

``python -m pytest tests/models/formats -m "" -s`` prints the table. Where a source's package or
checkout is missing, the recorded features of its own code still are compared.
"""

import functools
import json

import pytest
import torch
from format_cases import drawn, images, layout, unit
from format_families import BY_NAME, CASES

import torchreid_adv as adv
from torchreid_adv.data.batch import Batch
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.base import black_box
from torchreid_adv.models.entries import parse_entry, written

EXACT, NEAR = 1e-5, 1e-3
NAMES = [pytest.param(case.name, marks=pytest.mark.slow if case.slow else ()) for case in CASES]
ROWS = {}


def case_of(name):
    case = BY_NAME[name]
    if case.lacking():
        pytest.skip(f"the package '{case.lacking()}' is not installed")
    return case


@pytest.fixture(scope="module")
def entry_of(tmp_path_factory):
    @functools.cache
    def write(name):
        case = BY_NAME[name]
        folder = tmp_path_factory.mktemp(name)
        return case.write(drawn(case.shapes()) | case.kept(), folder)

    return write


@functools.lru_cache(maxsize=1)
def loaded(entry):
    return adv.load_model(entry, device="cpu")


def with_options(entry, *options):
    head, _, source = entry.partition(":")
    return "@".join([head, *options]) + f":{source}"


def of_files(model, pictures=None):
    transform = model.file_transform()
    with torch.no_grad():
        return model.of_files([transform(picture) for picture in pictures or images()], **labels(model, len(pictures or images())))


def labels(model, count):
    return {"camera": torch.arange(count) % 2} if getattr(model, "camera", False) else {}


def pixels():
    canvas = torch.zeros(3, 3, 140, 64)
    sizes = []
    for row, picture in zip(canvas, images(), strict=True):
        levels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        levels = levels.view(picture.height, picture.width, 3).permute(2, 0, 1)
        row[:, : picture.height, : picture.width] = levels / 255
        sizes.append((picture.height, picture.width))
    return canvas, torch.tensor(sizes)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_the_source(name, entry_of):
    case = case_of(name)
    model, expected = loaded(entry_of(name)), case.features()
    found = unit(of_files(model))
    distance = float((found - expected).abs().max())
    row = ROWS.setdefault(name, {})
    row["features"], row["images"] = distance, float((expected[0] - expected[1]).abs().max())
    assert distance <= EXACT
    alone = torch.cat([unit(of_files_one(model, n)) for n in range(3)])
    assert float((alone - found).abs().max()) <= EXACT
    assert float((expected[0] - expected[1]).abs().max()) > 10 * EXACT


def of_files_one(model, number):
    transform = model.file_transform()
    extra = {"camera": torch.tensor([number % 2])} if getattr(model, "camera", False) else {}
    with torch.no_grad():
        return model.of_files([transform(images()[number])], **extra)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_give_nearly_the_same_and_a_gradient_that_attacks_use(name, entry_of):
    model = loaded(entry_of(name)).requires_grad_(False)
    case_of(name)
    canvas, sizes = pixels()
    before = canvas.clone()
    expected = of_files(model)
    if black_box(model):
        with torch.no_grad():
            features = model(canvas, sizes=sizes)
        ROWS.setdefault(name, {})["forward"] = float((unit(features) - unit(expected)).abs().max())
        return
    inputs = canvas.clone().requires_grad_()
    features = model(inputs, sizes=sizes, **labels(model, 3))
    row = ROWS.setdefault(name, {})
    row["forward"] = float((unit(features) - unit(expected)).abs().max())
    assert row["forward"] <= NEAR
    (gradient,) = torch.autograd.grad(features.square().sum(), inputs)
    assert gradient.isfinite().all()
    blocks = torch.nn.functional.avg_pool2d(gradient.abs()[1:2, :, :128], 16)
    row["gradient"] = float((blocks.sum(1) > 0).float().mean())
    assert row["gradient"] == 1
    attack = adv.build_attack("sma", eps=8 / 255, steps=2)
    batch = Batch(before, sizes=sizes, camids=torch.arange(3) % 2)
    attacked = attack(model, batch).images
    with torch.no_grad():
        moved = unit(model(attacked, sizes=sizes, **labels(model, 3))) - unit(expected)
        noise = (before + 8 / 255 * torch.randn(before.shape).sign()).clamp(0, 1)
        drifted = unit(model(noise, sizes=sizes, **labels(model, 3))) - unit(expected)
    row["attack"] = float(moved.norm(dim=1).mean() / drifted.norm(dim=1).mean())
    assert row["attack"] > 1
    assert torch.equal(canvas, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_another_resize_gives_other_features(name, entry_of):
    case = case_of(name)
    other = adv.load_model(with_options(entry_of(name), case.other), device="cpu")
    distance = float((unit(of_files(other)) - case.features()).abs().max())
    ROWS.setdefault(name, {})["other resize"] = distance
    assert distance > EXACT


def broken(state, drop):
    """Return states with one fault each."""
    without = {name: value for name, value in state.items() if name != drop}
    return {
        "dropped": without,
        "renamed": {**without, f"{drop}_": state[drop]},
        "nan": {**state, drop: torch.full_like(state[drop], float("nan"))},
        "shape": {**state, drop: torch.cat([state[drop], state[drop]])},
    }


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["dropped", "renamed", "nan", "shape"])
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_file_that_lacks_something_is_refused(name, fault, tmp_path):
    case = case_of(name)
    if not case.drop:
        pytest.skip("a file of a program has no names")
    state = broken(drawn(case.shapes()) | case.kept(), case.drop)[fault]
    with pytest.raises(ConfigError):
        adv.load_model(case.write(state, tmp_path), device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_the_recorded_features_are_those_of_the_source_today(name):
    case = case_of(name)
    state, features = case.source()
    assert layout(state) == case.shapes()
    assert float((unit(features(images())) - case.features()).abs().max()) <= EXACT


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_read_as_it_is_written(name, entry_of):
    case_of(name)
    entry = parse_entry(entry_of(name))
    again = parse_entry(f"{written(entry.name, entry)}:{entry.source}")
    assert again == entry


def test_every_record_has_its_family():
    for case in CASES:
        assert json.loads(json.dumps(case.shapes()))
        assert len(case.features()) == 3
