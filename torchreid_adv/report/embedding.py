"""t-SNE of images, their variants, and their adversarial examples (figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from torchreid_adv.report.attention import ModelImages
from torchreid_adv.report.style import CARD, INK, MUTED, SERIES
from torchreid_adv.transforms.homogeneous import Looks, RandomLook

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
        clean: (n, D), of length 1 like all features here.
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


def cloud(sitting: ModelImages, count: int) -> Cloud:
    """Return the features of a model's first images."""
    drawn = [variants(image, seed) for seed, image in enumerate(sitting.clean[:count])]
    flat = sitting.features([image for images in drawn for image in images])
    return Cloud(
        sitting.label,
        sitting.features(sitting.clean[:count]),
        sitting.features(sitting.adversarial[:count]),
        flat.unflatten(0, (len(drawn), -1)),
    )


@dataclass(frozen=True)
class Person:
    """The unit-length features of one person, which a panel draws in one color.

    Args:
        image: (I, D) of images, drawn as stars.
        adversarial: (A, D) of adversarial examples, drawn as ringed dots.
        around: (V, D) of the images' variants, drawn as dots.
        clean: (A,) row in ``image`` followed by ``around`` that each adversarial example was made
            from: where its arrow starts.
    """

    image: Tensor
    adversarial: Tensor
    around: Tensor
    clean: Tensor

    def __post_init__(self) -> None:
        if self.clean.shape != self.adversarial.shape[:1]:
            raise ValueError(
                f"each of {len(self.adversarial)} adversarial examples has one clean image, got "
                f"{tuple(self.clean.shape)} rows"
            )

    @property
    def points(self) -> int:
        """Number of points drawn."""
        return len(self.image) + len(self.adversarial) + len(self.around)


def embedding_figure(clouds: Sequence[Cloud]) -> Figure:
    """Draw a panel per model; a color is a person, a ringed dot an adversarial example."""
    figure = Figure(figsize=(3.5 * len(clouds), 3.9), layout="constrained")
    for axes, model_cloud in zip(
        figure.subplots(1, len(clouds), squeeze=False)[0], clouds, strict=True
    ):
        triples = zip(
            model_cloud.clean.split(1),
            model_cloud.adversarial.split(1),
            model_cloud.variants,
            strict=True,
        )
        _draw(axes, [Person(*parts, torch.zeros(1, dtype=torch.int64)) for parts in triples])
        moved = model_cloud.distances
        axes.set_title(model_cloud.label, fontsize=11, color=INK)
        axes.set_xlabel(
            f"cosine distance: variants {moved['variants']:.2f}, "
            f"adversarial {moved['adversarial']:.2f}",
            fontsize=8,
            color=INK,
        )
    handles = _legend("image", "homogeneous variant")
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def people_figure(people: Sequence[Person], star: str, dot: str) -> Figure:
    """Draw the features of some people, a color each.

    Args:
        people: at most eight get distinct colors.
        star: legend of their images.
        dot: legend of the points around these.
    """
    figure = Figure(figsize=(4.6, 3.7), layout="constrained")
    _draw(figure.subplots(), people)
    handles = _legend(star, dot)
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, people: Sequence[Person]) -> None:
    """Put the people's features where t-SNE puts them."""
    from sklearn.manifold import TSNE  # slow to import

    parts = [
        part for person in people for part in (person.image, person.adversarial, person.around)
    ]
    flat = torch.cat(parts).numpy()
    perplexity = min(12.0, (len(flat) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(flat)
    places = iter(np.split(points, np.cumsum([len(part) for part in parts])[:-1]))
    for number, person in enumerate(people):
        color = SERIES[number % len(SERIES)]
        image, adversarial, around = (next(places) for _ in range(3))
        _arrows(axes, np.concatenate([image, around])[person.clean.numpy()], adversarial, color)
        axes.scatter(around[:, 0], around[:, 1], s=16, color=color, alpha=0.5, linewidths=0)
        axes.scatter(
            image[:, 0],
            image[:, 1],
            s=110,
            color=color,
            marker="*",
            edgecolors=CARD,
            linewidths=0.7,
            zorder=4,
        )
        axes.scatter(
            adversarial[:, 0],
            adversarial[:, 1],
            s=40,
            color=color,
            edgecolors=INK,
            linewidths=1.4,
            zorder=3,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(MUTED)
    axes.margins(0.08)


def _arrows(axes: Axes, start: NDArray[Any], end: NDArray[Any], color: str) -> None:
    """Draw an arrow from each clean image to its adversarial example."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.1, "alpha": 0.8, "shrinkB": 4}
    for tail, head in zip(start, end, strict=True):
        axes.annotate("", head, tail, arrowprops={**style, "shrinkA": 2}, zorder=2)


def _legend(star: str, dot: str) -> list[Line2D]:
    shapes: dict[str, dict[str, Any]] = {
        star: {"marker": "*", "markersize": 10},
        dot: {"marker": "o", "markersize": 5, "alpha": 0.5},
        "adversarial example, arrow from its clean image": {
            "marker": "o",
            "markeredgecolor": INK,
            "markeredgewidth": 1.4,
        },
    }
    return [
        Line2D([], [], label=name, linestyle="", color=MUTED, **shape)
        for name, shape in shapes.items()
    ]
