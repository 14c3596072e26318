"""A canvas is bounded by what its images hold, and the cut into canvases changes no result."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.core.batch import FREE, PADDING, chunks, pad, together
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.images import read_pixels
from torchreid_adv.data.loading import batches
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.runs.writer import VariantWriter

# height and width of images as public sets have them: all alike, or cropped by a detector
SETS = {
    "market1501": ((128, 128), (64, 64)),
    "dukemtmcreid": ((67, 477), (35, 238)),
    "msmt17": ((81, 752), (36, 388)),
    "cuhk03": ((88, 570), (32, 208)),
    "personx": ((128, 256), (64, 128)),
    "sysu_mm01": ((200, 600), (80, 250)),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("size", [1, 2, 16, 64])
def test_ordinary_sets_keep_their_chunks(name, size):
    draws = np.random.default_rng(0)
    (low, high), (narrow, wide) = SETS[name]
    heights = draws.integers(low, high + 1, 256)
    shares = draws.uniform(*sorted((narrow / low, wide / high)), 256)  # people are taller than wide
    shapes = [[(int(h), int(h * share))] for h, share in zip(heights, shares, strict=True)]
    for chunk in chunks(shapes, size):
        assert together(chunk, size) == [slice(0, len(chunk))]


def test_images_of_very_different_shapes_have_canvases_of_their_own():
    images = [torch.zeros(3, 4000, 2), torch.zeros(3, 2, 4000), torch.zeros(3, 2, 3999)]
    canvas, sizes = pad(images)
    assert canvas.shape == (1, 3, 4000, 2)
    canvas, sizes = pad(images[len(sizes) :])
    assert canvas.shape == (2, 3, 2, 4000)
    assert sizes.tolist() == [[2, 4000], [2, 3999]]


@pytest.mark.parametrize("size", [1, 3, 16])
def test_no_canvas_is_larger_than_its_bound(size):
    draws = np.random.default_rng(1)
    shapes = [[tuple(map(int, 2 ** draws.uniform(0, 12, 2)))] for _ in range(200)]
    for chunk in chunks(shapes, size):
        rows = together(chunk, size)
        assert [i for row in rows for i in range(len(chunk))[row]] == list(range(len(chunk)))
        for group in (chunk[row] for row in rows):
            pixels = np.mean([h * w for ((h, w),) in group])
            height, width = (max(side) for side in zip(*(shape for (shape,) in group), strict=True))
            assert size * height * width <= PADDING * size * pixels + FREE or len(group) == 1


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, images):
        return self.conv(images).relu().mean((2, 3))


@pytest.fixture
def odd_set(tmp_path):
    """Seven images of which neighbors are tall, wide or small, and a network."""
    draws, records = np.random.default_rng(0), []
    for row, (h, w) in enumerate(
        [(3000, 4), (4, 3000), (40, 20), (3000, 5), (30, 60), (5, 2800), (64, 32)]
    ):
        path = tmp_path / "gallery" / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (h, w, 3), np.uint8)).save(path)
        records.append(Record(image_id=f"gallery/{row}.png", path=path, pid=row % 2, camid=row))
    torch.manual_seed(0)
    model = PixelModel(Network(), size=(32, 16)).eval()
    features = Features(
        torch.rand(4, 8), torch.tensor([0, 1, 0, 1]), torch.arange(4), tuple("abcd")
    )
    return ReIDData("odd", tmp_path, (), (), tuple(records)), model, References(features)


def test_what_is_stored_is_bit_equal_to_images_attacked_alone(odd_set, tmp_path):
    data, model, references = odd_set
    attack = build_attack("pgd", eps=8 / 255, steps=3)
    records = list(data.gallery)
    images = [read_pixels(record.path) for record in records]
    assert len(list(batches(records, images, 7))) > 3

    def stored(name, chunk):
        folder = tmp_path / name
        writer = VariantWriter(
            model, attack, references, "gallery", folder / "variant", folder, chunk=chunk
        )
        (folder / "variant").mkdir(parents=True)
        return writer.write(data, {"data": "odd"})

    together_, alone = stored("together", 7), stored("alone", 1)
    for record in records:
        paths = [
            v.folder / v.data(data).gallery[records.index(record)].path for v in (together_, alone)
        ]
        pixels = [read_pixels(path) for path in paths]
        assert pixels[0].shape == read_pixels(record.path).shape
        assert np.array_equal(*pixels)
    assert together_.before.shape == together_.after.shape == (7,)
    assert torch.allclose(together_.after, alone.after)
    assert torch.allclose(together_.float_features.values, alone.float_features.values, atol=1e-6)
