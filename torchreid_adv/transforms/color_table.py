"""A color table: how far each color moves, given at the corners of a lattice in RGB."""

from __future__ import annotations

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
    shifts = F.grid_sample(table.to(images), places, padding_mode="border", align_corners=True)
    return shifts[0].movedim(1, 0)
