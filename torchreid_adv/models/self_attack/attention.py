"""Attention from one feature map to another, added to the first."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualAttention(nn.Module):
    """``x + BN(W softmax(q(x) k(y)^T / sqrt(d)) v(y))`` over the places of two maps of one frame.

    With ``y = x`` and pooled keys this is the paper's intra-modality self-attention (IMSA, eq. 2),
    with maps of two modalities its cross-modality cross-attention (CMCA, eq. 7). BN's gain starts
    at zero, so that training starts at the backbone. The paper's figures 3 and 4 are all that
    states the inside; queries from the map that is added to follow eq. 7's order of arguments.

    Args:
        channels: of both maps.
        reduction: channels by those inside.
        pooled: keys and values are pooled over 2 x 2 places by their maximum.
    """

    def __init__(self, channels: int, *, reduction: int = 2, pooled: bool = False) -> None:
        super().__init__()
        inside = channels // reduction
        self.query = nn.Conv2d(channels, inside, 1)
        self.key = nn.Conv2d(channels, inside, 1)
        self.value = nn.Conv2d(channels, inside, 1)
        self.out = nn.Conv2d(inside, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if pooled else nn.Identity()

    def forward(self, x: Tensor, y: Tensor, *, swapped: bool = False) -> Tensor:
        """Return a map of x's shape.

        Args:
            x: (N, C, h, w), the map that is added to.
            y: (N, C, h, w), the other one.
            swapped: queries from y, keys and values from x, as in IBAN's block.
        """
        asking, asked = (y, x) if swapped else (x, y)
        pooled = self.pool(asked)
        places = [
            part.flatten(2).transpose(1, 2)
            for part in (self.query(asking), self.key(pooled), self.value(pooled))
        ]
        seen = F.scaled_dot_product_attention(*places).transpose(1, 2)
        added: Tensor = self.norm(self.out(seen.unflatten(2, x.shape[2:])))
        return x + added
