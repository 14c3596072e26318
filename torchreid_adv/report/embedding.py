"""t-SNE of images, their homogeneous variants and their adversarial examples (figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from torch import Tensor

from torchreid_adv.report.charts import INK, MUTED
from torchreid_adv.report.sitting import Sitting
from torchreid_adv.transforms.homogeneous import Looks, RandomLook

COLORS = ("#0e7490", "#dc2626", "#b45309", "#7c3aed", "#15803d", "#db2777", "#475569", "#65a30d")
KINDS = ("gray", "sketch", *("gray_fusion", "sketch_fusion") * 7)  # of one image's variants


def variants(image: Image.Image, seed: int) -> list[Image.Image]:
    """Return homogeneous variants of an image: gray, sketch, and channels fused with them.

    Args:
        image: RGB.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    looks = RandomLook({}, Looks())
    height, width = image.height, image.width
    return [looks.apply(image, looks.draw_patch(kind, height, width, generator)) for kind in KINDS]


@dataclass(frozen=True)
class Cloud:
    """The features of n images of one model.

    Args:
        label: of the model.
        clean: (n, D), of length 1 as all here.
        adversarial: (n, D).
        variants: (n, V, D).
    """

    label: str
    clean: Tensor
    adversarial: Tensor
    variants: Tensor

    @property
    def distances(self) -> dict[str, float]:
        """Mean cosine distance from the clean image, of adversarial examples and of variants."""
        return {
            "adversarial": float(1 - (self.clean * self.adversarial).sum(1).mean()),
            "variants": float(1 - (self.clean[:, None] * self.variants).sum(2).mean()),
        }


def cloud(sitting: Sitting, count: int) -> Cloud:
    """Return the features of a model's first images."""
    drawn = [variants(image, seed) for seed, image in enumerate(sitting.clean[:count])]
    flat = sitting.features([image for images in drawn for image in images])
    return Cloud(
        sitting.label,
        sitting.features(sitting.clean[:count]),
        sitting.features(sitting.adversarial[:count]),
        flat.unflatten(0, (len(drawn), -1)),
    )


def embedding_figure(clouds: Sequence[Cloud]) -> Figure:
    """Draw a panel per model; a color is a person, a ringed dot an adversarial example."""
    from sklearn.manifold import TSNE  # slow to import

    figure = Figure(figsize=(3.5 * len(clouds), 3.9), layout="constrained")
    for axes, one in zip(figure.subplots(1, len(clouds), squeeze=False)[0], clouds, strict=True):
        groups = torch.cat([one.clean[:, None], one.adversarial[:, None], one.variants], 1)
        flat = groups.flatten(0, 1).numpy()
        perplexity = min(12.0, (len(flat) - 1) / 3)
        points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(flat)
        for number, own in enumerate(points.reshape(*groups.shape[:2], 2)):
            color = COLORS[number % len(COLORS)]
            axes.scatter(*own[2:].T, s=16, color=color, alpha=0.45, linewidths=0)
            axes.scatter(*own[0], s=90, color=color, marker="*", edgecolors="white", linewidths=0.6)
            axes.scatter(*own[1], s=46, color=color, edgecolors=INK, linewidths=1.4, zorder=3)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(MUTED)
        axes.margins(0.08)
        moved = one.distances
        axes.set_title(one.label, fontsize=11, color=INK)
        axes.set_xlabel(
            f"cosine distance: variants {moved['variants']:.2f}, "
            f"adversarial {moved['adversarial']:.2f}",
            fontsize=8,
            color=INK,
        )
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _legend() -> list[Line2D]:
    shapes: dict[str, dict[str, Any]] = {
        "image": {"marker": "*", "markersize": 10},
        "homogeneous variant": {"marker": "o", "markersize": 5, "alpha": 0.5},
        "adversarial example": {"marker": "o", "markeredgecolor": INK, "markeredgewidth": 1.4},
    }
    return [
        Line2D([], [], label=name, linestyle="", color=MUTED, **shape)
        for name, shape in shapes.items()
    ]
