"""Covariances of the differences of pairs, in closed form.

For a grouping of N features, the sum of ``(x_i - x_j)(x_i - x_j)^T`` over all pairs within a
group, each counted once, is ``X^T diag(n) X - sum_g s_g s_g^T``: n_i is the size of the group of i,
s_g the sum of the features of group g. Sets of pairs are sums and differences of groupings. Pairs
of one identity seen by different cameras, for example, are those within an identity without those
within an identity and camera; for two cameras that is XQDA's two-view formula.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_scatter(
    features: Tensor, include: Sequence[Tensor], exclude: Sequence[Tensor] = ()
) -> tuple[Tensor, int]:
    """Return the mean of ``(x_i - x_j)(x_i - x_j)^T`` over a set of pairs, and their number.

    Args:
        features: (N, D) float64, best centered.
        include: groupings (N,) whose pairs are counted.
        exclude: groupings (N,) whose pairs are taken away; all of them were counted.

    Returns:
        the mean (D, D), zero where there is no pair.
    """
    signed = [(1, group) for group in include] + [(-1, group) for group in exclude]
    width = features.shape[1]
    degrees = torch.zeros(len(features), dtype=torch.float64)
    outer, count = features.new_zeros(width, width), 0
    for sign, group in signed:
        names, of = group.unique(return_inverse=True)
        sizes = of.bincount()
        degrees += sign * sizes[of]
        sums = features.new_zeros(len(names), width).index_add_(0, of, features)
        outer += sign * (sums.T @ sums)
        count += sign * int((sizes * (sizes - 1) // 2).sum())
    if not count:
        return torch.zeros_like(outer), 0
    return (features.T @ (degrees[:, None] * features) - outer) / count, count


def together(pids: Tensor, camids: Tensor) -> Tensor:
    """Return the grouping (N,) by identity and camera."""
    return torch.stack([pids, camids]).unique(dim=1, return_inverse=True)[1]


def everything(pids: Tensor) -> Tensor:
    """Return the grouping (N,) that holds all in one group."""
    return torch.zeros_like(pids)
