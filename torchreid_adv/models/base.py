"""What every model of images is, and networks that answer without a gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ImageModel(nn.Module, ABC):
    """Images in [0, 1] of any size -> features; and the same for image files, as torchreid does."""

    @abstractmethod
    def file_transform(self) -> Callable[[Any], Any]:
        """Return what is done to a PIL image in the process that reads it; picklable.

        A model of tracklets is given the list of a clip's images.
        """

    @abstractmethod
    def of_files(
        self, inputs: Sequence[Any], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D) of what the file transform gave for N images or tracklets.

        Args:
            inputs: N of them.
            modality: (N,) of each; None = not known.
            labels: ``camera`` and ``view`` (N,), for a model whose ``record_labels`` name them.
        """


def labels_of(model: nn.Module) -> tuple[str, ...]:
    """Return which of ``camera`` and ``view`` a model, or one inside it, wants of each image."""
    wanted = [name for part in model.modules() for name in getattr(part, "record_labels", ())]
    return tuple(dict.fromkeys(wanted))


def any_labels(model: nn.Module, count: int) -> dict[str, Tensor]:
    """Return labels of a model for images that are of no data set: the first of each."""
    return {name: torch.zeros(count, dtype=torch.int64) for name in labels_of(model)}


class BlackBox(nn.Module):
    """A network that answers, and has no gradient; only attacks that ask can be made on it."""

    what = "a black box"  # that it is, in a sentence


def black_box(model: nn.Module) -> str:
    """Return what keeps a model from having a gradient, "" where nothing is known to."""
    return next((part.what for part in model.modules() if isinstance(part, BlackBox)), "")
