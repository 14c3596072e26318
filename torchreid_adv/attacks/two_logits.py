"""A distance in the form that attacks on classifiers ask for."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.objectives import Losses

OFFSET = 0.5  # keeps u above 0, where the second logit ends
_SHIFT = 12.0  # some classes lose logits below 0


class TwoLogits(nn.Module):
    """A distance d as two logits whose cross-entropy for class 0 is ``u = scale * d + offset``.

    ``z = (-u, log(1 - exp(-u))) + shift``, so that a classifier's loss is linear in the distance,
    and class 0 wins as long as ``u < log 2``.

    Args:
        losses_of: images -> distances (N,), none below 0.
        like: an image; logits are computed on its device and in its format.
        scale: of the distance.
        offset: above 0.
        shift: added to both logits, which changes no loss.
    """

    def __init__(
        self,
        losses_of: Losses,
        like: Tensor,
        *,
        scale: float,
        offset: float = OFFSET,
        shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.losses_of = losses_of
        self.scale, self.offset, self.shift = scale, offset, shift
        # the device of a model's first parameter is where torchattacks works
        self.like = nn.Parameter(like.new_zeros(()), requires_grad=False)

    @classmethod
    def crossing(cls, losses_of: Losses, like: Tensor, tau: float) -> TwoLogits:
        """Return logits of which the first is the larger as long as the distance is below tau."""
        half = math.log(2) / 2
        return cls(losses_of, like, scale=half / tau, offset=half, shift=_SHIFT)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2) in the format the images came in."""
        if images.requires_grad:  # some classes view a gradient as rows
            images = images.view_as(images)
            images.register_hook(lambda gradient: gradient.contiguous())
        u = self.losses_of(images.to(self.like.dtype)) * self.scale + self.offset
        logits = torch.stack([-u, torch.log1p(-torch.exp(-u))], dim=1) + self.shift
        return logits.to(images.dtype)
