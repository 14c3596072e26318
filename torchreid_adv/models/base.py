"""The base of models of images, and networks without a gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ImageModel(nn.Module, ABC):
    """Images in [0, 1] of any size -> features; and the same for files, as in torchreid."""

    @abstractmethod
    def file_transform(self) -> Callable[[Any], Any]:
        """Return the transform of a PIL image for the processes that read files; picklable.

        For a model of tracklets, it takes the list of a clip's images.
        """

    @abstractmethod
    def of_files(
        self, inputs: Sequence[Any], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D) of outputs of the file transform for N images or tracklets.

        Args:
            inputs: N outputs of the file transform.
            modality: (N,) modalities; None = unknown.
            labels: ``camera`` and ``view`` (N,), for a model whose ``record_labels`` name them.
        """


def labels_of(model: nn.Module) -> tuple[str, ...]:
    """Return which of ``camera`` and ``view`` a model, or a model inside it, needs."""
    labels = [name for part in model.modules() for name in getattr(part, "record_labels", ())]
    return tuple(dict.fromkeys(labels))


def any_labels(model: nn.Module, count: int) -> dict[str, Tensor]:
    """Return labels for images that belong to no data set: the first of each kind."""
    return {name: torch.zeros(count, dtype=torch.int64) for name in labels_of(model)}


class BlackBox(nn.Module):
    """A network without a gradient; only attacks by queries work on it."""

    what = "a black box"  # description of the network in a sentence


def black_box(model: nn.Module) -> str:
    """Return why a model has no gradient, "" if no reason is known."""
    return next((part.what for part in model.modules() if isinstance(part, BlackBox)), "")
