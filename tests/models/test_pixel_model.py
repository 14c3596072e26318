import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from torchreid_adv.core import pixels
from torchreid_adv.core.batch import pad
from torchreid_adv.core.facts import facts_of
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import PixelModel
from torchreid_adv.models.resizing import RESIZES


def smooth_image(height, width, seed=0):
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (6, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


@pytest.mark.parametrize("stored", [(128, 64), (110, 50), (300, 170), (256, 128), (33, 77)])
@pytest.mark.parametrize(("resize", "theirs"), [("pillow", "BILINEAR"), ("bicubic", "BICUBIC")])
def test_resize_equals_pillow_within_a_level(stored, resize, theirs):
    image = smooth_image(*stored)
    model = PixelModel(nn.Flatten(), size=(256, 128), resize=resize)
    ours = model.resize(pixels.to_tensor(image)[None])[0]
    theirs = np.asarray(Image.fromarray(image).resize((128, 256), getattr(Image, theirs)))
    files = model.file_transform()(Image.fromarray(image))
    expected = (pixels.to_tensor(theirs) - model.moments(ours)[0]) / model.moments(ours)[1]
    assert torch.allclose(files, expected, atol=1e-6)
    assert np.abs(pixels.to_uint8(ours).astype(int) - theirs.astype(int)).max() <= 1


def test_images_of_many_sizes_are_as_alone():
    images = [torch.rand(3, h, w) for h, w in [(20, 9), (17, 12), (24, 8), (20, 9)]]
    model = PixelModel(nn.Flatten(), size=(16, 10))
    canvas, sizes = pad(images)
    together = model(canvas, sizes=sizes)
    for row, image in enumerate(images):
        assert torch.equal(together[row], model(image[None])[0])


def test_what_pads_the_canvas_does_not_matter():
    images = [torch.rand(3, 20, 9), torch.rand(3, 17, 12)]
    model = PixelModel(nn.Flatten(), size=(16, 10))
    canvas, sizes = pad(images)
    other = canvas.clone()
    other[0, :, :, 9:] = 0.7
    other[1, :, 17:] = 0.3
    assert torch.equal(model(canvas, sizes=sizes), model(other, sizes=sizes))


def test_tracklets_are_flattened():
    clips = torch.rand(2, 3, 3, 20, 9)
    model = PixelModel(nn.Flatten(), size=(16, 10))
    assert torch.equal(model(clips), model(clips.flatten(0, 1)))


def test_the_file_transform_is_torchreids_test_transform(capsys):
    transforms = torchreid_module("data.transforms")
    _, theirs = transforms.build_transforms(64, 32, "random_flip", [0.4, 0.5, 0.6], [0.2, 0.3, 0.1])
    capsys.readouterr()
    model = PixelModel(nn.Flatten(), size=(64, 32), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.1])
    image = Image.fromarray(smooth_image(128, 64))
    assert torch.equal(model.file_transform()(image), theirs(image))


@pytest.mark.parametrize(
    "options",
    [
        {"size": (256,)},
        {"size": (0, 3)},
        {"mean": [0.5]},
        {"std": [0, 1, 1]},
        {"resize": "cubic"},
    ],
)
def test_wrong_settings_are_refused(options):
    with pytest.raises(ConfigError):
        PixelModel(nn.Flatten(), **options)


def test_another_resize_tells_a_model_from_others():
    ways = [{}, *({"resize": name} for name in RESIZES if name != "pillow")]
    ways += [{"letterbox": "center"}, {"letterbox": "corner"}]
    facts = [facts_of(PixelModel(nn.Flatten(), size=(16, 10), **options)) for options in ways]
    assert facts[0] == facts_of(PixelModel(nn.Flatten(), size=(16, 10), resize="pillow"))
    assert len({json.dumps(own, sort_keys=True) for own in facts}) == len(ways)
