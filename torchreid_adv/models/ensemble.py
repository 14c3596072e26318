"""Several models as one, each with its own input size and normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models.features import check_scale
from torchreid_adv.models.pixel_model import ImageModel, PixelModel


class Ensemble(ImageModel):
    """The concatenated unit features of several models, so that distances are means of theirs.

    The squared Euclidean distance of two such features is the mean of the members' squared
    distances of normalized features, and likewise for cosine distances: the loss of a multi-model
    attack (Bai et al., section 3.4.3) is the loss of the plain attack on the ensemble, whatever the
    lengths of the members' features. The paper does not say how its ensemble ranks; here it ranks
    by this mean.

    Args:
        members: the models.

    Raises:
        ConfigError: there is no member, or one is not a PixelModel.

    Example:
        >>> model = Ensemble([load_model("resnet50", "a.pth"), load_model("hacnn", "b.pth",
        ...                   size=(160, 64))])
    """

    def __init__(self, members: Sequence[PixelModel]) -> None:
        super().__init__()
        if not members or not all(isinstance(member, PixelModel) for member in members):
            raise ConfigError("an ensemble has one PixelModel or more as members")
        self.members = nn.ModuleList(members)

    def __repr__(self) -> str:
        return f"Ensemble({', '.join(map(repr, self.members))})"

    @property
    def size(self) -> list[tuple[int, int]]:
        """Height and width of each member's input."""
        return [member.size for member in self._members()]

    @property
    def network(self) -> nn.Module:
        """The networks of the members."""
        return self.members

    def forward(
        self,
        images: Tensor,
        *,
        sizes: Tensor | None = None,
        modality: Tensor | None = None,
        **labels: Tensor,
    ) -> Tensor:
        """Return features (N, D1 + D2 + ...) of length 1; arguments as for :class:`PixelModel`."""
        keywords = {"sizes": sizes, "modality": modality, **labels}
        return self._joined([member(images, **keywords) for member in self._members()])

    def file_transform(self) -> Each:
        """Return the members' file transforms as one: PIL image -> one input per member."""
        return Each([member.file_transform() for member in self._members()])

    def of_files(
        self, inputs: Sequence[list[Tensor]], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D) of N outputs of the file transform.

        Raises:
            DataError: a member's features are not finite, or cannot be normalized.
        """
        member_inputs = zip(*inputs, strict=True)
        members = zip(self._members(), member_inputs, strict=True)
        parts = [member.of_files(images, modality=modality, **labels) for member, images in members]
        for part in parts:  # normalization would hide it
            if not part.isfinite().all():
                raise DataError("features of a member of the ensemble hold NaN or infinity")
            check_scale(part)
        return self._joined(parts)

    def _members(self) -> list[PixelModel]:
        return [member for member in self.members if isinstance(member, PixelModel)]

    def _joined(self, features: Sequence[Tensor]) -> Tensor:
        units = [F.normalize(part, dim=1) for part in features]
        return torch.cat(units, dim=1) / math.sqrt(len(units))


class Each:
    """Several transforms of one image.

    Args:
        transforms: the transforms.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> list[Any]:
        """Return the output of each transform."""
        return [transform(image) for transform in self.transforms]
