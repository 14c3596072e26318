"""A trunk for images of two modalities: the first layers twice, the stages once.

Stock engines hand a network its images and nothing else. Which modality an image is of therefore
travels with it, as a fourth channel.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.trunk import Trunk


def with_modality(images: Tensor, modality: Tensor) -> Tensor:
    """Return images (N, ..., 4, H, W) whose last channel is their modality.

    Args:
        images: (N, ..., 3, H, W), normalized.
        modality: (N,) numbers of data sets: even visible, odd infrared.
    """
    plane = (modality % 2).to(images).view(-1, *[1] * (images.ndim - 1))
    return torch.cat([images, plane.expand_as(images[..., :1, :, :])], dim=-3)


class TwoStreams(nn.Module):
    """A ResNet of which either modality has the first convolution and norm for itself.

    Args:
        trunk: with the weights to start from, of which the infrared layers are a copy.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.shared = trunk
        self.infrared = nn.Sequential(copy.deepcopy(trunk.conv1), copy.deepcopy(trunk.bn1))

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (N, C, h, w) of images.

        Args:
            images: (N, 4, H, W) as :func:`with_modality` gives them; (N, 3, H, W) = all visible.

        Raises:
            ConfigError: another number of channels.
        """
        if images.shape[1] not in (3, 4):
            raise ConfigError(
                f"images have 3 channels, and 4 with their modality, got {images.shape[1]}"
            )
        pixels, infrared = images[:, :3], images[:, 3:, 0, 0].flatten() > 0
        if not infrared.any():
            return self.shared(pixels)
        if infrared.all():
            return self.shared.stages(self._infrared_stem(pixels))
        visible = self.shared.stem(pixels[~infrared])
        maps = visible.new_empty(len(images), *visible.shape[1:])
        maps = maps.index_put((~infrared,), visible)
        return self.shared.stages(
            maps.index_put((infrared,), self._infrared_stem(pixels[infrared]))
        )

    def _infrared_stem(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.shared.maxpool(self.shared.relu(self.infrared(pixels)))
        return maps
