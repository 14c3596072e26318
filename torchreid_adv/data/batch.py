"""A batch of images of any sizes, and the random generators that belong to each of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError

EMPTY: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Images in [0, 1] on one zero-padded canvas.

    Args:
        images: (N, 3, H, W), or (N, T, 3, H, W) for tracklets.
        sizes: (N, 2) or (N, T, 2) int64 height and width of each image, kept on the CPU (reading
            them there costs no synchronization); None = all fill the canvas.
        pids: (N,) identities, where known.
        camids: (N,) cameras, where known.
        image_ids: N names; numbers where none are given.
        modality: (N,) modality of each, or None.

    Raises:
        ConfigError: images that are not in [0, 1], not finite, empty, or of another shape.
    """

    images: Tensor
    sizes: Tensor | None = None
    pids: Tensor | None = None
    camids: Tensor | None = None
    image_ids: tuple[str, ...] = EMPTY
    modality: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.ndim not in (4, 5) or self.images.shape[-3] != 3 or 0 in shape:
            raise ConfigError(f"a batch is (N, 3, H, W) or (N, T, 3, H, W) images, got {shape}")
        if not self.images.is_floating_point():
            raise ConfigError(f"images are floats in [0, 1], got {self.images.dtype}")
        low, high = (float(v) for v in self.images.detach().aminmax())
        if not (low >= 0 and high <= 1):
            raise ConfigError(
                f"images are in [0, 1] before normalization, got [{low:.4g}, {high:.4g}]"
            )
        if not self.image_ids:
            object.__setattr__(self, "image_ids", tuple(str(i) for i in range(len(self.images))))

    def __len__(self) -> int:
        return len(self.images)

    def rng(self, seed: int, *key: object) -> list[torch.Generator]:
        """Return one CPU generator per image; draws never depend on the neighbors in the batch."""
        return [generator(seed, *key, image_id) for image_id in self.image_ids]

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        return dataclasses.replace(
            self,
            images=self.images.to(device),
            modality=None if self.modality is None else self.modality.to(device),
        )


def generator(*key: object) -> torch.Generator:
    """Return a generator seeded by a hash of the key, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def pad(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Put images (3, h, w) of any sizes on one canvas: ((N, 3, H, W), sizes (N, 2))."""
    sizes = torch.tensor([image.shape[-2:] for image in images])
    height, width = (int(v) for v in sizes.amax(0))
    canvas = images[0].new_zeros(len(images), 3, height, width)
    for row, image in zip(canvas, images, strict=True):
        row[:, : image.shape[-2], : image.shape[-1]] = image
    return canvas, sizes
