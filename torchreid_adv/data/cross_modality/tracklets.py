"""Tracklets of both modalities as a torchreid data set."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv import config
from torchreid_adv.data.cross_modality.frames import frame_rule
from torchreid_adv.data.cross_modality.modality import require_modalities
from torchreid_adv.data.images import read_image
from torchreid_adv.integration.layout import torchreid_module

VideoDataset: Any = torchreid_module("data.datasets.dataset").VideoDataset

Item = tuple[tuple[str, ...], int, int, int]  # paths of the frames, pid, camid, dsetid


class TrackletDataset(VideoDataset):
    """Tracklets whose modality is the parity of ``dsetid``: even visible, odd infrared.

    ``__getitem__`` returns ``img`` (T, 3, H, W), ``pid``, ``camid`` and ``dsetid``. The frames
    follow ``video.sample_method``, which has more rules here, see ``frames.METHODS``; random
    transforms are drawn for each frame or, with ``adv.video.sync_transforms``, once for all.

    Args:
        train: tracklets, identities from 0.
        query: tracklets.
        gallery: tracklets.
        sync: draw transforms once per tracklet; None = as in the config.
        kwargs: torchreid's keywords (``transform``, ``mode``, ``seq_len``, ``sample_method``...).

    Raises:
        ConfigError: ``sample_method`` is unknown.
    """

    modalities = True  # dsetid is the modality

    def __init__(
        self,
        train: list[Item],
        query: list[Item],
        gallery: list[Item],
        *,
        sync: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(train, query, gallery, **kwargs)
        self.sync = config.current().adv.video.sync_transforms if sync is None else sync
        frame_rule(self.sample_method, training=True)

    def __getitem__(self, index: int) -> dict[str, Any]:
        paths, pid, camid, dsetid = self.data[index]
        rule = frame_rule(self.sample_method, training=self.mode == "train")
        images = [read_image(paths[row]) for row in rule(len(paths), self.seq_len)]
        clip = self._together(images) if self.sync else [self.transform(i) for i in images]
        return {"img": torch.stack(clip), "pid": pid, "camid": camid, "dsetid": dsetid}

    def __add__(self, other: Any) -> TrackletDataset:
        """Return the training tracklets of both sets, of this class (unlike torchreid's).

        Raises:
            ConfigError: a source has no modalities.
        """
        require_modalities(other, TrackletDataset)
        joined = copy.copy(self)
        pids, cams, numbers = self.num_train_pids, self.num_train_cams, self.num_datasets
        joined.train = self.train + [
            (paths, pid + pids, camid + cams, dsetid + numbers)
            for paths, pid, camid, dsetid in other.train
        ]
        joined.num_train_pids = pids + other.num_train_pids
        joined.num_train_cams = cams + other.num_train_cams
        joined.num_datasets = numbers + other.num_datasets
        joined.data = getattr(joined, joined.mode)
        joined.test_only = getattr(self, "test_only", False) or getattr(other, "test_only", False)
        return joined

    def _together(self, images: list[Any]) -> list[Tensor]:
        """Transform all frames with the draws of the first."""
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        clip = []
        for image in images:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])
            clip.append(self.transform(image))
        return clip
