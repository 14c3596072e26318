"""Training identities of a data set as queries and gallery of their own."""

from __future__ import annotations

import numpy as np

from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.errors import DataError


def held_out_sides(
    data: ReIDData, *, identities: int, seed: int
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Return queries and gallery of some training identities; no test image is among them.

    The gallery is all images of these identities, the queries the first one by each camera; the
    evaluation leaves an identity's images by the query's own camera out.

    Args:
        data: the data set.
        identities: how many are drawn, at most; those that one camera alone sees do not count.
        seed: of the draw.

    Raises:
        DataError: no identity is seen by two cameras.
    """
    cameras: dict[int, set[int]] = {}
    for record in data.train:
        cameras.setdefault(record.pid, set()).add(record.camid)
    seen = sorted(pid for pid, those in cameras.items() if len(those) > 1)
    if not seen:
        raise DataError(
            f"no training identity of '{data.name}' is seen by two cameras, so that none can be "
            "searched for; choose another adv.selection.data"
        )
    order = np.random.default_rng(seed).permutation(len(seen))
    chosen = {seen[place] for place in order[:identities]}
    gallery = tuple(record for record in data.train if record.pid in chosen)
    first: dict[tuple[int, int], Record] = {}
    for record in gallery:
        first.setdefault((record.pid, record.camid), record)
    return tuple(first.values()), gallery
