"""Robust training without extra passes: Free-AT, and one perturbation for all images.

The backward pass that updates the weights also gives the gradient of the images, which moves their
perturbation. The engine's own loss is attacked, in training mode, whatever losses the engine has.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.errors import ConfigError

STARTS = ("random", "zero", "carried")
_STEP = from_levels(1)  # of the universal perturbation, as published
_SHARE = 0.8  # of the images that it is added to, as published


class Replayed(ABC):
    """A perturbation that training itself moves.

    Args:
        replays: weight updates on each batch.
    """

    replays: int

    @abstractmethod
    def begin(self, clean: Tensor, eps: float) -> Tensor:
        """Return the perturbation (N, 3, H, W) of a new batch.

        Args:
            clean: (N, 3, H, W) pixels in [0, 1].
            eps: L-infinity bound of now, pixel units.
        """

    @abstractmethod
    def step(self, delta: Tensor, gradient: Tensor, eps: float) -> Tensor:
        """Return the perturbation after a backward pass.

        Args:
            delta: (N, 3, H, W) that was added.
            gradient: (N, 3, H, W) of the loss at ``clean + delta``.
            eps: L-infinity bound of now, pixel units.
        """

    def new_epoch(self, generator: torch.Generator) -> None:  # noqa: B027
        """Start an epoch.

        Args:
            generator: the same in every process.
        """

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {}

    def take_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Continue from a state that :meth:`state` returned."""


@dataclass
class FreePerturbation(Replayed):
    """Free-AT: ``d <- clip(d + eps sign(gradient), -eps, eps)``, m times for each batch.

    Shafahi et al., Adversarial Training for Free!, NeurIPS 2019, algorithm 1. Its ``d`` is carried
    from batch to batch (``carried``), whatever images the next one has. Here a batch starts at
    uniform noise (``random``) by default, or at its clean images (``zero``).

    Args:
        replays: m, weight updates on each batch. Divide ``train.max_epoch`` by it.
        start: ``random``, ``zero`` or ``carried``.
    """

    replays: int = 4
    start: str = "random"
    kept: Tensor | None = field(default=None, repr=False)

    def begin(self, clean: Tensor, eps: float) -> Tensor:
        """Return noise, zeros, or what the batch before ended with."""
        if self.start == "zero":
            return torch.zeros_like(clean)
        if self.start == "random":
            noise = torch.rand(clean.shape, dtype=clean.dtype)  # of the CPU's generator, resumable
            return ((noise * 2 - 1) * eps).to(clean.device)
        fits = self.kept is not None and self.kept.shape[1:] == clean.shape[1:]
        if not fits or self.kept is None or len(self.kept) < len(clean):
            return torch.zeros_like(clean)
        return self.kept[: len(clean)].to(clean).clamp(-eps, eps)

    def step(self, delta: Tensor, gradient: Tensor, eps: float) -> Tensor:
        """Return the perturbation after a sign step of the bound's length."""
        moved = (delta + eps * gradient.sign()).clamp(-eps, eps)
        if self.start == "carried":
            if self.kept is None or len(self.kept) <= len(moved):
                self.kept = moved
            else:  # a shorter last batch
                self.kept = torch.cat([moved, self.kept[len(moved) :].to(moved)])
        return moved

    def state(self) -> dict[str, Any]:
        """Return the perturbation that is carried."""
        return {"kept": None if self.kept is None else self.kept.cpu()}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue with the perturbation of the last batch."""
        self.kept = state["kept"]


@dataclass
class UniversalFreePerturbation(Replayed):
    """Fast universal adversarial training: one perturbation, moved by each backward pass.

    ``v <- gradient / mean |gradient| + v``, ``d <- clip(d + sign(v) / 255, -eps, eps)``; ``d`` is
    added to 80 % of the images and starts each epoch at uniform noise (Liu et al., ICIP 2024). It
    defends against universal noise only: white-box attacks leave such a network no more than a
    plain one.
    """

    replays: int = 1
    delta: Tensor | None = field(default=None, repr=False)
    velocity: Tensor | None = field(default=None, repr=False)
    _rows: Tensor = field(default_factory=lambda: torch.ones(1), repr=False)
    _epoch_noise: torch.Generator | None = field(default=None, repr=False)

    def new_epoch(self, generator: torch.Generator) -> None:
        """Forget the perturbation; the next batch starts a new one."""
        self.delta = self.velocity = None
        self._epoch_noise = generator

    def begin(self, clean: Tensor, eps: float) -> Tensor:
        """Return the perturbation for a share of the images, zeros for the others."""
        if self.delta is None or self.delta.shape[1:] != clean.shape[1:]:
            noise = torch.rand(1, *clean.shape[1:], generator=self._epoch_noise)
            self.delta = ((noise * 2 - 1) * eps).to(clean)
            self.velocity = torch.zeros_like(self.delta)
        rows = torch.rand(len(clean), 1, 1, 1) < _SHARE
        self._rows = rows.to(clean)
        return self.delta.to(clean) * self._rows

    def step(self, delta: Tensor, gradient: Tensor, eps: float) -> Tensor:
        """Move the perturbation by the sum of the images' gradients, in all processes alike."""
        assert self.delta is not None
        assert self.velocity is not None
        total = (gradient * self._rows).sum(0, keepdim=True)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(total)
        size = total.abs().mean().clamp_min(torch.finfo(total.dtype).tiny)
        self.velocity = total / size + self.velocity.to(total)
        self.delta = (self.delta.to(total) + _STEP * self.velocity.sign()).clamp(-eps, eps)
        return self.delta * self._rows


def configured_replays(cfg: AdvConfig) -> Replayed | None:
    """Return what ``adv.training.method`` trains by; None for a method with an inner attack.

    Raises:
        ConfigError: keys that the method does not read.
    """
    training = cfg.adv.training
    if training.method not in ("free", "universal_free"):
        return None
    unread = {
        "steps": training.steps is not None,
        "step_size": training.step_size is not None,
        "ratio": training.ratio != 1,
        "consistency": training.consistency != 0,
        "universal": bool(training.universal),
    }
    for key in filter(unread.__getitem__, unread):
        raise ConfigError(
            f"adv.training.method '{training.method}' moves the perturbation of every image by the "
            f"training's own backward pass and does not read adv.training.{key}; leave it out"
        )
    if training.method == "free":
        return FreePerturbation(training.replays, training.start)
    return UniversalFreePerturbation()


@contextlib.contextmanager
def slower_statistics(network: nn.Module, replays: int) -> Iterator[None]:
    """Inside the block a batch that is seen m times moves BatchNorm's statistics once in all.

    Args:
        network: in training mode.
        replays: m; the momentum of each BatchNorm layer is divided by it.
    """
    norms: list[Any] = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.momentum is not None and replays > 1
    ]
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum /= replays
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
