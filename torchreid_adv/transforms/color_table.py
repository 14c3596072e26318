"""Color tables, which shift each color: interpolation, files, and the transform Recolor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.core import pixels
from torchreid_adv.core.given_files import given_file
from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.core.tensor_file import TensorFile, read_tensors, unreadable, write_tensors
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.random_transform import RandomTransform, check_probability


def lattice(cells: int) -> Tensor:
    """Return the colors (1, 3, R, G, B) of a table's corners: i / (cells - 1) along each axis."""
    steps = torch.linspace(0, 1, cells)
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"))[None]


def color_shift(images: Tensor, table: Tensor) -> Tensor:
    """Return the shift of each pixel: trilinear interpolation in the table.

    ReColorAdv in RGB (Laidlaw and Feizi, 2019), as a residual of the identity: a table of zeros
    changes no bit, and no pixel shifts further than the corners around it.

    Args:
        images: (N, 3, H, W) in [0, 1].
        table: (1, 3, R, G, B) shifts at the corners, pixel units of [0, 1].

    Returns:
        shifts (N, 3, H, W).
    """
    places = images.movedim(1, -1).flip(-1)[None] * 2 - 1  # grid_sample counts axes from the last
    sample = _interpolated if images.requires_grad else _Read.apply
    shifts: Tensor = sample(table.to(images), places)
    return shifts[0].movedim(1, 0)


def _interpolated(table: Tensor, places: Tensor) -> Tensor:
    return F.grid_sample(table, places, padding_mode="border", align_corners=True)


class _Read(torch.autograd.Function):
    """Values of a table between its corners; linear in the table, so of any derivative.

    In torch 2.11 ``grid_sample`` has no second derivative in three dimensions.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.cells = table.shape
        return _interpolated(table, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _Spread.apply(gradients[0], places, ctx.cells), None


class _Spread(torch.autograd.Function):
    """The transpose of reading: distributes values to the corners around their places."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, cells: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        table, (linear, border) = values.new_empty(()).expand(cells), (0, 1)
        spread_values: Tensor = torch.ops.aten.grid_sampler_3d_backward(
            values, table, places, linear, border, True, [True, False]
        )[0]
        return spread_values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Read.apply(gradients[0], *ctx.saved_tensors), None, None


PAPER = (
    "Yang et al., Towards Robust Person Re-identification by Defending Against Universal Attackers"
)


@TRANSFORMS.register("recolor", stage="pil", learned=True, paper=PAPER, title="learned color table")
class Recolor(RandomTransform[bool]):
    """Show some images in the colors of a universal color attack.

    Args:
        weights: file of a universal perturbation that has a color table.
        p: probability that an image is changed.

    Raises:
        ConfigError: p is not a probability, or the file is missing or has no color table.
    """

    def __init__(self, *, weights: str = "", p: float = 0.5) -> None:
        self.p = check_probability("p", p)
        if not weights:
            raise ConfigError(
                "recolor applies a learned color table; name its file in "
                "adv.transforms.recolor.weights"
            )
        table = read_universal(weights).tensors.get("color")
        if table is None:
            raise ConfigError(
                f"'{weights}' has no color table; learn it with adv.meta.perturbation color or both"
            )
        self.table = table.float()

    def draw(
        self, height: int, width: int, generator: torch.Generator | None = None
    ) -> bool | None:
        """Draw whether the image is changed."""
        return True if torch.rand((), generator=generator).item() < self.p else None

    def apply(self, image: Image.Image, drawn: bool | None) -> Image.Image:
        """Return an RGB image, recolored and rounded to whole gray levels if so drawn."""
        if drawn is None:
            return image
        before = pixels.to_tensor(np.asarray(image))
        return Image.fromarray(pixels.to_uint8(before + color_shift(before[None], self.table)[0]))


KIND = "universal"
WHAT = "a universal perturbation"
PARTS = {"delta": 4, "color": 5}  # name -> dimensions: (1, 3, H, W) and (1, 3, R, G, B)


def write_universal(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a safetensors file, whole or not at all; the same content gives the same bytes.

    Args:
        path: path of the file.
        tensors: ``delta`` (1, 3, H, W), ``color`` (1, 3, R, G, B) or both, pixel units of [0, 1].
        about: ``eps`` in gray levels, ``budget``, and the data and models it was learned with.
    """
    write_tensors(path, tensors, about, kind=KIND)


def read_universal(path: str | Path) -> TensorFile:
    """Read a file that :func:`write_universal` wrote.

    Raises:
        ConfigError: the file is missing or holds something else.
    """
    path = given_file(
        path,
        f"there is no universal perturbation '{path}'; learn one with adv.engine meta_attack, "
        "which writes universal.safetensors into its data.save_dir",
        (".safetensors",),
    )
    universal = read_tensors(path, kind=KIND, description=WHAT)
    try:
        eps, _ = float(universal.about["eps"]), str(universal.about["budget"])
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(path, WHAT, error) from error
    whole = bool(universal.tensors) and all(_fits(*part) for part in universal.tensors.items())
    if not whole or not 0 <= eps <= LEVELS:
        raise ConfigError(f"'{path}' holds no universal perturbation that can be used")
    return universal


def _fits(name: str, value: Tensor) -> bool:
    shape = tuple(value.shape)
    whole = value.is_floating_point() and value.ndim == PARTS.get(name) and shape[:2] == (1, 3)
    cube = name != "color" or (len(set(shape[2:])) == 1 and shape[2] > 1)
    return whole and cube and 0 not in shape and bool(torch.isfinite(value).all())
