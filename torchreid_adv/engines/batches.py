"""Clean and adversarial images in a batch: pixels and back, mixtures, BatchNorm statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.transforms import Normalize

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.models import PixelModel

POLICIES = ("shared", "separate", "frozen")


@contextlib.contextmanager
def batch_norm(network: nn.Module, policy: str, adversarial: Tensor) -> Iterator[None]:
    """Apply a policy to the BatchNorm layers of a network inside the block.

    Args:
        network: in training mode.
        policy: ``shared``: the whole batch, BatchNorm's default. ``separate``: clean and
            adversarial images are normalized by their own statistics, and the running statistics,
            used in testing, come from the clean images. ``frozen``: running statistics are used and
            not changed; weights and biases learn.
        adversarial: (R,) bool, the adversarial rows of the batch.

    Raises:
        ConfigError: ``separate`` with a network whose BatchNorm layers see other rows than images.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]
    both = bool(adversarial.any()) and not bool(adversarial.all())
    try:
        if policy == "frozen":
            for norm in norms:
                norm.training = False
        elif policy == "separate" and both:
            rows = _Rows(adversarial)
            for norm in norms:
                vars(norm)["forward"] = _separate(norm, rows)
        yield
    finally:
        for norm in norms:
            norm.training = True
            vars(norm).pop("forward", None)


class _Rows:
    """Positions of clean and adversarial rows, and the order to restore them."""

    def __init__(self, adversarial: Tensor) -> None:
        self.count = len(adversarial)
        self.clean, self.adversarial = ((adversarial == side).nonzero()[:, 0] for side in (0, 1))
        self.order = torch.cat([self.clean, self.adversarial]).argsort()


def _separate(norm: Any, rows: _Rows) -> Callable[[Tensor], Tensor]:
    stock_forward = norm.forward

    def forward(maps: Tensor) -> Tensor:
        if len(maps) != rows.count:
            raise ConfigError(
                "adv.training.batchnorm 'separate' needs a network whose BatchNorm layers see one "
                f"row per image, and one got {len(maps)} rows for {rows.count} images; use "
                "'shared' or 'frozen'"
            )
        clean = stock_forward(maps[rows.clean])
        adversarial = F.batch_norm(
            maps[rows.adversarial], None, None, norm.weight, norm.bias, True, 0.0, norm.eps
        )
        return torch.cat([clean, adversarial])[rows.order]

    return forward


def pixel_model(engine: Any) -> PixelModel:
    """Return an engine's network, without DataParallel, behind pixels; weights are shared."""
    data = engine.datamanager
    normalize = next(t for t in data.transform_te.transforms if isinstance(t, Normalize))
    return PixelModel(
        unwrap(engine.model),
        size=(data.height, data.width),
        mean=normalize.mean,
        std=normalize.std,
    )


def to_pixels(model: PixelModel, images: Tensor) -> Tensor:
    """Return the pixels (..., 3, H, W) in [0, 1] of normalized images.

    Values that a transform moved out of [0, 1] are clamped.
    """
    mean, std = model.moments(images)
    return (images * std + mean).clamp_(0, 1)


def moved(model: PixelModel, images: Tensor, clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return normalized images with the change of their pixels applied.

    An unchanged pixel keeps its bits, even if it was outside of [0, 1].

    Args:
        model: provides the standard deviations.
        images: normalized (..., 3, H, W).
        clean: their pixels, see :func:`to_pixels`.
        adversarial: their pixels after the attack.
    """
    return images + (adversarial - clean) / model.moments(images)[1]


FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Mixture:
    """The batch that passes through the network in a step.

    Args:
        images: (R, 3, H, W) normalized.
        pids: (S,) identities of the first S images, whose losses count.
        adversarial: (R,) bool, the adversarial images.
        clean_rows: (M,) rows of the clean images that have an adversarial form in the batch.
        adversarial_rows: (M,) rows of those forms.
    """

    images: Tensor
    pids: Tensor
    adversarial: Tensor
    clean_rows: Tensor
    adversarial_rows: Tensor


def mixture(
    images: Tensor, pids: Tensor, rows: Tensor, attacked: Tensor, *, mix: str, pairs: bool
) -> Mixture:
    """Combine clean and adversarial images.

    Args:
        images: (N, 3, H, W) clean, normalized.
        pids: (N,) identities.
        rows: (M,) rows of the attacked images.
        attacked: (M, 3, H, W) their adversarial forms.
        mix: images whose losses count: ``both``; ``adversarial`` forms instead of their clean
            images; or only ``clean`` images.
        pairs: keep both an image and its adversarial form, whichever losses count.
    """
    count, form = len(images), torch.arange(len(images), len(images) + len(rows))
    form, marks = form.to(rows), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    added = torch.ones_like(rows, dtype=torch.bool)
    if mix == "adversarial":
        seen = images.index_copy(0, rows, attacked)
        marks[rows] = True
        if not pairs:
            return Mixture(seen, pids, marks, rows[:0], rows[:0])
        every = torch.cat([seen, images[rows]])
        return Mixture(every, pids, torch.cat([marks, ~added]), form, rows)
    every, adversarial = torch.cat([images, attacked]), torch.cat([marks, added])
    counted = torch.cat([pids, pids[rows]]) if mix == "both" else pids[:count]
    return Mixture(every, counted, adversarial, rows, form)


def evenly(count: int, ratio: float, device: torch.device) -> Tensor:
    """Return evenly spread rows of a batch of ``count``, a given share of it, at least one."""
    selected_count = max(1, round(ratio * count))
    return (torch.arange(selected_count, device=device) * count).div(
        selected_count, rounding_mode="floor"
    )


@contextlib.contextmanager
def passing(model: nn.Module, counted: int | None, precision: str) -> Iterator[None]:
    """Inside the block a model computes in a number format; its first rows are returned in fp32.

    Args:
        model: as an engine calls it, including wrappers such as DataParallel.
        counted: number of first rows whose losses count; None = all.
        precision: ``fp32`` or ``bf16`` (autocast; weights stay in fp32).
    """
    stock_forward = model.forward

    def forward(images: Tensor, **keywords: Any) -> Any:
        with torch.autocast(images.device.type, FORMATS[precision], enabled=precision != "fp32"):
            outputs = stock_forward(images, **keywords)
        return _cut(outputs, counted)

    vars(model)["forward"] = forward
    try:
        yield
    finally:
        vars(model).pop("forward")


def _cut(outputs: Any, counted: int | None) -> Any:
    if isinstance(outputs, (tuple, list)):
        return type(outputs)(_cut(output, counted) for output in outputs)
    return outputs[:counted].float()
