"""Stored images and what was recorded of their attack, as it is written and read back."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv.attacks.loop.gradient_attack import Adversarial
from torchreid_adv.core.manifest import SIDES, Entry, Manifest
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.models.features import Features
from torchreid_adv.runs.plan import Done


def stored_facts(adversarial: Adversarial, count: int) -> dict[str, Any]:
    """Return a ledger's record of the first ``count`` images of a batch."""
    return {
        "before": adversarial.before[:count].tolist(),
        "after": adversarial.after[:count].tolist(),
        "stuck": adversarial.zero_gradient[:count].tolist(),
        "further": {
            name: facts[..., :count].tolist() for name, facts in adversarial.facts().items()
        },
        "stages": list(adversarial.stages()),
    }


def joined_facts(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join the results of :func:`stored_facts` on several batches as if they were one batch."""
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


def stored_features(features: Sequence[Tensor]) -> bytes:
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
        name: torch.cat(
            [torch.tensor(unit_facts[name], dtype=torch.float64) for unit_facts in further], dim=-1
        )
        for name in names
    }


def read_features(targets: Sequence[Record], units: Sequence[Done], place: int = 0) -> Features:
    """Return the features of the attacked images before rounding.

    Args:
        targets: the attacked images.
        units: their records, in order.
        place: 0 = of the adversarial images, 1 and up = at the intermediate stages.
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
    """Return answers asked so far -> function that reads the images' features at that stage."""
    stages = units[0].facts["stages"]
    return {
        asked: functools.partial(read_features, targets, units, place)
        for place, asked in enumerate(stages, start=1)
    }


@dataclass(frozen=True)
class StoredImages:
    """A stored variant and the facts recorded while it was made.

    Args:
        folder: holds the images and the manifest.
        manifest: one entry per image.
        float_features: of the attacked images before they were rounded to whole levels.
        before: losses of the clean images.
        after: losses of the adversarial images.
        stuck: image_ids whose gradient was zero in every step.
        seconds: spent on the attack, by all processes together.
        facts: further facts of the attack on its images, in order: name -> (M,) or (rows, M).
        stages: answers asked so far -> function that reads the features of the attacked images at
            that stage, before rounding; in the order of the attack.
    """

    folder: Path
    manifest: Manifest
    float_features: Features
    before: Tensor
    after: Tensor
    stuck: tuple[str, ...]
    seconds: float
    facts: dict[str, Tensor]
    stages: dict[int, Callable[[], Features]]

    @property
    def attacked(self) -> frozenset[str]:
        """Names of the attacked images, or tracklets."""
        stored = self.manifest.stored
        return frozenset(entry.tracklet or entry.image_id for entry in stored if entry.attacked)

    def warn(self, missing: Sequence[Entry]) -> None:
        """Print which images did not change, and which were left out."""
        if self.stuck:
            print(
                f"warning: {len(self.stuck)} images had no gradient in any step and did not change "
                f"(first: {self.stuck[0]})"
            )
        if missing:
            print(
                f"warning: partial, {len(missing)} bad images were left out of every number "
                f"(first: {missing[0].image_id}: {missing[0].status})"
            )

    def data(self, source: ReIDData) -> ReIDData:
        """Return the variant as a data set with the image_ids of its source."""
        return stored_data(source, self.folder, self.manifest)


def stored_data(source: ReIDData, folder: Path, manifest: Manifest) -> ReIDData:
    """Return a stored version of a data set, with the image_ids of its source."""
    outputs = {entry.image_id: entry.output for entry in manifest.stored}
    sides: dict[str, Any] = {
        side: tuple(
            record.moved(folder, outputs) for record in source.side(side) if record.is_of(outputs)
        )
        for side in SIDES
    }
    return dataclasses.replace(source, root=folder, **sides)
