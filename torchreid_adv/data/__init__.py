"""Data sets, image files, batches, samplers."""

from torchreid_adv.core.batch import Batch
from torchreid_adv.data.datasets import Record, ReIDData, load_dataset

__all__ = ["Batch", "ReIDData", "Record", "load_dataset"]
