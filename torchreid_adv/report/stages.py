"""The noise after each stage of circuitous scaling, and how sparse noise is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from torchreid_adv.core.pixels import to_tensor, to_uint8
from torchreid_adv.defenses import Defense
from torchreid_adv.report.attention import ModelImages
from torchreid_adv.report.noise import amplify
from torchreid_adv.report.panels import LINE, Sheet
from torchreid_adv.report.style import ATTACKED, INK

_CELL = (0.9, 1.8)


def sparsity(noise: Tensor) -> float:
    """Return how few of n values carry the noise: 0 = all are equally large, 1 = a single one.

    Hoyer, Non-negative Matrix Factorization with Sparseness Constraints, 2004:
    ``(sqrt(n) - L1 / L2) / (sqrt(n) - 1)``; 0 for no noise.
    """
    flat = noise.double().flatten()
    length = float(flat.norm())
    if not length:
        return 0.0
    root = math.sqrt(len(flat))
    return (root - float(flat.abs().sum()) / length) / (root - 1)


def noises(
    sitting: ModelImages, place: int, stages: Mapping[str, Defense]
) -> tuple[Tensor, list[Tensor]]:
    """Return an image's noise (3, H, W) as stored and after each of the stages.

    Args:
        sitting: the model.
        place: of the image.
        stages: chains that end at the image's own size.
    """
    pair = (sitting.clean[place], sitting.adversarial[place])
    images = torch.stack([to_tensor(np.asarray(image)) for image in pair])
    with torch.no_grad():
        scaled = [stage(images) for stage in stages.values()]
    return images[1] - images[0], [both[1] - both[0] for both in scaled]


def kept(before: Tensor, after: Tensor) -> float:
    """Return the share of the noise's energy that remains."""
    return float(after.square().sum() / before.square().sum().clamp_min(1e-12))


def stages_figure(
    sittings: Sequence[ModelImages],
    stages: Mapping[str, Defense],
    places: Sequence[int],
    eps: float,
) -> Figure:
    """Draw adversarial image and noise, then the noise after each stage, a row per model and image.

    Args:
        sittings: the models.
        stages: name -> chain.
        places: of the images.
        eps: bound in [0, 1], which the noise is scaled by.
    """
    rows, columns = len(places) * len(sittings), 2 + len(stages)
    sheet = Sheet(rows, columns, cell=_CELL, left=0.15, head=0, top=LINE)
    last = [f"→ {name.split(' → ')[-1]}" for name in stages]
    for row, (place, sitting) in enumerate((p, s) for p in places for s in sittings):
        noise, after = noises(sitting, place, stages)
        heads = [""] * columns if row else ["adversarial", "noise", *last]
        sheet.label(row, sitting.label)
        sheet.show(row, 0, sitting.adversarial[place], above=heads[0], frame=ATTACKED)
        below = f"sparsity {sparsity(noise):.2f}"
        sheet.show(row, 1, _gray(noise, eps), above=heads[1], below=(below, INK), crisp=True)
        for column, left in enumerate(after, start=2):
            below = f"energy {kept(noise, left):.0%}"
            picture = _gray(left, eps)
            sheet.show(row, column, picture, above=heads[column], below=(below, INK), crisp=True)
    return sheet.figure


def _gray(noise: Tensor, eps: float) -> Image.Image:
    return Image.fromarray(to_uint8(amplify(noise, eps)))
