"""What makes a run of the standard evaluation the same run, and where it is done."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import Distance, LinearDistance
from torchreid_adv.errors import AdvError, ConfigError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.integration.checkpoints import is_head
from torchreid_adv.jobs.files import write_text
from torchreid_adv.jobs.manifest import SIDES, sha256
from torchreid_adv.models import PixelModel, fingerprint
from torchreid_adv.models.base import ImageModel, black_box
from torchreid_adv.standard.versions import Version
from torchreid_adv.version import __version__

FILE_NAME = "run.json"
KEPT = ".job"  # folder of what a run keeps beside its results


def run_identity(
    model: ImageModel,
    data: ReIDData,
    version: Version,
    surrogates: Sequence[PixelModel],
    protocol: Protocol,
    attacked: Distance,
    name: str,
) -> dict[str, Any]:
    """Return what makes a run the same run: everything that decides a byte of it."""
    return {
        "version": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "budget": version.facts(),
        "metric": metric_facts(protocol.distance),
        "protocol": protocol.facts(),
        "attacked_metric": metric_facts(attacked),
        "model": {
            "name": name,
            "sha256": model_digest(model),
            "parameters": None if black_box(model) else parameters(model),
            "size": list(getattr(model, "size", ())),
            "defense": model.describe() if isinstance(model, Defended) else None,
        },
        "surrogates": [
            {"network": type(one.network).__name__, "sha256": fingerprint(one.network)}
            for one in surrogates
        ],
        "data": {
            "name": data.name,
            "query": len(data.query),
            "gallery": len(data.gallery),
            "train": len(data.train),
            "listing": listing(data),
        },
    }


def model_digest(model: nn.Module) -> str:
    """Return the hash of a model's weights; a defense is not part of it."""
    return fingerprint(getattr(model, "network", model))


def listing(data: ReIDData) -> str:
    """Return the hash of a data set's names, identities and cameras."""
    rows = [(r.image_id, r.pid, r.camid) for side in SIDES for r in data.side(side)]
    return sha256(json.dumps(rows).encode())


def parameters(model: nn.Module) -> int:
    """Return how many numbers of a model were learned, its classifier left out."""
    named = getattr(model, "network", model).named_parameters()
    return sum(weight.numel() for name, weight in named if not is_head(name))


@contextlib.contextmanager
def claimed(out: Path, identity: dict[str, Any]) -> Iterator[None]:
    """Make a folder a run's; a run that is refused inside the block leaves nothing there.

    Raises:
        ConfigError: it holds another run.
    """
    path = out / FILE_NAME
    new = not path.exists()
    if not new and path.read_text(encoding="utf-8") != _text(identity):
        raise ConfigError(
            f"'{path}' belongs to another run; choose another data.save_dir or remove it"
        )
    write_text(path, _text(identity))
    try:
        yield
    except AdvError:
        if new:
            shutil.rmtree(out / KEPT, ignore_errors=True)
            path.unlink()
        raise


def metric_facts(distance: Distance) -> dict[str, Any]:
    """Return what tells two metrics apart."""
    facts: dict[str, Any] = {"name": distance.name, "normalized": distance.normalize}
    if isinstance(distance, LinearDistance) and distance.factor is not None:
        facts["sha256"] = distance.digest()
    return facts


def environment() -> dict[str, Any]:
    """Return what else a figure may depend on."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"
