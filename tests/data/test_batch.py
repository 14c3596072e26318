import pytest
import torch

from torchreid_adv.core.batch import Batch, generator, pad
from torchreid_adv.errors import ConfigError


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(3, 4, 4),
        torch.rand(2, 1, 4, 4),
        torch.rand(0, 3, 4, 4),
        torch.randint(255, (1, 3, 4, 4)),
        torch.rand(1, 3, 4, 4) * 255,
        torch.randn(1, 3, 40, 40),
        torch.full((1, 3, 2, 2), float("nan")),
    ],
)
def test_what_is_no_image_is_refused(images):
    with pytest.raises(ConfigError):
        Batch(images)


def test_draws_belong_to_the_image_not_to_the_batch():
    images = torch.rand(3, 3, 2, 2)
    together = Batch(images, image_ids=("a", "b", "c")).rng(7, "start")
    alone = Batch(images[1:2], image_ids=("b",)).rng(7, "start")
    draws = [torch.rand(4, generator=g) for g in together]
    assert torch.equal(draws[1], torch.rand(4, generator=alone[0]))
    assert not torch.equal(draws[0], draws[1])


def test_generators_differ_by_every_part_of_the_key():
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 1)]
    assert len({generator(*key).initial_seed() for key in keys}) == 4
    assert generator(0, "a").initial_seed() == generator(0, "a").initial_seed()


def test_pad_puts_images_in_the_corner():
    images = [torch.rand(3, 4, 2), torch.rand(3, 3, 5)]
    canvas, sizes = pad(images)
    assert canvas.shape == (2, 3, 4, 5)
    assert sizes.tolist() == [[4, 2], [3, 5]]
    assert torch.equal(canvas[1, :, :3, :5], images[1])
    assert float(canvas[0, :, :, 2:].sum()) == 0
