"""What decides the bytes of a run: a run that differs in any of it cannot go on with another's."""

from __future__ import annotations

from typing import Any

import torch

from torchreid_adv.defenses import Defended
from torchreid_adv.models import Ensemble, PixelModel, fingerprint
from torchreid_adv.version import __version__

LEDGER = 2  # what is kept of a unit; a run that another number began cannot go on
Scorable = PixelModel | Ensemble | Defended


def surroundings(model: Scorable, chunk: int) -> dict[str, Any]:
    """Return what decides the bytes of any run besides its attack: versions, network, chunk."""
    return {
        "version": __version__,
        "ledger": LEDGER,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "chunk": chunk,
        "size": list(model.size),
        "sha256": fingerprint(model.network),
    }
