"""Attacks called on plain tensors, which derive their references by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import LEVELS, quantize
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.features import Features
from torchreid_adv.models.loading import scorable
from torchreid_adv.models.pixel_model import ImageModel, frozen

_AT_REST = 1e-10  # a squared distance between features that differ by rounding is below
_ON_LEVELS = 1e-3  # of a gray level: floats that came from 8-bit images are nearer to one
_CHUNK = 64  # images per forward pass
_LATER = "gallery/"  # before the numbers of gallery images: another name than any image attacked

Labels = Tensor | Sequence[int] | None


def on_tensors(
    call: Callable[..., Any],
    attack: Any,
    model: Any,
    images: Any,
    references: References | None = None,
    *,
    pids: Labels = None,
    camids: Labels = None,
    gallery: Tensor | Features | None = None,
    gallery_pids: Labels = None,
) -> Tensor:
    """Call an attack on plain images (N, 3, H, W).

    Images are uint8 levels, or floats in [0, 1]. Floats on whole gray levels (8-bit images over
    255) come back on whole levels within ``floor(eps)`` of them, as stored runs have them, so that
    nothing changes when they are saved as PNG. An image without another of its identity is its own
    reference, from which only attacks with a random start, or without a distance, can leave.

    Args:
        call: the attack's ``__call__`` on a batch.
        attack: the attack.
        model: to attack; an entry and a module are loaded.
        images: the images.
        references: references for the objective; None = of the images, or of the gallery.
        pids: (N,) identities; images of one identity are each other's references.
        camids: (N,) cameras, for models that take them.
        gallery: images (M, 3, H, W) or :class:`Features`, the references instead.
        gallery_pids: (M,) identities of gallery images.

    Returns:
        adversarial images on the same device and of the same dtype.
    """
    model, clean = scorable(model), _floats(images)
    labels = _numbers(pids, len(clean), "pids")
    cameras = None if camids is None else _numbers(camids, len(clean), "camids")
    batch = Batch(clean, pids=labels, camids=cameras)
    if references is None:
        references = _references(model, batch, gallery, gallery_pids, named=pids is not None)
    adversarial = call(attack, model, batch, references)
    _require_moved(attack, batch, references, adversarial)
    return _as_given(adversarial.images, clean, images, attack.linf)


def _floats(images: Any) -> Tensor:
    """Return images as float32 in [0, 1].

    Raises:
        ConfigError: no tensor of images.
    """
    if not isinstance(images, Tensor) or images.ndim != 4:
        kind = f"{tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ConfigError(
            f"an attack takes a Batch or a tensor (N, 3, H, W) of uint8 levels or floats in "
            f"[0, 1], got {kind}; for tracklets make a Batch"
        )
    if images.dtype == torch.uint8:
        return images.detach().float() / LEVELS
    return images.detach().float() if images.is_floating_point() else images


def _numbers(values: Labels, count: int, name: str) -> Tensor:
    """Return labels (N,) int64; those that are not given are all different."""
    if values is None:
        return torch.arange(count)
    numbers = torch.as_tensor(values, dtype=torch.int64).detach().cpu()
    if tuple(numbers.shape) != (count,):
        raise ConfigError(
            f"{name} holds one number for each of {count} images, got {tuple(numbers.shape)}"
        )
    return numbers


def _references(
    model: ImageModel, batch: Batch, gallery: Any, gallery_pids: Labels, *, named: bool
) -> References:
    """Return the features that images are compared with: the gallery's, or those of each other."""
    if gallery is None:
        return References(_features(model, batch), "leave_one_out_or_self")
    if isinstance(gallery, Features):
        return References(gallery, "all")
    if gallery_pids is None or not named:
        raise ConfigError("a gallery of images needs pids= and gallery_pids=, their identities")
    images = _floats(gallery).to(batch.images.device)
    numbers = _numbers(gallery_pids, len(images), "gallery_pids")
    names = tuple(f"{_LATER}{n}" for n in range(len(images)))
    return References(_features(model, Batch(images, pids=numbers, image_ids=names)), "all")


def _features(model: ImageModel, batch: Batch) -> Features:
    with torch.no_grad(), frozen(model):
        rows = range(0, len(batch), _CHUNK)
        parts = [_part(batch, slice(start, start + _CHUNK)) for start in rows]
        values = torch.cat([part.embed(model)(part.images).float().cpu() for part in parts])
    assert batch.pids is not None
    cameras = torch.zeros_like(batch.pids) if batch.camids is None else batch.camids
    return Features(values, batch.pids, cameras, batch.image_ids)


def _part(batch: Batch, rows: slice) -> Batch:
    cameras = None if batch.camids is None else batch.camids[rows]
    return Batch(batch.images[rows], camids=cameras, image_ids=batch.image_ids[rows])


def _require_moved(attack: Any, batch: Batch, references: References, adversarial: Any) -> None:
    """Refuse what an attack left at rest because an image is its only reference.

    Raises:
        ConfigError: with the first such images, and what to give.
    """
    if references.rule != "leave_one_out_or_self":
        return
    alone = references.positives(batch).sum(1) == 1
    at_rest = adversarial.zero_gradient.cpu()
    if getattr(attack, "start", "") == "zero":
        at_rest = at_rest | (adversarial.before.cpu().abs() < _AT_REST)
    unmoved = alone & at_rest & _is_own(references, batch)
    if bool(unmoved.any()):
        first = ", ".join(str(row) for row in unmoved.nonzero().flatten()[:3].tolist())
        raise ConfigError(
            f"{int(unmoved.sum())} of {len(batch)} images (first: {first}) have no reference but "
            f"themselves, and {attack.name} starts where the distance to that is least; give pids= "
            "with two images or more of each identity, or gallery= with gallery_pids=, or take an "
            "attack that starts at random, such as pgd or sma"
        )


def _is_own(references: References, batch: Batch) -> Tensor:
    """Return which images (N,) have themselves among their references."""
    mask = references.positives(batch)
    rows = {name: row for row, name in enumerate(references.features.image_ids)}
    places = [rows.get(name, -1) for name in batch.image_ids]
    return torch.tensor([p >= 0 and bool(mask[n, p]) for n, p in enumerate(places)])


def _as_given(moved: Tensor, clean: Tensor, images: Tensor, linf: float | None) -> Tensor:
    """Return adversarial images in the dtype and on the device of the given images."""
    levels = clean * LEVELS
    if float((levels - levels.round()).abs().max()) > _ON_LEVELS:
        return moved.to(images)
    levels = (quantize(moved, clean, linf) * LEVELS).round()
    if images.dtype == torch.uint8:
        return levels.to(images)
    return levels.to(images.device, images.dtype) / LEVELS
