"""Batches that are half visible and half infrared, of the same identities."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from torchreid_adv import config
from torchreid_adv.data.cross_modality.modality import INFRARED, VISIBLE, WORDS, modality_of
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.registry import SAMPLERS

_SHOWN = 5


class PairedSampler(Sampler[int]):
    """Draws P identities per batch, and k items per modality for each: V, V, I, I for k = 2.

    The i-th visible and the i-th infrared item of a batch have the same identity, and identities
    stay together if a batch is divided.
    """

    noun = ""

    def __init__(
        self,
        data_source: Sequence[Any],
        batch_size: int,
        num_instances: int,
        *,
        replace: bool | None = None,
    ) -> None:
        _check_sizes(type(self).__name__, batch_size, num_instances)
        self.batch_size, self.num_instances = batch_size, num_instances
        self._each = num_instances // 2
        self._replace = config.current().adv.video.replace if replace is None else replace
        self._pools = self._pooled(data_source)
        people = batch_size // num_instances
        if len(self._pools) < people:
            raise ConfigError(
                f"a batch of {batch_size} holds {people} identities, and {len(self._pools)} have "
                f"{self.noun} of both modalities; lower train.batch_size or raise "
                "sampler.num_instances"
            )
        counts = [
            sum(len(pool[modality]) for pool in self._pools.values())
            for modality in (VISIBLE, INFRARED)
        ]
        self.batches = min(counts) // (people * self._each)
        if not self.batches:
            raise ConfigError(
                f"a batch of {batch_size} takes {batch_size // 2} {self.noun} of each modality, "
                f"and there are {counts[0]} visible and {counts[1]} infrared; lower "
                "train.batch_size"
            )

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[int]:
        pids = list(self._pools)
        people = self.batch_size // self.num_instances
        for _ in range(self.batches):
            for place in torch.randperm(len(pids))[:people].tolist():
                for pool in self._pools[pids[place]]:
                    yield from self._drawn(pool)

    def _drawn(self, pool: list[int]) -> list[int]:
        if self._replace or len(pool) < self._each:
            places = torch.randint(len(pool), (self._each,))
        else:
            places = torch.randperm(len(pool))[: self._each]
        return [pool[place] for place in places.tolist()]

    def _pooled(self, items: Sequence[Any]) -> dict[int, tuple[list[int], list[int]]]:
        """Return identity -> its visible and infrared rows, for identities with both."""
        pools: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for row, item in enumerate(items):
            pools[item[1]][modality_of(item)].append(row)
        for modality in (VISIBLE, INFRARED):
            lacking = sorted(pid for pid, pool in pools.items() if not pool[modality])
            if len(lacking) == len(pools):
                raise DataError(
                    f"no identity has {WORDS[modality]} {self.noun}: {type(self).__name__} is for "
                    "sources of both modalities, such as vcm_i2v or virtual_vi_i2v"
                )
            if lacking:
                some = ", ".join(map(str, lacking[:_SHOWN]))
                warnings.warn(
                    f"{len(lacking)} training identities without {WORDS[modality]} {self.noun} "
                    f"are left out of the batches: {some}{'...' * (len(lacking) > _SHOWN)}",
                    stacklevel=3,
                )
        return {pid: pool for pid, pool in sorted(pools.items()) if all(pool)}


@SAMPLERS.register("CrossModalityTrackletSampler")
class CrossModalityTrackletSampler(PairedSampler):
    """Batches of tracklets, half of them visible, the other half infrared, paired by identity.

    An epoch has ``floor(min(visible, infrared) / (batch_size / 2))`` batches, as in MITML: 268 of
    32 on HITSZ-VCM. Identities are drawn for each batch; an epoch may miss some of them.

    Args:
        data_source: torchreid's tuples (paths, pid, camid, dsetid).
        batch_size: tracklets per batch.
        num_instances: tracklets per identity in a batch, half of each modality.
        replace: draw the tracklets of an identity with replacement, as in MITML; otherwise only if
            there are too few. None = the value of ``adv.video.replace``.

    Raises:
        ConfigError: sizes do not divide, or a batch needs more identities than there are.
        DataError: no identity has tracklets of one modality.
    """

    noun = "tracklets"


@SAMPLERS.register("CrossModalityIdentitySampler")
class CrossModalityIdentitySampler(PairedSampler):
    """Batches of images, half of them visible, the other half infrared, paired by identity.

    The same as :class:`CrossModalityTrackletSampler`, for images.
    """

    noun = "images"


def _check_sizes(name: str, batch_size: int, num_instances: int) -> None:
    if num_instances < 2 or num_instances % 2:
        raise ConfigError(
            f"{name} takes half of an identity's {num_instances} sampler.num_instances from each "
            "modality; make them an even number"
        )
    if batch_size % num_instances:
        raise ConfigError(
            f"{name} fills train.batch_size {batch_size} with groups of {num_instances} "
            f"(sampler.num_instances); make it a multiple, such as "
            f"{max(1, batch_size // num_instances) * num_instances}"
        )
