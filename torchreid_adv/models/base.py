"""What every model of this package is to those who score image files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn


class ImageModel(nn.Module, ABC):
    """Images in [0, 1] of any size -> features; and the same for image files, as torchreid does."""

    @abstractmethod
    def file_transform(self) -> Callable[[Any], Any]:
        """Return what is done to a PIL image in the process that reads it; picklable.

        A model of tracklets is given the list of a clip's images.
        """

    @abstractmethod
    def of_files(self, inputs: Sequence[Any], *, modality: Tensor | None = None) -> Tensor:
        """Return the features (N, D) of what the file transform gave for N images or tracklets.

        Args:
            inputs: N of them.
            modality: (N,) of each; None = not known.
        """


class BlackBox(nn.Module):
    """A network that answers, and has no gradient; only attacks that ask can be made on it."""

    what = "a black box"  # that it is, in a sentence


def black_box(model: nn.Module) -> str:
    """Return what keeps a model from having a gradient, "" where nothing is known to."""
    return next((part.what for part in model.modules() if isinstance(part, BlackBox)), "")
