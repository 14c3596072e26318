"""FRM-STIG: features of stripes of the body, highlighted by space and embedded in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MODES = ("full", "no_spatial", "temporal")
PARTS = 6  # as PCB
_REDUCTION = 16


class SpatialTemporalGuidance(nn.Module):
    """Tracklets of feature maps -> one descriptor each, of six stripes one behind the other.

    An LSTM over the frames gives motion m_t^k of each stripe, an LSTM over the stripes of the last
    frame the spatial relation s; ``A = sigmoid(LM2(relu(LM1([f; s]))))`` highlights f (eqs. 11-13),
    ``h = f A + m`` embeds time (eq. 14), and the mean over the frames is taken (eq. 15). Both LSTMs
    have one layer and as many units as f has channels, which the sum of eq. 14 asks for; they are
    shared by stripes and modalities.

    Args:
        channels: of the maps.
        mode: ``full``; ``no_spatial`` = without the LSTM over stripes, s is each stripe's own last
            motion (FRM-STIG* of table 1); ``temporal`` = h = f + m (FR-E-TI).
    """

    def __init__(self, channels: int, *, mode: str = "full") -> None:
        super().__init__()
        self.mode, self.width = mode, PARTS * channels
        self.motion = nn.LSTM(channels, channels, batch_first=True)
        self.spatial = nn.LSTM(channels, channels, batch_first=True) if mode == "full" else None
        inside = channels // _REDUCTION
        self.gate = None
        if mode != "temporal":
            self.gate = nn.Sequential(
                nn.Linear(2 * channels, inside),
                nn.ReLU(),
                nn.Linear(inside, channels),
                nn.Sigmoid(),
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, 6 C) of maps (N, T, C, h, w)."""
        count, frames = maps.shape[:2]
        pooled = F.adaptive_avg_pool2d(maps.flatten(0, 1), (PARTS, 1))
        stripes = pooled[..., 0].transpose(1, 2).unflatten(0, (count, frames))  # (N, T, K, C)
        moved = _steps(self.motion, stripes.transpose(1, 2).flatten(0, 1))
        moved = moved.unflatten(0, (count, PARTS)).transpose(1, 2)
        if self.gate is not None:
            relation = moved[:, -1]  # (N, K, C)
            if self.spatial is not None:
                relation = _steps(self.spatial, relation)[:, -1:]
            relation = relation.unsqueeze(1).expand_as(stripes)
            stripes = stripes * self.gate(torch.cat([stripes, relation], dim=3))
        return (stripes + moved).mean(1).flatten(1)


def _steps(lstm: nn.LSTM, sequences: Tensor) -> Tensor:
    """Return an LSTM's outputs (N, L, C); cuDNN's has no gradient in eval mode, torch's own has."""
    if lstm.training or not torch.is_grad_enabled():
        outputs: Tensor = lstm(sequences)[0]
        return outputs
    with torch.backends.cudnn.flags(
        enabled=False, deterministic=torch.backends.cudnn.deterministic
    ):
        own: Tensor = lstm(sequences)[0]
    return own
