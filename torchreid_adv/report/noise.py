"""What the attack adds to an image: original, noise, adversarial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchreid_adv.core.pixels import to_levels, to_tensor, to_uint8
from torchreid_adv.data.images import read_image
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.similarity import ssim
from torchreid_adv.report.cards import load
from torchreid_adv.report.choice import choose_images

DETAIL = (512, 1024)  # width, height at most


@dataclass(frozen=True)
class Triple:
    """An attacked image: original, noise amplified around mid-gray, adversarial.

    Args:
        image_id: its name.
        original: RGB image.
        noise: RGB image, see :func:`amplify`.
        adversarial: RGB image, as stored.
        largest: largest change of a channel, in gray levels; None where the stored image has
            another size, so that the original was resized for the picture.
    """

    image_id: str
    original: Image.Image
    noise: Image.Image
    adversarial: Image.Image
    largest: int | None


def noise_triples(target: AttackedData) -> list[Triple]:
    """Return original, noise and adversarial image of about four attacked images."""
    side = target.gallery if target.side == "gallery" else target.query
    attacked = [image_id for image_id in side.image_ids if image_id in target.attacked]
    return [triple(target, image_id) for image_id in choose_images(attacked)]


def triple(target: AttackedData, image_id: str) -> Triple:
    """Subtract an original from its stored adversarial image and amplify the difference."""
    pair = (load(target, image_id, after=after) for after in (False, True))
    return compared(image_id, *pair, eps=target.eps)


def compared(
    image_id: str, original: Image.Image, adversarial: Image.Image, *, eps: float
) -> Triple:
    """Return an image, its adversarial form and the amplified difference of the two.

    Args:
        image_id: its name.
        original: RGB image, resized here if the adversarial image has another size.
        adversarial: RGB image, as stored.
        eps: bound in [0, 1], which the difference is scaled by.
    """
    resized = original.size != adversarial.size
    if resized:
        original = original.resize(adversarial.size, Image.Resampling.BILINEAR)
    noise = to_tensor(np.array(adversarial)) - to_tensor(np.array(original))
    amplified = Image.fromarray(to_uint8(amplify(noise, eps)))
    pictures = (original, amplified, adversarial)
    for picture in pictures:
        picture.thumbnail(DETAIL, Image.Resampling.NEAREST)
    largest = None if resized else round(to_levels(noise.abs().max().item()))
    return Triple(image_id, *pictures, largest)


def amplify(noise: Tensor, eps: float) -> Tensor:
    """Return noise around mid-gray, ``0.5 + noise / (2 eps)``, in [0, 1].

    Args:
        noise: difference of images in [0, 1].
        eps: bound in [0, 1]; 1 means no bound, and the largest change is used instead.
    """
    reach = eps if eps < 1 else noise.abs().max().item()
    return noise.div(2 * reach).add(0.5).clamp(0, 1) if reach else torch.full_like(noise, 0.5)


def file_similarity(original: Path, adversarial: Path) -> float:
    """Return the SSIM of an image file and its stored adversarial form.

    The original is resized if the adversarial image was stored at a network's input size.

    Raises:
        DataError: a file is missing or no readable image.
    """
    pair = [read_image(original), read_image(adversarial)]
    if pair[0].size != pair[1].size:
        pair[0] = pair[0].resize(pair[1].size, Image.Resampling.BILINEAR)
    first, second = (to_tensor(np.array(image))[None] for image in pair)
    return float(ssim(first, second)[0])
