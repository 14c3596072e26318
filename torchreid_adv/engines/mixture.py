"""A training batch of clean and adversarial images: who passes the network, whose losses count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MIXES = ("both", "adversarial", "clean")
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Mixture:
    """What passes through the network in one step.

    Args:
        images: (R, 3, H, W) normalized.
        pids: (S,) identities of the first S of them, whose losses count.
        adversarial: (R,) bool.
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
    """Put clean and adversarial images together.

    Args:
        images: (N, 3, H, W) clean, normalized.
        pids: (N,) identities.
        rows: (M,) the attacked ones.
        attacked: (M, 3, H, W) their adversarial forms.
        mix: losses are of ``both``; of the ``adversarial`` forms in the place of their images; or
            of ``clean`` images alone.
        pairs: an image and its form are needed both, whatever the losses are of.
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
    """Return the rows of a batch of ``count`` that a share is: evenly spread, at least one."""
    wanted = max(1, round(ratio * count))
    return (torch.arange(wanted, device=device) * count).div(wanted, rounding_mode="floor")


@contextlib.contextmanager
def passing(model: nn.Module, counted: int | None, precision: str) -> Iterator[None]:
    """Inside the block a model computes in a format and gives its first ``counted`` rows, in fp32.

    Args:
        model: as an engine calls it, DataParallel and the like included.
        counted: rows whose losses count; None = all.
        precision: ``fp32`` or ``bf16`` (autocast; weights stay in fp32).
    """
    own = model.forward

    def forward(images: Tensor, **keywords: Any) -> Any:
        with torch.autocast(images.device.type, FORMATS[precision], enabled=precision != "fp32"):
            outputs = own(images, **keywords)
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
