"""Resizes: exact on files, near in the forward pass, and the entries that choose them."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms as T

from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.preprocessing import Preprocessing
from torchreid_adv.models.resizing import RESIZES, FileResize, Resize, fitted

SIZE = (64, 32)
SIZES = [(140, 61), (128, 64), (20, 10), (64, 100), (64, 32)]
# levels by which the differentiable resize may be away from the one of files
BOUND = {"pillow": 1.01, "bicubic": 1.2, "cv2": 0.8, "cv2_cubic": 0.6}


def noise(height, width, seed=0):
    draws = np.random.default_rng(seed)
    return Image.fromarray(draws.integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].double() / 255


THEIRS = {
    "pillow": lambda image: T.Resize(SIZE)(image),
    "bicubic": lambda image: T.Resize(SIZE, interpolation=3)(image),
    "cv2": lambda image: cv2.resize(np.array(image), SIZE[::-1], interpolation=cv2.INTER_LINEAR),
    "cv2_cubic": lambda image: cv2.resize(
        np.array(image), SIZE[::-1], interpolation=cv2.INTER_CUBIC
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", THEIRS)
def test_files_are_resized_exactly_and_pixels_nearly(name, size):
    image = noise(*size)
    theirs = np.array(THEIRS[name](image))
    ours = np.array(FileResize(SIZE, name)(image))
    assert np.array_equal(ours, theirs)
    near = Resize(SIZE, name)(pixels(image).float())[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(near - theirs).max() <= BOUND[name]


def test_bicubic_makes_pillow_s_passes_in_its_order_for_any_sizes():
    draws = np.random.default_rng(1)
    for _ in range(40):
        h, w = (int(n) for n in draws.integers(10, 200, 2))
        target = tuple(int(n) for n in draws.integers(10, 130, 2))
        image = Image.fromarray(draws.integers(0, 2, (h, w, 3), dtype=np.uint8) * np.uint8(255))
        theirs = np.array(image.resize(target[::-1], Image.Resampling.BICUBIC))
        near = Resize(target, "bicubic")(pixels(image).float())[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(near - theirs).max() <= BOUND["bicubic"]


def test_one_pass_of_bicubic_is_far_from_pillow():
    image = noise(20, 10)
    theirs = np.array(THEIRS["bicubic"](image))
    one = torch.nn.functional.interpolate(
        pixels(image).float(), SIZE, mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)
    assert np.abs(one[0].permute(1, 2, 0).numpy() * 255 - theirs).max() > 5


@pytest.mark.parametrize("name", [name for name in RESIZES if name != "none"])
def test_gradients_of_resizes_are_those_of_differences(name):
    images = (torch.rand(1, 3, 12, 7, dtype=torch.float64) * 0.4 + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(Resize((8, 5), name), images)


@pytest.mark.parametrize("letterbox", ["center", "corner"])
@pytest.mark.parametrize("name", ["pillow", "cv2"])
@pytest.mark.parametrize("size", SIZES)
def test_letterboxes_keep_the_ratio_on_files_and_pixels(size, name, letterbox):
    image = noise(*size)
    settings = {"letterbox": letterbox, "pad": (124, 116, 104)}
    boxed = np.array(FileResize(SIZE, name, **settings)(image))
    inside = fitted(size, SIZE, letterbox)
    top, left = (0, 0)
    if letterbox == "center":
        top, left = (SIZE[0] - inside[0]) // 2, (SIZE[1] - inside[1]) // 2
    expected = np.empty((*SIZE, 3), dtype=np.uint8)
    expected[:] = (124, 116, 104)
    small = (
        image.resize(inside[::-1], Image.Resampling.BILINEAR)
        if name == "pillow"
        else cv2.resize(np.array(image), inside[::-1])
    )
    expected[top : top + inside[0], left : left + inside[1]] = np.array(small)
    assert np.array_equal(boxed, expected)
    near = Resize(SIZE, name, **settings)(pixels(image).float())
    assert np.abs(near[0].permute(1, 2, 0).numpy() * 255 - boxed).max() <= BOUND[name]


def test_images_of_another_size_are_refused_without_a_resize():
    with pytest.raises(DataError, match="20x10"):
        FileResize(SIZE, "none")(noise(20, 10))
    with pytest.raises(ConfigError, match="20x10"):
        Resize(SIZE, "none")(torch.rand(1, 3, 20, 10))
    assert FileResize(SIZE, "none")(noise(*SIZE)).size == SIZE[::-1]


class Flat(nn.Module):
    def forward(self, images):
        return images.flatten(1)


CHOICES = [
    {},
    {"order": "bgr"},
    {"range": 255, "mean": (123.0, 116.0, 103.0), "std": (58.0, 57.0, 56.0)},
    {"range": 255, "mean": (0, 0, 0), "std": (1, 1, 1), "order": "bgr", "resize": "cv2"},
    {"resize": "bicubic", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)},
    {"letterbox": "corner", "pad": (1, 2, 3)},
]


@pytest.mark.parametrize("settings", CHOICES)
def test_pixels_and_files_give_the_network_the_same_numbers(settings):
    model = PixelModel(Flat(), size=SIZE, **settings).eval()
    image = noise(*SIZE)
    transform = pickle.loads(pickle.dumps(model.file_transform()))
    by_file = model.of_files([transform(image)])
    by_pixels = model(pixels(image).float())
    scale = 255 if settings.get("range") == 255 else 1
    assert torch.allclose(by_file, by_pixels, atol=1e-5 * scale)
    mean = np.array(settings.get("mean", (0.485, 0.456, 0.406)), dtype=np.float64)
    std = np.array(settings.get("std", (0.229, 0.224, 0.225)), dtype=np.float64)
    expected = (np.array(image) / 255 * scale - mean) / std
    expected = expected[:, :, ::-1] if settings.get("order") == "bgr" else expected
    expected = torch.from_numpy(expected.transpose(2, 0, 1).copy()).float().flatten()
    assert torch.allclose(by_file[0], expected, atol=1e-4)


def test_the_default_is_torchreid_s_own_transform():
    steps = Preprocessing().file_transform().transforms
    assert [type(step) for step in steps] == [T.Resize, T.ToTensor, T.Normalize]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"resize": "bilinear"}, "resize 'bilinear' is unknown"),
        ({"order": "gbr"}, "order 'gbr' is unknown"),
        ({"range": 128}, "range '128' is unknown"),
        ({"letterbox": "left"}, "letterbox 'left' is unknown"),
        ({"pad": (1, 2, 256)}, "pad is"),
        ({"range": 255}, "in levels of 0 to 255"),
        ({"flip": "mean"}, "flip is one of"),
        ({"parts": "mean"}, "parts of"),
    ],
)
def test_unknown_settings_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        PixelModel(Flat(), size=SIZE, **settings)


def test_the_mirror_is_added_and_its_gradient_too():
    images = torch.rand(2, 3, *SIZE)
    plain = PixelModel(Flat(), size=SIZE).eval()
    both = PixelModel(Flat(), size=SIZE, flip="sum").eval()
    assert torch.allclose(both(images), plain(images) + plain(images.flip(-1)))
    inputs = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(both(inputs).sum(), inputs)
    (single,) = torch.autograd.grad(plain(inputs).sum(), inputs)
    assert torch.allclose(gradient, 2 * single)


def test_parts_are_unit_vectors_side_by_side():
    class Stripes(nn.Module):
        def forward(self, images):
            return images.mean(3).reshape(len(images), 3, -1)[:, :, :4]

    images = torch.rand(2, 3, *SIZE)
    found = PixelModel(Stripes(), size=SIZE, parts="unit").eval()(images)
    raw = Stripes()(PixelModel(Flat(), size=SIZE).normalize(images))
    assert torch.allclose(found, (raw / raw.norm(dim=1, keepdim=True)).flatten(1))
    with pytest.raises(ConfigError, match="parts='unit'"):
        PixelModel(Stripes(), size=SIZE).eval()(images)
    with pytest.raises(ConfigError, match="parts=unit is for"):
        PixelModel(Flat(), size=SIZE, parts="unit").eval()(images)


def test_settings_make_the_same_model_again():
    for settings in CHOICES:
        model = PixelModel(Flat(), size=SIZE, flip="sum", **settings)
        assert PixelModel(Flat(), **model.settings()).settings() == model.settings()
