"""Perturbations that a generator computes for each image, and their files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.core.given_files import given_file
from torchreid_adv.core.pixels import LEVELS, from_levels, to_levels
from torchreid_adv.core.tensor_file import TensorFile, read_tensors, unreadable, write_tensors
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.generator import NoiseNetwork

KIND = "generator"
WHAT = "a generator of perturbations"
LARGEST = {"filters": 512, "blocks": 64}  # limits for files


class GeneratedNoise(nn.Module):
    """``x -> clamp(x + eps * tanh(G(x)))``: a generator's perturbation of each image.

    Wang et al., Transferable, Controllable, and Inconspicuous Adversarial Attacks on Person
    Re-identification With Deep Mis-Ranking, 2020. Both the bound and the pixel range hold in pixels
    of [0, 1], before normalization. (The released code scales normalized noise, and clamps an image
    to its own extremes, which has no effect.)

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        size: height and width of the generator's input; an image is resized to it, and the
            perturbation back to the image.
        filters: number of filters of the generator's first convolution.
        blocks: number of residual blocks of the generator.
        pixels: share of an image's pixels that may change: those with the highest scores, also
            computed by the generator. (In the paper the discriminator scores them; here the
            generator alone is the attack.) In training Gumbel noise is added to the scores, and
            gradients pass through the choice as through a sigmoid.
        network: a trained network; None = a new one with weights from torch's generator.

    Raises:
        ConfigError: the bound, size or share is invalid.
    """

    alone = True  # convolutions of a batch may round differently from those of one image

    def __init__(
        self,
        eps: float,
        *,
        size: Sequence[int] = (256, 128),
        filters: int = 32,
        blocks: int = 6,
        pixels: float = 1.0,
        network: NoiseNetwork | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= eps <= 1:
            raise ConfigError(f"eps is in [0, 1] pixel units, got {eps}; write levels / 255")
        if not 0 < pixels <= 1:
            raise ConfigError(f"a share of pixels is above 0 and at most 1, got {pixels}")
        self.eps, self.size = float(eps), (int(size[0]), int(size[1]))
        self.filters, self.blocks, self.pixels = filters, blocks, float(pixels)
        self.network = network or NoiseNetwork(
            outputs=outputs_of(pixels), filters=filters, blocks=blocks
        )

    @property
    def linf(self) -> float:
        """Largest change of a pixel, [0, 1]."""
        return self.eps

    def describe(self) -> dict[str, Any]:
        """Describe the perturbation for a report, lengths in gray levels."""
        return {
            "eps": round(to_levels(self.eps), 6),
            "linf": round(to_levels(self.linf), 6),
            "perturbation": "generated",
            "pixels": self.pixels,
            "knowledge": "a generator of perturbations, learned before on training images",
        }

    def forward(self, images: Tensor) -> Tensor:
        """Return the adversarial form (N, 3, H, W) in [0, 1] of clean images."""
        weight = next(self.network.parameters())
        seen = _resized(images.to(weight.dtype), self.size, antialias=True)
        maps = _resized(self.network(seen), images.shape[-2:])
        noise = self.eps * maps[:, :3].tanh()
        if self.pixels < 1:
            noise = noise * self._mask(maps[:, 3:])
        return (images + noise.to(images.dtype)).clamp(0, 1)

    def _mask(self, scores: Tensor) -> Tensor:
        """Return 1 at the pixels with the highest scores and 0 elsewhere, (N, 1, H, W)."""
        flat = scores.flatten(1)
        if self.training:
            flat = flat - torch.empty_like(flat).exponential_().log()
        count = math.ceil(self.pixels * flat.shape[1])
        best, places = flat.topk(count, dim=1)
        hard_mask = torch.zeros_like(flat).scatter(1, places, 1.0)
        soft = torch.sigmoid(flat - best[:, -1:].detach())
        return (hard_mask + soft - soft.detach()).view_as(scores)


def save_generator(
    path: str | Path, noise: GeneratedNoise, about: Mapping[str, Any] | None = None
) -> None:
    """Write a generator as safetensors with a JSON header.

    Args:
        path: path of the file.
        noise: the learned perturbation.
        about: further header fields: training set, model...
    """
    header = {
        **(about or {}),
        "eps": round(to_levels(noise.eps), 6),
        "size": list(noise.size),
        "filters": noise.filters,
        "blocks": noise.blocks,
        "pixels": noise.pixels,
    }
    write_tensors(Path(path), noise.network.weights(), header, kind=KIND)


def load_generator(path: str | Path) -> tuple[GeneratedNoise, TensorFile]:
    """Load a generator, frozen, and its file's header.

    Raises:
        ConfigError: the file is missing or of another kind.
    """
    path = given_file(
        path,
        f"there is no generator '{path}'; learn one with adv.engine mis_ranking, which writes "
        "generator.safetensors into its data.save_dir",
        (".safetensors",),
    )
    stored = read_tensors(path, kind=KIND, description=WHAT)
    try:
        noise = _of(stored)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise unreadable(path, WHAT, error) from error
    if not all(bool(torch.isfinite(value).all()) for value in stored.tensors.values()):
        raise ConfigError(f"'{path}' holds {WHAT} with weights that are not finite")
    return noise.eval().requires_grad_(False), stored


def outputs_of(pixels: float) -> int:
    """Return a generator's number of outputs: noise, plus scores unless every pixel changes."""
    return 3 if pixels >= 1 else 4


def _of(stored: TensorFile) -> GeneratedNoise:
    about = stored.about
    shape = {name: int(about[name]) for name in ("filters", "blocks")}
    eps, pixels, size = float(about["eps"]), float(about["pixels"]), [int(v) for v in about["size"]]
    wrong = [name for name, value in shape.items() if value > LARGEST[name]]
    if wrong or not 0 <= eps <= LEVELS or len(size) != 2 or not 1 <= min(size) <= max(size) <= 4096:
        raise ValueError(f"its header says {about}")
    network = NoiseNetwork.of(stored.tensors, outputs=outputs_of(pixels), **shape)
    return GeneratedNoise(from_levels(eps), size=size, pixels=pixels, network=network, **shape)


def _resized(images: Tensor, size: Sequence[int], *, antialias: bool = False) -> Tensor:
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(
        images, tuple(size), mode="bilinear", align_corners=False, antialias=antialias
    )
