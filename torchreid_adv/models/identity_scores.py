"""What a network says of training identities, which torchreid's only do in training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.pixel_model import PixelModel
from torchreid_adv.models.prepare import InFormat, frozen


def identity_scores(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the logits (N, C) of each of a network's classifiers; PCB has one per part.

    The network answers as in training, while all of its layers are as in testing.

    Args:
        model: one PixelModel, prepared or in eval mode.
        images: (N, 3, H, W) in [0, 1].
    """
    with _answering(model):
        answer: Any = model(images)
    if isinstance(answer, tuple):  # torchreid's, for the triplet loss: logits and features
        answer = answer[0]
    return list(answer) if isinstance(answer, (list, tuple)) else [answer]


def check_identities(model: PixelModel) -> None:
    """Refuse a network that has nothing to say of identities; it is left as it was.

    Raises:
        ConfigError: it gives features in training, too, or knows one identity only.
    """
    weight = next(model.parameters())
    images = torch.zeros(2, 3, *model.size, device=weight.device, dtype=weight.dtype)
    with frozen(model), torch.no_grad():
        features, scores = model(images), identity_scores(model, images)
    same = any(one.shape == features.shape and torch.equal(one, features) for one in scores)
    if same or any(one.ndim != 2 or one.shape[1] < 2 for one in scores):
        raise ConfigError(
            "this network has no classifier of two or more training identities that it uses in "
            "training; choose another model.name"
        )


@contextlib.contextmanager
def _answering(model: nn.Module) -> Iterator[None]:
    """Inside the block networks are in training mode at their root, and nowhere below it."""
    parts = [part.network for part in model.modules() if isinstance(part, PixelModel)]
    roots = [*parts, *(part.network for part in parts if isinstance(part, InFormat))]
    flags = [root.training for root in roots]
    try:
        for root in roots:
            root.training = True
        yield
    finally:
        for root, flag in zip(roots, flags, strict=True):
            root.training = flag
