"""Universal perturbations: an additive delta, a color table, or both, for all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.attacks.loop.perturbations import Perturbation
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels, to_levels
from torchreid_adv.core.tensor_file import TensorFile
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.transforms.color_table import (
    color_shift,
    lattice,
    read_universal,
    write_universal,
)

KINDS = ("both", "color", "delta")
BUDGETS = ("joint", "split", "sum")
CELLS = 25


class UniversalPerturbation(Perturbation):
    """``x -> f(x) + delta``, with the same color table f and delta for all images.

    Yang et al., Towards Robust Person Re-Identification by Defending Against Universal Attackers,
    eqs. 1-4. The paper bounds the sum by eps; the published code bounds each part by eps and so
    reaches 2 eps, which the budget ``sum`` reproduces.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        kind: ``both``, ``color`` or ``delta``.
        size: height and width of the delta, which is resized to each image.
        cells: number of corners of the color table along each axis.
        budget: how both parts share the bound. ``joint``: the sum is projected, and its gradient
            passes through the projection; ``split``: eps / 2 for each; ``sum``: eps for each.

    Raises:
        ConfigError: the kind or budget is unknown, or the bound, size or table is invalid.
    """

    corners: Tensor
    alone = False  # images of one size are changed together, with the same result

    def __init__(
        self,
        eps: float,
        *,
        kind: str = "both",
        size: Sequence[int] = (256, 128),
        cells: int = CELLS,
        budget: str = "joint",
    ) -> None:
        super().__init__()
        for option, value, known in (("perturbation", kind, KINDS), ("budget", budget, BUDGETS)):
            if value not in known:
                raise ConfigError(f"unknown {option} '{value}'{suggest(value, known)}")
        if not 0 <= eps <= 1:
            raise ConfigError(f"eps is in [0, 1] pixel units, got {eps}; write levels / 255")
        if min(size) < 1 or cells < 2:
            raise ConfigError(f"a delta has pixels, a table 2 corners or more: {size}, {cells}")
        self.eps, self.kind, self.budget = float(eps), kind, budget
        self.share = self.eps / 2 if kind == "both" and budget == "split" else self.eps
        if kind != "delta":
            self.color = nn.Parameter(torch.zeros(1, 3, cells, cells, cells))
            self.register_buffer("corners", lattice(cells), persistent=False)
        if kind != "color":
            self.delta = nn.Parameter(torch.zeros(1, 3, *size))

    @property
    def linf(self) -> float:
        """Largest change of a pixel, [0, 1]."""
        return min(1.0, self.eps * (2 if self.kind == "both" and self.budget == "sum" else 1))

    def describe(self) -> dict[str, Any]:
        """Describe the perturbation for a report, lengths in gray levels."""
        return {
            "eps": round(to_levels(self.eps), 6),
            "linf": round(to_levels(self.linf), 6),
            "perturbation": self.kind,
            "budget": self.budget,
            "knowledge": "one perturbation for all images, learned before on training images",
        }

    def reset(self, batch: Batch) -> None:
        """Start again without any change; the batch is ignored."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        """Return the adversarial form (N, 3, H, W) in [0, 1] of clean images."""
        changed = images
        if self.kind != "delta":
            changed = changed + color_shift(images, self.color)
        if self.kind != "color":
            changed = changed + self._fitting(images)
        if self.kind == "both" and self.budget == "joint":
            within = images + (changed - images).clamp(-self.eps, self.eps)
            changed = changed + (within - changed).detach()
        return changed.clamp(0, 1)

    def part(self, kind: str) -> UniversalPerturbation:
        """Return a copy with only its ``color`` table or ``delta``; ``both`` is itself.

        Raises:
            ConfigError: it has no such part.
        """
        if kind in ("both", self.kind):
            return self
        parameters = dict(self.named_parameters())
        if kind not in parameters:
            raise ConfigError(f"a perturbation of kind '{self.kind}' has no part '{kind}'")
        shape = parameters[kind].shape
        part = UniversalPerturbation(
            self.eps, kind=kind, size=shape[-2:], cells=shape[-1], budget=self.budget
        )
        part.load_state_dict({kind: parameters[kind].detach()}, strict=True)
        return part

    def limits(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the limits of each parameter: name -> lowest and highest values.

        Corners of the color table stay in [0, 1].
        """
        bounds: dict[str, tuple[Tensor, Tensor]] = {}
        for name, parameter in self.named_parameters():
            low, high = parameter.new_tensor(-self.share), parameter.new_tensor(self.share)
            if name == "color":
                corners = self.corners.to(parameter)
                low, high = torch.maximum(low, -corners), torch.minimum(high, 1 - corners)
            bounds[name] = (low, high)
        return bounds

    @torch.no_grad()
    def project(self, images: Tensor | None = None) -> None:
        """Clamp every parameter; the clean images are ignored."""
        limits = self.limits()
        for name, parameter in self.named_parameters():
            parameter.clamp_(*limits[name])

    @torch.no_grad()
    def randomize(self, generators: Sequence[torch.Generator], where: Tensor | None = None) -> None:
        """Set uniform noise within the bounds, from the first generator."""
        for parameter in self.parameters():
            noise = torch.rand(parameter.shape, generator=generators[0], dtype=torch.float64)
            parameter.copy_((noise * 2 - 1) * self.share)
        self.project()

    def _fitting(self, images: Tensor) -> Tensor:
        delta, size = self.delta.to(images), tuple(images.shape[-2:])
        if tuple(delta.shape[-2:]) == size:
            return delta
        return F.interpolate(delta, size, mode="bilinear", align_corners=True)


def save_universal(
    path: str | Path, perturbation: UniversalPerturbation, about: Mapping[str, Any] | None = None
) -> None:
    """Write a perturbation as safetensors with a JSON header.

    Args:
        path: path of the file.
        perturbation: the learned perturbation.
        about: further header fields: training set, model, space...
    """
    tensors = dict(perturbation.named_parameters())
    header = {
        **(about or {}),
        "eps": round(to_levels(perturbation.eps), 6),
        "budget": perturbation.budget,
        "size": list(perturbation.delta.shape[-2:]) if "delta" in tensors else None,
        "cells": perturbation.color.shape[-1] if "color" in tensors else None,
    }
    write_universal(Path(path), tensors, header)


def load_universal(path: str | Path) -> tuple[UniversalPerturbation, TensorFile]:
    """Load a perturbation, within its bounds, and its file's header.

    Raises:
        ConfigError: the file is missing or of another kind.
    """
    stored = read_universal(path)
    parts = stored.tensors
    perturbation = UniversalPerturbation(
        from_levels(float(stored.about["eps"])),
        kind="both" if len(parts) == 2 else next(iter(parts)),
        size=parts["delta"].shape[-2:] if "delta" in parts else (1, 1),
        cells=parts["color"].shape[-1] if "color" in parts else CELLS,
        budget=stored.about["budget"],
    )
    perturbation.load_state_dict(parts)
    perturbation.project()
    return perturbation, stored
