"""Losses of the video network: per modality and then summed, as eqs. 3, 5, 9 and 16 are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def per_modality(values: Tensor, modality: Tensor) -> Tensor:
    """Return the mean of the visible plus the mean of the infrared: the factor 2 / n_b.

    Args:
        values: (N,) of tracklets.
        modality: (N,) 0 visible, 1 infrared.
    """
    return values[modality == 0].mean() + values[modality == 1].mean()


def identity_loss(logits: Tensor, pids: Tensor, modality: Tensor) -> Tensor:
    """Return the cross-entropy of identities (eqs. 5, 9 and 16); logits (N, M), pids (N,)."""
    return per_modality(F.cross_entropy(logits, pids, reduction="none"), modality)


def confusion_loss(logits: Tensor, modality: Tensor) -> Tensor:
    """Return the cross-entropy with all identities alike (eq. 3); at least 2 ln M, if all are."""
    return per_modality(-F.log_softmax(logits, dim=1).mean(1), modality)


def batch_hard(features: Tensor, pids: Tensor, *, margin: float, squared: bool = False) -> Tensor:
    """Return the triplet loss of eq. 10: each tracklet, its furthest positive, nearest negative.

    Args:
        features: (N, D) of both modalities.
        pids: (N,).
        margin: alpha.
        squared: squared distances, as the paper prints; with features of a BatchNorm they are of
            the order of hundreds, and the margin means nothing.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    distances = distances.square() if squared else distances
    same = pids[:, None] == pids[None]
    positive = distances.masked_fill(~same, -torch.inf).amax(1)
    negative = distances.masked_fill(same, torch.inf).amin(1)
    return F.relu(positive - negative + margin).mean()
