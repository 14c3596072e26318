"""Universal perturbations: one additive delta, one color table, or both, for every image."""

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
    """``x -> f(x) + delta``, the color table f and the delta the same for every image.

    Yang et al., Towards Robust Person Re-Identification by Defending Against Universal Attackers,
    eqs. 1-4. The paper bounds the whole by eps; the published code bounds each part by eps and so
    reaches 2 eps, which ``sum`` does again.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        kind: ``both``, ``color`` or ``delta``.
        size: height and width of the delta, which is resized to the image it is added to.
        cells: corners of the color table along each axis.
        budget: of both parts together. ``joint``: the sum is projected, and its gradient passes
            the projection as it is; ``split``: half of eps for each; ``sum``: eps for each.

    Raises:
        ConfigError: an unknown kind or budget, a bound, size or table that cannot be.
    """

    corners: Tensor
    alone = False  # images of one size are changed together, to the same bits

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
        for what, value, known in (("perturbation", kind, KINDS), ("budget", budget, BUDGETS)):
            if value not in known:
                raise ConfigError(f"unknown {what} '{value}'{suggest(value, known)}")
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
        """How far a pixel can move, [0, 1]."""
        return min(1.0, self.eps * (2 if self.kind == "both" and self.budget == "sum" else 1))

    def describe(self) -> dict[str, Any]:
        """Return what a report says, lengths in gray levels."""
        return {
            "eps": round(to_levels(self.eps), 6),
            "linf": round(to_levels(self.linf), 6),
            "perturbation": self.kind,
            "budget": self.budget,
            "knowledge": "one perturbation for all images, learned before on training images",
        }

    def reset(self, batch: Batch) -> None:
        """Start anew at no change; the batch plays no part."""
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
        """Return its ``color`` table or its ``delta`` alone; ``both`` is all that it has.

        Raises:
            ConfigError: it has no such part.
        """
        if kind in ("both", self.kind):
            return self
        own = dict(self.named_parameters())
        if kind not in own:
            raise ConfigError(f"a perturbation of kind '{self.kind}' has no part '{kind}'")
        shape = own[kind].shape
        found = UniversalPerturbation(
            self.eps, kind=kind, size=shape[-2:], cells=shape[-1], budget=self.budget
        )
        found.load_state_dict({kind: own[kind].detach()}, strict=True)
        return found

    def limits(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return where each parameter may be: name -> lowest and highest values.

        No corner of the color table leaves [0, 1].
        """
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for name, parameter in self.named_parameters():
            low, high = parameter.new_tensor(-self.share), parameter.new_tensor(self.share)
            if name == "color":
                corners = self.corners.to(parameter)
                low, high = torch.maximum(low, -corners), torch.minimum(high, 1 - corners)
            found[name] = (low, high)
        return found

    @torch.no_grad()
    def project(self, images: Tensor | None = None) -> None:
        """Clamp every parameter; the clean images play no part."""
        limits = self.limits()
        for name, parameter in self.named_parameters():
            parameter.clamp_(*limits[name])

    @torch.no_grad()
    def randomize(self, generators: Sequence[torch.Generator], where: Tensor | None = None) -> None:
        """Move to uniform noise within the bounds, by the first generator."""
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
        path: of the file.
        perturbation: what was learned.
        about: what the header says besides: training set, model, space...
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
    """Return the perturbation of a file, within its bounds, and what the file says of it.

    Raises:
        ConfigError: no such file, or another kind of file.
    """
    found = read_universal(path)
    parts = found.tensors
    perturbation = UniversalPerturbation(
        from_levels(float(found.about["eps"])),
        kind="both" if len(parts) == 2 else next(iter(parts)),
        size=parts["delta"].shape[-2:] if "delta" in parts else (1, 1),
        cells=parts["color"].shape[-1] if "color" in parts else CELLS,
        budget=found.about["budget"],
    )
    perturbation.load_state_dict(parts)
    perturbation.project()
    return perturbation, found
