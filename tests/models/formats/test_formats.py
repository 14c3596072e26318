"""Every family: features of its source's own extractor, a gradient, an attack, and refusals.

``python -m pytest tests/models/formats -m "" -s`` prints the table. Where a source's package or
checkout is missing, the recorded features of its own code still are compared.
"""

import json
import shutil

import pytest
import torch
from format_cases import drawn, images, layout, unit
from format_families import BY_NAME, CASES
from torch.nn import functional as F

import torchreid_adv as adv
from torchreid_adv.core.batch import Batch
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.entries import parse_entry, written
from torchreid_adv.models.pixel_model import black_box

EXACT = 1e-5  # of unit features
NAMES = [pytest.param(case.name, marks=pytest.mark.slow if case.slow else ()) for case in CASES]
ROWS = {}


def case_of(name):
    case = BY_NAME[name]
    if case.lacking():
        pytest.skip(f"the package '{case.lacking()}' is not installed")
    return case


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("formats")


def entry_in(case, folder):
    place = folder / case.name
    place.mkdir(exist_ok=True)
    return case.write(drawn(case.shapes()) | case.kept(), place)


@pytest.fixture(scope="module", params=NAMES)
def family(request, folder):
    """A family's case, its entry, its model, and the model's features of the files."""
    case = case_of(request.param)
    entry = entry_in(case, folder)
    model = adv.load_model(entry, device="cpu").requires_grad_(False)
    yield case, entry, model, of_files(model)
    shutil.rmtree(folder / case.name)


def with_options(entry, *options):
    head, _, source = entry.partition(":")
    names = {option.partition("=")[0] for option in options}
    kept = [part for part in head.split("@") if part.partition("=")[0] not in names]
    return "@".join([*kept, *options]) + f":{source}"


def of_files(model, pictures=None):
    transform = model.file_transform()
    with torch.no_grad():
        inputs = [transform(picture) for picture in pictures or images()]
        return model.of_files(inputs, **labels(model, len(inputs)))


def labels(model, count):
    return {name: torch.arange(count) % 2 for name in model.record_labels}


def pixels():
    canvas = torch.zeros(3, 3, 140, 64)
    sizes = []
    for row, picture in zip(canvas, images(), strict=True):
        levels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        levels = levels.view(picture.height, picture.width, 3).permute(2, 0, 1)
        row[:, : picture.height, : picture.width] = levels / 255
        sizes.append((picture.height, picture.width))
    return canvas, torch.tensor(sizes)


def test_features_are_those_that_the_source_gave(family):
    case, entry, model, found = family
    expected, found = case.features(), unit(found)
    distance = float((found - expected).abs().max())
    row = ROWS.setdefault(case.name, {})
    row["features"], row["images"] = distance, float((expected[0] - expected[1]).abs().max())
    assert distance <= case.machine
    assert float((unit(of_files(model, images()[:1])) - found[:1]).abs().max()) <= EXACT
    assert float((expected[0] - expected[1]).abs().max()) > 10 * EXACT
    again = parse_entry(entry)
    assert parse_entry(f"{written(again.name, again)}:{again.source}") == again


def test_pixels_give_nearly_the_same_and_a_gradient_that_attacks_use(family):
    case, _, model, expected = family
    canvas, sizes = pixels()
    row, before = ROWS.setdefault(case.name, {}), canvas.clone()
    with torch.no_grad():
        features = model(canvas, sizes=sizes, **labels(model, 3))
    row["forward"] = float((unit(features) - unit(expected)).abs().max())
    assert row["forward"] <= case.near * float(
        (case.features()[0] - case.features()[1]).abs().max()
    )
    assert torch.equal(canvas, before)
    if black_box(model):
        return
    image = canvas[1:2, :, :128].clone().requires_grad_()  # noise, of a size that fills its canvas
    own = labels(model, 1)
    clean = model(image, **own)
    toward = torch.linspace(-1, 1, clean.shape[1])
    (gradient,) = torch.autograd.grad((F.normalize(clean, dim=1) * toward).sum(), image)
    assert gradient.isfinite().all()
    blocks = F.avg_pool2d(gradient.abs().sum(1, keepdim=True), 16)
    row["gradient"] = float((blocks > 0).float().mean())
    assert row["gradient"] == 1
    attack = adv.build_attack("sma", eps=8 / 255, steps=1)
    attacked = attack(model, Batch(image.detach(), camids=torch.zeros(1, dtype=torch.int64)))
    draws = torch.Generator().manual_seed(0)
    noise = (image + 8 / 255 * torch.randn(image.shape, generator=draws).sign()).clamp(0, 1)
    with torch.no_grad():
        moved, drifted = (
            float((unit(model(other, **own)) - unit(clean)).norm())
            for other in (attacked.images, noise)
        )
    row["attack"] = moved / drifted
    assert row["attack"] > 1
    assert torch.equal(image.detach(), before[1:2, :, :128])


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_another_resize_gives_other_features(name, tmp_path):
    case = case_of(name)
    entry = entry_in(case, tmp_path)
    other = adv.load_model(with_options(entry, case.other), device="cpu")
    distance = float((unit(of_files(other)) - case.features()).abs().max())
    ROWS.setdefault(name, {})["other resize"] = distance
    assert distance > max(EXACT, 2 * case.machine)


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
def test_features_are_those_that_the_source_gives_today(name, tmp_path):
    case = case_of(name)
    state, features = case.source()
    assert layout(state) == case.shapes()
    expected = unit(features(images()))
    assert float((expected - case.features()).abs().max()) <= case.machine
    model = adv.load_model(entry_in(case, tmp_path), device="cpu")
    distance = float((unit(of_files(model)) - expected).abs().max())
    ROWS.setdefault(name, {})["source"] = distance
    assert distance <= EXACT


def test_every_record_has_its_family():
    for case in CASES:
        assert json.loads(json.dumps(case.shapes()))
        assert len(case.features()) == 3
