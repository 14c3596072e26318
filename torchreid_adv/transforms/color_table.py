"""A color table: how far each color moves, given at the corners of a lattice in RGB."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def lattice(cells: int) -> Tensor:
    """Return the colors (1, 3, R, G, B) of a table's corners: i / (cells - 1) along each axis."""
    steps = torch.linspace(0, 1, cells)
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"))[None]


def color_shift(images: Tensor, table: Tensor) -> Tensor:
    """Return how far a table moves each pixel: trilinear between the eight corners around it.

    ReColorAdv in RGB (Laidlaw and Feizi, 2019), as the residual of the identity: a table of zeros
    moves nothing, to the bit, and no pixel moves further than the corners around it.

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
    """Values of a table between its corners; linear in the table, so of any order.

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
    """The transpose of reading: values spread over the corners around their places."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, cells: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        table, (linear, border) = values.new_empty(()).expand(cells), (0, 1)
        found: Tensor = torch.ops.aten.grid_sampler_3d_backward(
            values, table, places, linear, border, True, [True, False]
        )[0]
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Read.apply(gradients[0], *ctx.saved_tensors), None, None
