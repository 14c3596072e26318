"""Benchmark of the transforms: ours, the published code, and the work that both need."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import RandomCrop

from torchreid_adv.data.virtual.colors import to_levels
from torchreid_adv.data.virtual.image import Shot, render_image
from torchreid_adv.data.virtual.styles import style_named
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.channels import KERNEL

from . import published
from .published import policy

Way = Callable[[Image.Image], Any]
SIZE = (256, 128)
_PEOPLE = 8
_ALWAYS = ("grayscale", "lgt", "sketch", "channel_fusion", "lht")  # measured with p = 1


def run(*, images: int = 400, repeats: int = 7) -> dict[str, Any]:
    """Time each transform, one image after the other, on one core.

    Processor time is measured, so that other programs disturb little. All variants take turns on
    the same virtual people at 256x128, and the best turn counts. Transforms with a probability
    change every image here; the mixtures (color, diversity) have the paper's probabilities, at
    which most images do not change.

    Args:
        images: images per turn and variant.
        repeats: turns.

    Returns:
        images per second and core of each way, and how many times ours is the published one's.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        people = _people()
        found = {name: _measure(ways, people, images, repeats) for name, ways in _ways().items()}
    finally:
        cv2.setNumThreads(threads)
    for rates in found.values():
        rates["ratio"] = rates["ours"] / rates["published"]
    _show(found, images, repeats)
    return {"images": images, "size": SIZE, "repeats": repeats, **found}


def _ways() -> dict[str, dict[str, Way]]:
    table = policy()
    kept = partial(published.Diversity, table=lambda: table)
    peers: dict[str, dict[str, Way]] = {
        "grayscale": {"published": published.gray, "floor": _gray},
        "lgt": {"published": published.local_gray, "floor": Image.Image.copy},
        "sketch": {"published": published.whole_sketch, "floor": _sketch},
        "channel_fusion": {"published": published.fusion, "floor": _gray},
        "lht": {
            "published": published.Diversity().local,
            "table kept": kept().local,
            "floor": Image.Image.copy,
        },
        "color": {"published": published.Diversity(lht=0.0, augment=0.0), "floor": _draw},
        "diversity": {"published": published.Diversity(), "table kept": kept(), "floor": _draw},
        "diversity_global": {
            "published": published.Diversity(lht=0.0),
            "table kept": kept(lht=0.0),
            "floor": _draw,
        },
        "pad_crop": {
            "published": RandomCrop(SIZE, padding=10),  # torchvision's, as the recipes have it
            "floor": Image.Image.copy,
        },
    }
    return {name: {"ours": _ours(name), **ways} for name, ways in peers.items()}


def _ours(name: str) -> Way:
    way: Way = TRANSFORMS.build(name, **({"p": 1.0} if name in _ALWAYS else {}))
    return way


def _gray(image: Image.Image) -> Image.Image:
    level = image.convert("L")
    return Image.merge("RGB", (level, level, level))


def _sketch(image: Image.Image) -> Image.Image:
    level = image.convert("L")
    cv2.sepFilter2D(np.asarray(level), cv2.CV_32F, KERNEL, KERNEL)
    return Image.merge("RGB", (level, level, level))


def _draw(image: Image.Image) -> float:
    return torch.rand(()).item()


def _people() -> list[Image.Image]:
    style = style_named("virtual_a")
    shots = (Shot(pid, pid % 4, pid, *SIZE) for pid in range(1, _PEOPLE + 1))
    return [Image.fromarray(to_levels(render_image(style, 0, shot))) for shot in shots]


def _measure(
    ways: dict[str, Way], people: list[Image.Image], images: int, repeats: int
) -> dict[str, float]:
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(repeats):
        for name, way in ways.items():
            torch.manual_seed(turn)
            published.seed(turn)
            started = time.process_time()
            for number in range(images):
                way(people[number % _PEOPLE])
            best[name] = min(best[name], time.process_time() - started)
    return {name: images / max(seconds, 1e-9) for name, seconds in best.items()}


def _show(found: dict[str, dict[str, float]], images: int, repeats: int) -> None:
    height, width = SIZE
    print(
        f"transforms: {height}x{width}, images per second and core, best of {repeats} turns of "
        f"{images} images\n{'':20}{'ours':>9}{'published':>11}{'ratio':>7}{'floor':>10}"
    )
    for name, rates in found.items():
        kept = f"   (with AutoAugment's table kept {rates.get('table kept', 0):.0f})"
        print(
            f"  {name:<18}{rates['ours']:9.0f}{rates['published']:11.0f}{rates['ratio']:7.1f}"
            f"{rates['floor']:10.0f}{kept if 'table kept' in rates else ''}"
        )
    print("  floor: Pillow's copy, conversion or merge, the blur alone, or one random number")
