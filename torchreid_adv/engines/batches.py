"""Clean and adversarial images in one batch: pixels and back, mixtures, BatchNorm statistics."""

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
    """Let the BatchNorm layers of a network follow a policy inside the block.

    Args:
        network: in training mode.
        policy: ``shared``: one batch, as BatchNorm does by itself. ``separate``: clean and
            adversarial images are normalized by statistics of their own, and the running ones,
            which count in testing, are of the clean images. ``frozen``: the running statistics are
            used and stay as they are; weights and biases learn.
        adversarial: (R,) bool, the rows of the batch that are.

    Raises:
        ConfigError: ``separate`` in a network whose BatchNorm sees other rows than images.
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
    """Where clean and adversarial rows are, and how to put them back in order."""

    def __init__(self, adversarial: Tensor) -> None:
        self.count = len(adversarial)
        self.clean, self.adversarial = ((adversarial == side).nonzero()[:, 0] for side in (0, 1))
        self.order = torch.cat([self.clean, self.adversarial]).argsort()


def _separate(norm: Any, rows: _Rows) -> Callable[[Tensor], Tensor]:
    own = norm.forward

    def forward(maps: Tensor) -> Tensor:
        if len(maps) != rows.count:
            raise ConfigError(
                "adv.training.batchnorm 'separate' needs a network whose BatchNorm layers see one "
                f"row per image, and one got {len(maps)} rows for {rows.count} images; use "
                "'shared' or 'frozen'"
            )
        clean = own(maps[rows.clean])
        adversarial = F.batch_norm(
            maps[rows.adversarial], None, None, norm.weight, norm.bias, True, 0.0, norm.eps
        )
        return torch.cat([clean, adversarial])[rows.order]

    return forward


def pixel_model(engine: Any) -> PixelModel:
    """Return an engine's network, out of DataParallel, behind pixels; the weights are shared."""
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

    What a transform moved out of [0, 1] is clamped.
    """
    mean, std = model.moments(images)
    return (images * std + mean).clamp_(0, 1)


def moved(model: PixelModel, images: Tensor, clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return normalized images, moved as their pixels were.

    A pixel that did not move keeps its bits, also one that was out of [0, 1].

    Args:
        model: has the deviations.
        images: normalized (..., 3, H, W).
        clean: their pixels, see :func:`to_pixels`.
        adversarial: the same after the attack.
    """
    return images + (adversarial - clean) / model.moments(images)[1]


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
