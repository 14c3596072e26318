"""Images of one model before and after an attack, which pictures of several models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.models import PixelModel
from torchreid_adv.models.prepare import frozen


@dataclass(frozen=True)
class Sitting:
    """A model and the images it was attacked on; the same images for every model.

    Args:
        label: how pictures call the model.
        model: in whose features they look.
        clean: n RGB images.
        adversarial: the same n as stored after the attack on this model, of the same sizes.
    """

    label: str
    model: PixelModel
    clean: Sequence[Image.Image]
    adversarial: Sequence[Image.Image]

    def inputs(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the network's input (n, 3, H, W), through torchreid's test transform."""
        transform = self.model.file_transform()
        return torch.stack([transform(image) for image in images])

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the model's features (n, D) of length 1."""
        with frozen(self.model):
            found = self.model.of_files(list(self.inputs(images)))
        return F.normalize(found.float().cpu(), dim=1)
