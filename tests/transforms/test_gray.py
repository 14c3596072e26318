import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_adv.core import pixels
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import Box, BoxSampler
from torchreid_adv.transforms.grayscale import gray_box

HEIGHT, WIDTH = 64, 32


@pytest.fixture
def image() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def slow_gray(image: Image.Image, box: Box) -> np.ndarray:
    """Float64 loop over the pixels of the box, rounded as Pillow's integer formula rounds."""
    result = np.array(image)
    for y in range(box.top, box.top + box.height):
        for x in range(box.left, box.left + box.width):
            red, green, blue = (float(v) for v in result[y, x])
            result[y, x] = int(np.floor(0.299 * red + 0.587 * green + 0.114 * blue + 0.5))
    return result


def test_pil_box_equals_slow_loop_and_leaves_the_input(image):
    box, before = Box(5, 3, 20, 11), np.array(image)
    result = np.array(gray_box(image, box))
    assert np.abs(result.astype(int) - slow_gray(image, box)).max() <= 1
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[5:25, 3:14] = False
    assert np.array_equal(result[outside], before[outside])
    assert not np.array_equal(result, before)
    assert np.array_equal(np.array(image), before)


def test_whole_image_equals_pillow(image):
    gray = TRANSFORMS.build("grayscale", p=1.0)(image)
    assert np.array_equal(np.array(gray), np.array(image.convert("L").convert("RGB")))


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_tensor_is_within_a_level_of_pillow(image, shape):
    box = Box(0, 7, 64, 20)
    tensor = pixels.to_tensor(np.array(image)).expand(*shape, 3, HEIGHT, WIDTH)
    expected = pixels.to_tensor(np.array(gray_box(image, box)))
    result = gray_box(tensor, box)
    assert result.shape == tensor.shape
    assert (result - expected).abs().max() <= pixels.from_levels(1.0)
    assert torch.equal(result[..., :7], tensor[..., :7])
    assert torch.equal(tensor, pixels.to_tensor(np.array(image)).expand_as(tensor))


def test_tensor_gradient_passes_through_the_box():
    image = torch.full((3, 4, 4), 0.5, requires_grad=True)
    gray_box(image, Box(0, 0, 2, 4)).sum().backward()
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1) * 3
    assert torch.allclose(image.grad[:, :2], weights.expand(3, 2, 4))
    assert torch.equal(image.grad[:, 2:], torch.ones(3, 2, 4))


@pytest.mark.parametrize("name", ["grayscale", "lgt"])
def test_contract_of_the_entries(name, image):
    assert TRANSFORMS.facts(name)["stage"] == "pil"
    transform = pickle.loads(pickle.dumps(TRANSFORMS.build(name, p=1.0)))
    draws = [
        [transform.draw(HEIGHT, WIDTH, torch.Generator().manual_seed(seed)) for _ in range(2)]
        for seed in (3, 3, 4)
    ]
    assert draws[0] == draws[1]
    torch.manual_seed(3)
    assert transform.draw(HEIGHT, WIDTH) == draws[0][0]
    torch.manual_seed(3)
    assert np.array_equal(np.array(transform(image)), np.array(gray_box(image, draws[0][0])))
    assert TRANSFORMS.build(name, p=0.0)(image) is image


def test_lgt_draws_differ():
    lgt, generator = TRANSFORMS.build("lgt", p=1.0), torch.Generator().manual_seed(0)
    assert len({lgt.draw(HEIGHT, WIDTH, generator) for _ in range(20)}) > 10


@pytest.mark.parametrize(("name", "p"), [("grayscale", 0.05), ("lgt", 0.4)])
def test_default_probability(name, p):
    transform, generator = TRANSFORMS.build(name), torch.Generator().manual_seed(1)
    changed = sum(transform.draw(256, 128, generator) is not None for _ in range(4000))
    assert changed / 4000 == pytest.approx(p, abs=4 * (p * (1 - p) / 4000) ** 0.5)


def boxes(count: int, **options) -> np.ndarray:
    sampler, generator = BoxSampler(**options), torch.Generator().manual_seed(0)
    drawn = [sampler.draw(256, 128, generator) for _ in range(count)]
    return np.array([box for box in drawn if box is not None])


def test_boxes_have_the_described_size_and_reach_every_edge():
    top, left, height, width = boxes(8000).T
    share = height * width / (256 * 128)
    assert share.min() >= 0.0195
    assert share.max() <= 0.405
    assert share.mean() == pytest.approx(0.204, abs=0.006)
    assert (height / width).max() <= 1 / 0.3 * 1.05
    assert top.min() == 0
    assert left.min() == 0
    assert (top + height).max() == 256
    assert (left + width).max() == 128
    assert height.max() > 128
    center = (top <= 128) & (top + height > 128) & (left <= 64) & (left + width > 64)
    assert center.mean() == pytest.approx(0.53, abs=0.03)


def test_legacy_boxes_are_cut_as_in_the_published_code():
    top, left, height, width = boxes(8000, legacy=True).T
    assert (height * width / (256 * 128)).mean() == pytest.approx(0.153, abs=0.006)
    assert height.max() <= 127
    assert (left + width).max() == 128
    center = (top <= 128) & (top + height > 128) & (left <= 64) & (left + width > 64)
    assert center.mean() == pytest.approx(0.30, abs=0.03)


def test_no_box_fits_a_single_pixel():
    assert BoxSampler().draw(1, 1, None) is None


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("grayscale", {"p": 1.5}, "probability"),
        ("lgt", {"p": -0.1}, "probability"),
        ("lgt", {"area_min": 0.0}, "area_min"),
        ("lgt", {"area_min": 0.5, "area_max": 0.4}, "area_max"),
        ("lgt", {"ratio_min": 2.0}, "ratio_min"),
        ("lgt", {"probability": 0.4}, "no option 'probability'"),
    ],
)
def test_bad_options_are_refused(name, options, words):
    with pytest.raises(ConfigError, match=words):
        TRANSFORMS.build(name, **options)
