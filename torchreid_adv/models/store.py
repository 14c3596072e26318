"""Features in files: computed once, loaded by every process and by a run that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from torchreid_adv.data.datasets import Record
from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.models.features import Features

_VALUES = "values"


def save_features(path: Path, features: Features) -> None:
    """Write the values of features as a safetensors file, whole or not at all."""
    write_bytes(path, save({_VALUES: features.values.contiguous()}))


def load_features(path: Path, records: Sequence[Record]) -> Features | None:
    """Return the stored features of some images; None where there are none of as many."""
    try:
        values = load(path.read_bytes())[_VALUES]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
    return Features.of(records, values) if len(values) == len(records) else None
