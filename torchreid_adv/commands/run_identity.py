"""What decides the bytes of a run: a run that differs in any of it cannot go on with another's."""

from __future__ import annotations

from typing import Any

import torch

from torchreid_adv.core.facts import facts_of
from torchreid_adv.defenses import Defended
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.extract import device_of
from torchreid_adv.version import __version__

LEDGER = 2  # what is kept of a unit; a run that another number began cannot go on
Scorable = PixelModel | Ensemble | Defended


def machinery() -> dict[str, Any]:
    """Return what decides how every sum is rounded: versions and threads."""
    return {
        "version": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def surroundings(model: Scorable, chunk: int, network: Any = None) -> dict[str, Any]:
    """Return what decides the bytes of any run besides its attack: versions, network, chunk.

    Args:
        model: the network.
        chunk: images attacked together.
        network: ``facts_of(model)`` where they are known, because all weights are hashed for them.
    """
    return {
        **machinery(),
        "device": device_of(model).type,
        "ledger": LEDGER,
        "chunk": chunk,
        "network": facts_of(model) if network is None else network,
    }
