"""Networks of levels and of another number format: what they are given, and what they refuse."""

import numpy as np
import pytest
import torch
from PIL import Image
from scripts import tiny_model  # registers the network
from torch import nn

import torchreid_adv as adv
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.pixel_model import black_box

SEEN = []


class Levels(nn.Module):
    """The mean color of whole levels; remembers what it was given."""

    def forward(self, images):
        SEEN.append(images)
        return images.float().mean((2, 3))


def levels():
    return Levels()


def arrays():
    """Return a function, as an image library has one: it divides and answers in float64."""

    def embed(images):
        SEEN.append(images)
        return images.mean(axis=(1, 2)) / 255

    return embed


@pytest.fixture(autouse=True)
def seen():
    SEEN.clear()
    return SEEN


def picture():
    draws = np.random.default_rng(0)
    return Image.fromarray(draws.integers(0, 256, (64, 32, 3), dtype=np.uint8))


def features(model):
    return model.of_files([model.file_transform()(picture())])


def test_a_network_of_levels_is_given_the_file_s_own_levels(seen):
    model = adv.load_model(f"python@64x32@input=uint8:{__name__}:levels", device="cpu")
    found = features(model)
    (given,) = seen[-1:]
    assert given.dtype == torch.uint8
    assert np.array_equal(given[0].permute(1, 2, 0).numpy(), np.array(picture()))
    assert torch.allclose(found[0], torch.tensor(np.array(picture())).float().mean((0, 1)))
    images = torch.tensor(np.array(picture())).permute(2, 0, 1)[None] / 255
    assert torch.equal(model(images), found)


def test_a_function_of_arrays_has_the_layout_of_image_libraries(seen):
    entry = f"python@64x32@input=numpy@order=bgr:{__name__}:arrays"
    model = adv.load_model(entry, device="cpu")
    found = features(model)
    given = seen[-1]
    assert given.dtype == np.uint8
    assert np.array_equal(given[0], np.array(picture())[:, :, ::-1])
    assert found.dtype == torch.float32
    assert torch.allclose(found[0].double(), torch.tensor(given[0].mean((0, 1)) / 255))
    assert "input=numpy" in repr(model)


def test_levels_have_no_gradient_and_are_attacked_by_answers():
    model = adv.load_model(f"python@64x32@input=uint8:{__name__}:levels", device="cpu")
    assert "whole levels" in black_box(model)
    images = torch.randint(60, 190, (2, 3, 64, 32), dtype=torch.uint8)
    moved = adv.build_attack("square", eps=8 / 255, queries=20)(model, images, pids=[1, 1])
    assert 0 < int((moved.int() - images.int()).abs().max()) <= 8


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (f"python@64x32@0.5/0.5@input=uint8:{__name__}:levels", "not normalized"),
        (f"python@64x32@range=1@input=uint8:{__name__}:levels", "not normalized"),
        (f"python@64x32:{__name__}:arrays", r"torch\.nn\.Module"),
        (f"python@64x32@input=floats:{__name__}:levels", "input is one of float, uint8, numpy"),
        (f"python@64x32@dtype=fp8:{__name__}:levels", "dtype is one of float32, half, bf16"),
    ],
)
def test_what_does_not_fit_is_refused(entry, words):
    with pytest.raises(ConfigError, match=words):
        adv.load_model(entry, device="cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.manual_seed(0)
    torch.save(tiny_model.Tiny().state_dict(), path)
    return path


@pytest.mark.parametrize(("name", "dtype"), [("half", torch.float16), ("bf16", torch.bfloat16)])
def test_a_network_runs_in_the_format_that_is_said(weights, name, dtype):
    whole = adv.load_model(f"tiny@64x32:{weights}", device="cpu")
    less = adv.load_model(f"tiny@64x32@dtype={name}:{weights}", device="cpu")
    assert {p.dtype for p in less.network.parameters()} == {dtype}
    exact, found = features(whole), features(less)
    assert found.dtype == torch.float32
    distance = float((exact - found).norm() / exact.norm())
    assert 0 < distance < 0.05
    images = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    moved = adv.build_attack("ifgsm", eps=8 / 255, steps=2)(less, images, pids=[1, 1])
    assert float((moved - images).abs().max()) > 0


def test_a_stored_half_network_is_attacked_in_float32(weights, tmp_path):
    half = {name: value.half() for name, value in torch.load(weights).items()}
    torch.save(half, tmp_path / "half.pth")
    model = adv.load_model(f"tiny@64x32@dtype=float32:{tmp_path / 'half.pth'}", device="cpu")
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}


def test_a_program_computes_as_it_was_written(tmp_path):
    network = torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Flatten()))
    torch.jit.save(network.eval(), tmp_path / "net.pt")
    with pytest.raises(ConfigError, match="leave @dtype out"):
        adv.load_model(f"torchscript@64x32@dtype=half:{tmp_path / 'net.pt'}", device="cpu")
