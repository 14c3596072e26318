"""The contracts as assertions, for our tests and for those of third parties.

Each function raises AssertionError with a sentence that says which promise is broken.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image, ImageChops
from torch import Tensor, nn

from torchreid_adv.attacks import Adversarial, Attack, References
from torchreid_adv.data.batch import Batch, pad
from torchreid_adv.models import Features, PixelModel

SIZES = ((20, 9), (17, 12), (24, 8))
ROUNDING = 1e-6


def check_attack(attack: Attack) -> None:
    """Check what every attack promises, on a small model and images of several sizes.

    Same shape, in [0, 1], within ``linf``, padding untouched; the objective rises; the same call
    gives the same images, and a batch those of its images one by one (to 1e-9); model, input and
    random state are left as they were.

    Raises:
        AssertionError: a promise is broken.

    Example:
        >>> check_attack(build_attack("ifgsm", eps=8 / 255))
    """
    model, references = _toy_model(), _toy_references()
    batch = _toy_batch(range(len(SIZES)))
    clean, flags = batch.images.clone(), [module.training for module in model.modules()]
    random_state = torch.get_rng_state()
    found = attack(model, batch, references)
    _require(torch.equal(torch.get_rng_state(), random_state), "the random state has changed")
    _require(torch.equal(batch.images, clean), "the clean images were changed in place")
    _require([m.training for m in model.modules()] == flags, "a train flag has changed")
    _require(all(p.grad is None for p in model.parameters()), "a weight was given a gradient")
    _check_images(attack, found, clean)
    again = attack(model, batch, references)
    _require(torch.equal(again.images, found.images), "the same call gave other images")
    for row, (height, width) in enumerate(SIZES):
        alone = attack(model, _toy_batch([row]), references).images[0]
        together = found.images[row, :, :height, :width]
        same = torch.allclose(alone, together, rtol=0, atol=ROUNDING / 1000)
        _require(same, f"image {row} depends on its neighbors")


def _check_images(attack: Attack, found: Adversarial, clean: Tensor) -> None:
    images = found.images
    _require(images.shape == clean.shape, f"images of shape {tuple(images.shape)} came back")
    inside = float(images.min()) >= 0 and float(images.max()) <= 1
    _require(inside, "images leave [0, 1]")
    moved = float((images - clean).abs().max())
    bound = float("inf") if attack.linf is None else attack.linf
    _require(moved <= bound + ROUNDING, f"pixels moved by {moved:.6f}, more than linf {bound:.6f}")
    for row, (height, width) in enumerate(SIZES):
        rest = images[row].clone()
        rest[:, :height, :width] = 0
        _require(not rest.any(), "pixels outside of an image's size were changed")
    _require(bool((found.after >= found.before).all()), "an image's objective fell")
    _require(bool((found.after > found.before).any()), "no image's objective rose")


def check_transform(transform: Any, *, stage: str = "pil") -> None:
    """Check what every transform promises: same kind and size out, input untouched, seeded.

    Args:
        transform: an instance.
        stage: ``pil``, ``tensor`` or ``normalized``, as it was registered.

    Raises:
        AssertionError: a promise is broken.
    """
    module = type(transform).__module__
    importable = "<locals>" not in type(transform).__qualname__ and module != "__main__"
    _require(importable, "its class cannot be imported by a spawned worker")
    generator = torch.Generator().manual_seed(0)
    pixels: Any = torch.rand(3, 32, 16, generator=generator)
    if stage == "pil":
        levels = torch.randint(256, (32, 16, 3), generator=generator, dtype=torch.uint8)
        pixels = Image.fromarray(levels.numpy())
    kept = pixels.copy() if stage == "pil" else pixels.clone()
    for seed in range(20):
        first, second = (_seeded(transform, pixels, seed) for _ in range(2))
        _require(_same(pixels, kept), "the input was changed in place")
        _require(_same(first, second), "the same seed of torch gave another image")
        same_size = first.size == pixels.size if stage == "pil" else first.shape == pixels.shape
        _require(same_size, "the image has another size")


def _seeded(transform: Any, image: Any, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transform(image)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    return a.mode == b.mode and a.size == b.size and not ImageChops.difference(a, b).getbbox()


def _require(kept: bool, sentence: str) -> None:
    if not kept:
        raise AssertionError(sentence)


class _ToyNetwork(nn.Module):
    """Features of 16 numbers, and a classifier on them that plays no part in them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d((4, 2)),
            nn.Flatten(),
            nn.Linear(64, 16),
        )
        self.classifier = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


def _toy_model() -> PixelModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _ToyNetwork()
    return PixelModel(network.double(), size=(16, 10)).train()


def _toy_references() -> References:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(6, 16, generator=generator, dtype=torch.float64)
    pids, camids = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([1, 2, 1, 2, 1, 2])
    return References(Features(values, pids, camids, tuple("abcdef")))


def _toy_batch(rows: Any) -> Batch:
    generator = torch.Generator().manual_seed(2)
    images = [torch.rand(3, *size, generator=generator, dtype=torch.float64) for size in SIZES]
    canvas, sizes = pad([images[row] for row in rows])
    numbers = torch.tensor(list(rows))
    names = tuple(f"image{row}" for row in rows)
    return Batch(canvas, sizes=sizes, pids=numbers, camids=0 * numbers, image_ids=names)
