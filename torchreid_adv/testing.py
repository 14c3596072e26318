"""The contracts as assertions, for our tests and for those of third parties.

Each function raises AssertionError with a sentence that says which promise is broken, and returns
a sentence on what it has checked.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image, ImageChops
from torch import Tensor, nn

from torchreid_adv.attacks import Adversarial, Attack, References
from torchreid_adv.core.batch import Batch, pad
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.defenses import Defended, Defense
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.models.cuda import repeatable

SIZES = ((20, 9), (17, 12), (24, 8))
ROUNDING = 1e-6
_ATTACK = (
    "the attack keeps the images' shapes, stays in [0, 1] and within linf, leaves padding alone, "
    "and raises its objective; the same call gives the same images, and a batch those of its "
    "images one by one; model, input and random state are unchanged"
)
_TRANSFORM = (
    "the transform can be imported by a worker, keeps kind and size of the image, leaves its input "
    "alone, and gives the same image for the same seed"
)
_DEFENSE = (
    "the defense stays in [0, 1], gives the same images for the same call, and others for another "
    "seed only if it is random; it treats each image by itself, and has the gradient that it "
    "declares; input, weights, their names and the random state are unchanged"
)


def check_attack(attack: Attack, *, device: str = "cpu") -> str:
    """Check what every attack promises, on a small model and images of several sizes.

    Same shape, in [0, 1], within ``linf``, padding untouched; the objective rises; the same call
    gives the same images, and a batch those of its images one by one (to 1e-9); model, input and
    random state do not change.

    Args:
        attack: what is checked.
        device: where the model and the images lie; references stay in main memory, as in a job.

    Returns:
        what was checked, in a sentence.

    Raises:
        AssertionError: a promise is broken.

    Example:
        >>> print(check_attack(build_attack("ifgsm", eps=8 / 255)))
    """
    with repeatable():
        _check_attack(attack, _toy_model(device), device)
    return _checked(_ATTACK)


def _check_attack(attack: Attack, model: PixelModel, device: str) -> None:
    references, batch = _toy_references(), _toy_batch(range(len(SIZES)), device)
    clean, flags = batch.images.clone(), [module.training for module in model.modules()]
    random_state = _random_state(device)
    adversarial = attack(model, batch, references)
    _require(_random_state(device) == random_state, "the random state has changed")
    _require(torch.equal(batch.images, clean), "the clean images were changed in place")
    _require([m.training for m in model.modules()] == flags, "a train flag has changed")
    _require(all(p.grad is None for p in model.parameters()), "a weight was given a gradient")
    _check_images(attack, adversarial, clean)
    again = attack(model, batch, references)
    _require(torch.equal(again.images, adversarial.images), "the same call gave other images")
    for row, (height, width) in enumerate(SIZES):
        alone = attack(model, _toy_batch([row], device), references).images[0]
        together = adversarial.images[row, :, :height, :width]
        same = torch.allclose(alone, together, rtol=0, atol=ROUNDING / 1000)
        _require(same, f"image {row} depends on its neighbors")


def _check_images(attack: Attack, adversarial: Adversarial, clean: Tensor) -> None:
    images = adversarial.images
    _require(images.shape == clean.shape, f"images of shape {tuple(images.shape)} came back")
    inside = float(images.min()) >= 0 and float(images.max()) <= 1
    _require(inside, "images leave [0, 1]")
    moved = float((images - clean).abs().max())
    bound = float("inf") if attack.linf is None else attack.linf
    _require(moved <= bound + ROUNDING, f"pixels moved by {moved:.6f}, more than linf {bound:.6f}")
    for row, (height, width) in enumerate(SIZES):
        padding = images[row].clone()
        padding[:, :height, :width] = 0
        _require(not padding.any(), "pixels outside of an image's size were changed")
    _require(bool((adversarial.after >= adversarial.before).all()), "an image's objective fell")
    _require(bool((adversarial.after > adversarial.before).any()), "no image's objective rose")


def check_transform(transform: Any, *, stage: str = "pil") -> str:
    """Check what every transform promises: same kind and size out, input untouched, seeded.

    Args:
        transform: an instance.
        stage: ``pil``, ``tensor`` or ``normalized``, as it was registered.

    Returns:
        what was checked, in a sentence.

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
    original = pixels.copy() if stage == "pil" else pixels.clone()
    for seed in range(20):
        first, second = (_seeded(transform, pixels, seed) for _ in range(2))
        _require(_same(pixels, original), "the input was changed in place")
        _require(_same(first, second), "the same seed of torch gave another image")
        same_size = first.size == pixels.size if stage == "pil" else first.shape == pixels.shape
        _require(same_size, "the image has another size")
    return f"Checked with 20 seeds: {_TRANSFORM}."


def check_defense(defense: Defense, *, device: str = "cpu") -> str:
    """Check what every defense promises, and what this one declares of itself.

    Images in [0, 1] of one size out, each what it is alone; the same call gives the same images,
    and another seed others if and only if it is random; a gradient that finite differences confirm,
    or the exact form with the surrogate's gradient; input, flags, weights and random state do not
    change; a model behind it keeps the names of its weights.

    Args:
        defense: what is checked.
        device: where it and the images lie.

    Returns:
        what was checked, in a sentence.

    Raises:
        AssertionError: a promise is broken.

    Example:
        >>> print(check_defense(build_defense("jpeg", quality=50)))
    """
    with repeatable():
        _check_defense(defense.to(device), device)
    return _checked(_DEFENSE)


