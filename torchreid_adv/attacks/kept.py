"""What the ledger keeps of attacked images beside their pixels, and how it is read back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv.attacks.gradient_attack import Adversarial
from torchreid_adv.data.datasets import Record
from torchreid_adv.jobs.ledger import Done
from torchreid_adv.models.features import Features


def kept_facts(found: Adversarial, count: int) -> dict[str, Any]:
    """Return what a ledger says of the first ``count`` images of a batch."""
    return {
        "before": found.before[:count].tolist(),
        "after": found.after[:count].tolist(),
        "stuck": found.zero_gradient[:count].tolist(),
        "further": {name: facts[..., :count].tolist() for name, facts in found.facts().items()},
        "stages": list(found.stages()),
    }


def joined_facts(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what :func:`kept_facts` says of several batches as if of one."""
    first, *others = parts
    if not others:
        return first
    lists = ("before", "after", "stuck")
    return {
        **{name: [value for part in parts for value in part[name]] for name in lists},
        "further": {
            name: np.concatenate([part["further"][name] for part in parts], axis=-1).tolist()
            for name in first["further"]
        },
        "stages": first["stages"],
    }


def kept_features(features: Sequence[Tensor]) -> bytes:
    """Return the float32 bytes of features (N, D), on the CPU, at the end and at each stage."""
    return np.stack([values.numpy() for values in features]).tobytes()


def read_losses(units: Sequence[Done], name: str) -> Tensor:
    """Return ``before`` or ``after`` (M,) of the M images of all units."""
    return torch.tensor([loss for unit in units for loss in unit.facts[name]])


def read_facts(units: Sequence[Done]) -> dict[str, Tensor]:
    """Return the further facts of the M images of all units: name -> (M,) or (rows, M) float64."""
    names = units[0].facts["further"]
    further = [unit.facts["further"] for unit in units]
    return {
        name: torch.cat([torch.tensor(own[name], dtype=torch.float64) for own in further], dim=-1)
        for name in names
    }


def read_features(targets: Sequence[Record], units: Sequence[Done], place: int = 0) -> Features:
    """Return the features of the attacked images before rounding.

    Args:
        targets: the attacked images.
        units: what is recorded of them, in their order.
        place: 0 = of the adversarial images, 1 and on = at the stages on the way there.
    """
    parts = []
    for unit in units:
        size = unit.size // (1 + len(unit.facts["stages"]))
        values = np.frombuffer(unit.data(place * size, size), np.float32)
        parts.append(values.reshape(len(unit.facts["before"]), -1))
    return Features.of(targets, torch.from_numpy(np.concatenate(parts)))


def read_stages(
    targets: Sequence[Record], units: Sequence[Done]
) -> dict[int, Callable[[], Features]]:
    """Return answers asked by then -> what reads the features of the images at that stage."""
    stages = units[0].facts["stages"]
    return {
        asked: functools.partial(read_features, targets, units, place)
        for place, asked in enumerate(stages, start=1)
    }
