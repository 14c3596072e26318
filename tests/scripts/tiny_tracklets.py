"""A tiny network of tracklets, a stem for each modality."""

import torch
from torch import nn
from torch.nn import functional as F

from torchreid_adv.registry import MODELS


class TinyTracklets(nn.Module):
    takes_tracklets = True

    def __init__(self, num_classes=2):
        super().__init__()
        self.stems = nn.ModuleList(nn.Conv2d(3, 8, 3, stride=2, padding=1) for _ in range(2))
        self.last = nn.Linear(8 * 4 * 2, 16)
        self.classifier = nn.Linear(16, num_classes)

    def forward(self, images, modality=None):
        clips = images if images.ndim == 5 else images.unsqueeze(1)
        kinds = [0] * len(clips) if modality is None else modality.tolist()
        found = []
        for clip, kind in zip(clips, kinds, strict=True):
            maps = F.adaptive_avg_pool2d(torch.tanh(self.stems[kind](clip)), (4, 2))
            weights = torch.arange(1, len(clip) + 1, dtype=maps.dtype)[:, None]
            found.append((torch.tanh(self.last(maps.flatten(1))) * weights).sum(0))
        return torch.stack(found)


@MODELS.register("tiny_tracklets")
def tiny_tracklets(num_classes=2, loss="softmax", pretrained=True, **kwargs):
    return TinyTracklets(num_classes)
