"""Data sets, image files, batches, samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchreid_adv.core.lazily import attributes

if TYPE_CHECKING:
    from torchreid_adv.core.batch import Batch
    from torchreid_adv.data.datasets import Record, ReIDData, load_dataset

__all__ = ["Batch", "ReIDData", "Record", "load_dataset"]
_HOME = {
    "Batch": "torchreid_adv.core.batch",
    "ReIDData": "torchreid_adv.data.datasets",
    "Record": "torchreid_adv.data.datasets",
    "load_dataset": "torchreid_adv.data.datasets",
}
__getattr__ = attributes(__name__, _HOME)