def _check_defense(defense: Defense, device: str) -> None:
    images = _levels(3, *SIZES[0]).to(device)
    original, random_state = images.clone(), _random_state(device)
    flags = [module.training for module in defense.modules()]
    defended = defense(images)
    _require(_random_state(device) == random_state, "the random state has changed")
    _require(torch.equal(images, original), "the images were changed in place")
    _require([m.training for m in defense.modules()] == flags, "a train flag has changed")
    _require(
        defended.shape[:2] == (3, 3) and defended.ndim == 4, f"{tuple(defended.shape)} came back"
    )
    _require(defended.dtype == images.dtype, f"{defended.dtype} came back for {images.dtype}")
    inside = (
        bool(defended.isfinite().all())
        and float(defended.min()) >= 0
        and float(defended.max()) <= 1
    )
    _require(inside, "images leave [0, 1]")
    _require(torch.equal(defense(images), defended), "the same call gave other images")
    others = [not torch.equal(defense.reseeded(seed)(images), defended) for seed in range(1, 6)]
    _require(any(others) == defense.random, f"it says random={defense.random}, which is not so")
    alone = torch.cat([defense(image) for image in images.split(1)])
    _require(torch.equal(alone, defended), "an image depends on its neighbors")
    several = defense.random and defense.draws > 1
    _require(several == defense.aggregates, "aggregates means that several draws are averaged")
    _check_gradient(defense, images)
    _check_defended(defense, device)


def _check_gradient(defense: Defense, images: Tensor) -> None:
    """Compare the gradient with differences of images that differ by far less than a level."""
    if not defense.has_gradient:
        return
    generator = torch.Generator().manual_seed(3)
    pixels = images.clone().requires_grad_()
    defended = defense(pixels)
    weights = torch.randn(defended.shape, generator=generator, dtype=defended.dtype).to(defended)
    (gradient,) = torch.autograd.grad((defended * weights).sum(), pixels)
    _require(bool(gradient.isfinite().all()), "a gradient is not finite")
    _require(bool(gradient.any()), "the gradient is zero")
    with torch.no_grad():
        _require(torch.equal(defended, defense(images)), "a gradient changes what comes out")
    if not defense.differentiable:
        return
    direction = torch.randn(images.shape, generator=generator, dtype=images.dtype).to(images)
    with torch.no_grad():
        after, before = (defense(images + step * direction) for step in (ROUNDING, -ROUNDING))
    slope = float(((after - before) * weights).sum()) / (2 * ROUNDING)
    expected = float((gradient * direction).sum())
    near = abs(slope - expected) <= 1e-3 * (abs(expected) + float(gradient.norm()))
    _require(near, f"the gradient says {expected:.6g}, differences say {slope:.6g}")


def _check_defended(defense: Defense, device: str) -> None:
    inner = _toy_model(device).eval()
    model = Defended(defense, inner)
    _require([*model.state_dict()] == [*inner.state_dict()], "weights have other names behind it")
    model.load_state_dict(inner.state_dict())
    crops = [_levels(1, *size)[0].to(device) for size in SIZES]
    canvas, sizes = pad(crops)
    with torch.no_grad():
        together = model(canvas, sizes=sizes)
        alone = torch.cat([model(crop[None]) for crop in crops])
    same = torch.allclose(together, alone, rtol=0, atol=ROUNDING / 1000)
    _require(same, "an image depends on its canvas")


def _levels(count: int, height: int, width: int) -> Tensor:
    """Return images (N, 3, H, W) on whole gray levels, none near black or white."""
    generator = torch.Generator().manual_seed(height)
    levels = torch.randint(64, 192, (count, 3, height, width), generator=generator)
    return from_levels(1) * levels.double()


def _seeded(transform: Any, image: Any, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transform(image)


def _random_state(device: str) -> list[bytes]:
    states = [torch.get_rng_state()]
    if torch.device(device).type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return [state.numpy().tobytes() for state in states]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    return a.mode == b.mode and a.size == b.size and not ImageChops.difference(a, b).getbbox()


def _checked(promises: str) -> str:
    sizes = ", ".join(f"{height}x{width}" for height, width in SIZES)
    return f"Checked on a small model and images of {sizes}: {promises}."


def _require(is_kept: bool, sentence: str) -> None:
    if not is_kept:
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


def _toy_model(device: str) -> PixelModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _ToyNetwork()
    return PixelModel(network.double(), size=(16, 10)).train().to(device)


def _toy_references() -> References:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(6, 16, generator=generator, dtype=torch.float64)
    pids, camids = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([1, 2, 1, 2, 1, 2])
    return References(Features(values, pids, camids, tuple("abcdef")))


def _toy_batch(rows: Any, device: str) -> Batch:
    generator = torch.Generator().manual_seed(2)
    images = [torch.rand(3, *size, generator=generator, dtype=torch.float64) for size in SIZES]
    canvas, sizes = pad([images[row] for row in rows])
    numbers = torch.tensor(list(rows))
    names = tuple(f"image{row}" for row in rows)
    batch = Batch(canvas, sizes=sizes, pids=numbers, camids=0 * numbers, image_ids=names)
    return batch.to(device)
