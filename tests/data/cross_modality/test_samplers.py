from collections import Counter

import numpy as np
import pytest
import torch

from torchreid_adv.data.cross_modality import (
    CrossModalityIdentitySampler,
    CrossModalityTrackletSampler,
)
from torchreid_adv.errors import ConfigError, DataError


def tracklets(people, visible=3, infrared=2):
    return [
        (("frame.jpg",), pid, 0, modality)
        for pid in range(people)
        for modality, count in ((0, visible), (1, infrared))
        for _ in range(count)
    ]


def batches(sampler, items):
    rows = [items[row] for row in sampler]
    size = sampler.batch_size
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def test_a_batch_is_half_and_half_and_paired_by_identity():
    items = tracklets(20)
    sampler = CrossModalityTrackletSampler(items, 16, 4)
    drawn = batches(sampler, items)
    assert len(drawn) == len(sampler) // 16 == 40 // 8
    for batch in drawn:
        pids = np.array([item[1] for item in batch])
        modality = np.array([item[3] % 2 for item in batch])
        assert (pids[modality == 0] == pids[modality == 1]).all()
        assert Counter(pids.tolist()) == dict.fromkeys(pids.tolist(), 4)
        assert modality.tolist() == [0, 0, 1, 1] * 4  # whole identities in equal parts


def test_an_epoch_of_vcm_has_268_batches():
    """5460 visible and 4291 infrared tracklets of 500 identities, as in HITSZ-VCM."""
    items = [(("f",), row % 500, 0, 0) for row in range(5460)]
    items += [(("f",), row % 500, 0, 1) for row in range(4291)]
    sampler = CrossModalityTrackletSampler(items, 32, 4)
    assert sampler.batches == 268
    assert len(list(sampler)) == len(sampler) == 268 * 32


def test_tracklets_repeat_only_where_there_are_too_few():
    items = tracklets(8, visible=5, infrared=1)
    sampler = CrossModalityTrackletSampler(items, 16, 4)
    rows = np.array(list(sampler)).reshape(-1, 4)
    assert (rows[:, 0] != rows[:, 1]).all()
    assert (rows[:, 2] == rows[:, 3]).all()
    mitml = CrossModalityTrackletSampler(items, 16, 4, replace=True)
    drawn = np.array([list(mitml) for _ in range(60)]).reshape(-1, 4)
    assert (drawn[:, 0] == drawn[:, 1]).any()


def test_every_epoch_is_drawn_anew_and_a_seed_repeats_it():
    sampler = CrossModalityTrackletSampler(tracklets(20), 16, 4)
    torch.manual_seed(0)
    first, second = list(sampler), list(sampler)
    torch.manual_seed(0)
    assert list(sampler) == first != second


def test_identities_of_one_modality_are_left_out_with_a_warning():
    items = [*tracklets(8), (("f",), 99, 0, 0)]
    with pytest.warns(UserWarning, match="1 training identities without infrared tracklets.*: 99"):
        sampler = CrossModalityTrackletSampler(items, 16, 4)
    assert 99 not in {items[row][1] for _ in range(20) for row in sampler}


@pytest.mark.parametrize(
    ("size", "instances", "message"),
    [
        (15, 3, "even number"),
        (30, 4, "multiple, such as 28"),
        (64, 4, "16 identities, and 8 have tracklets of both"),
    ],
)
def test_sizes_that_cannot_be_are_refused(size, instances, message):
    with pytest.raises(ConfigError, match=message):
        CrossModalityTrackletSampler(tracklets(8), size, instances)


def test_a_source_of_one_modality_is_refused():
    with pytest.raises(DataError, match="no identity has infrared images"):
        CrossModalityIdentitySampler(tracklets(8, infrared=0), 16, 4)


def test_two_sources_keep_their_modalities():
    items = tracklets(8)
    items += [(paths, pid + 8, camid, dsetid + 2) for paths, pid, camid, dsetid in tracklets(8)]
    sampler = CrossModalityTrackletSampler(items, 16, 4)
    for batch in batches(sampler, items):
        assert [item[3] % 2 for item in batch] == [0, 0, 1, 1] * 4
