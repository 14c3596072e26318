"""The facts that identify a run of the standard evaluation, and the claim on its folder."""

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

from torchreid_adv.core.cache import RUN, Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import SIDES, sha256
from torchreid_adv.data.contents import digest_of_records, note_of, noted_images
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import Distance, LinearDistance
from torchreid_adv.errors import AdvError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.integration.heads import identity_layers
from torchreid_adv.models import PixelModel, fingerprint
from torchreid_adv.models.features import device_of
from torchreid_adv.models.pixel_model import ImageModel, black_box
from torchreid_adv.standard.versions import Version
from torchreid_adv.version import __version__

FILE_NAME = RUN
KEPT = ".job"  # folder of a run's cached values
IMAGES = "images.json"  # hashes of the images when the run began


def run_identity(
    model: ImageModel,
    data: ReIDData,
    version: Version,
    surrogates: Sequence[PixelModel],
    protocol: Protocol,
    attacked: Distance,
    name: str,
    contents: Contents,
) -> Key:
    """Return the facts that identify a run: everything that decides a byte of it."""
    return Key.of(
        machinery={
            "device": device_of(model).type,
            "network": model,
            "surrogates": list(surrogates),
            "distances": [protocol.distance, attacked],
        },
        version=__version__,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        budget=version.facts(),
        metric=metric_facts(protocol.distance),
        protocol=protocol.facts(),
        attacked_metric=metric_facts(attacked),
        model={
            "name": name,
            "sha256": model_digest(model),
            "parameters": None if black_box(model) else parameters(model),
            "size": list(getattr(model, "size", ())),
            "defense": model.describe() if isinstance(model, Defended) else None,
        },
        surrogates=[
            {"network": type(surrogate.network).__name__, "sha256": fingerprint(surrogate.network)}
            for surrogate in surrogates
        ],
        data={
            "name": data.name,
            "query": len(data.query),
            "gallery": len(data.gallery),
            "train": len(data.train),
            "listing": listing(data, contents),
        },
    )


def model_digest(model: nn.Module) -> str:
    """Return the hash of a model's weights; a defense is not part of it."""
    return fingerprint(getattr(model, "network", model))


def listing(data: ReIDData, contents: Contents) -> str:
    """Return the hash of a data set's names, identities, cameras and image files."""
    sides = [digest_of_records(data.side(side), contents) for side in SIDES]
    return sha256("\n".join(sides).encode())


def parameters(model: nn.Module) -> int:
    """Return the number of learned parameters of a model without its classifier."""
    network = getattr(model, "network", model)
    networks = list(network) if isinstance(network, nn.ModuleList) else [network]
    heads = {
        id(weight)
        for part in networks
        for layer in identity_layers(getattr(part, "network", part)).values()
        for weight in layer.parameters()
    }
    return sum(weight.numel() for weight in network.parameters() if id(weight) not in heads)


@contextlib.contextmanager
def claimed(out: Path, key: Key, data: ReIDData, contents: Contents) -> Iterator[None]:
    """Claim a folder for a run; a run that is refused inside the block leaves nothing there.

    Args:
        out: the folder.
        key: of the run.
        data: its data set.
        contents: hashes of the files.

    Raises:
        ConfigError: the folder holds another run.
        DataError: the folder holds this run on other images.
    """
    cache, note = Cache(out), out / KEPT / IMAGES
    noted_images(note, data, contents, out)
    new = not cache.check(key)
    cache.claim(key)
    write_text(note, json.dumps(note_of(data, contents)) + "\n")
    contents.keep()
    try:
        yield
    except AdvError:
        if new:
            shutil.rmtree(out / KEPT, ignore_errors=True)
            (out / FILE_NAME).unlink()
        raise


def metric_facts(distance: Distance) -> dict[str, Any]:
    """Return the facts that identify a metric."""
    facts: dict[str, Any] = {"name": distance.name, "normalized": distance.normalize}
    if isinstance(distance, LinearDistance) and distance.factor is not None:
        facts["sha256"] = distance.digest()
    return facts


def environment() -> dict[str, Any]:
    """Return further facts that a number may depend on."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }
