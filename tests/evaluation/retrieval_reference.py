"""A slow reference for retrieval scores: Python loops over a stable order, fractions for scores."""

from fractions import Fraction

import numpy as np
import torch

from torchreid_adv.models.features import Features


def order_of(row, query_pid, query_camid, gallery_pids, gallery_camids):
    """Return the ranking list of one query, junk removed, ties by gallery index."""
    keep = [
        g
        for g in range(len(row))
        if not (gallery_pids[g] == query_pid and gallery_camids[g] == query_camid)
    ]
    return sorted(keep, key=lambda g: (row[g], g))


def slow_scores(distances, query_pids, gallery_pids, query_camids, gallery_camids):
    """Return per query None or (standard AP, trapezoid AP, first rank, INP), as exact fractions."""
    scores = []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        order = order_of(row, pid, camid, gallery_pids, gallery_camids)
        ranks = [rank for rank, g in enumerate(order) if gallery_pids[g] == pid]
        if not ranks:
            scores.append(None)
            continue
        standard = trapezoid = Fraction(0)
        for i, rank in enumerate(ranks):
            after = Fraction(i + 1, rank + 1)
            before = Fraction(i, rank) if rank else Fraction(1)
            standard += after
            trapezoid += (before + after) / 2
        n = len(ranks)
        scores.append((standard / n, trapezoid / n, ranks[0], Fraction(n, ranks[-1] + 1)))
    return scores


def random_labels(generator, queries, gallery, identities=6, cameras=3):
    """Draw labels with distractors (pid 0), identities of one side only and mixed cameras."""
    query_pids = generator.integers(1, identities + 1, queries)
    gallery_pids = generator.integers(0, identities, gallery)
    query_camids = generator.integers(0, cameras, queries)
    gallery_camids = generator.integers(0, cameras, gallery)
    return query_pids, gallery_pids, query_camids, gallery_camids


def features(values, pids, camids):
    """Return Features with numbers for names."""
    return Features(
        torch.as_tensor(np.asarray(values)),
        torch.as_tensor(np.asarray(pids), dtype=torch.int64),
        torch.as_tensor(np.asarray(camids), dtype=torch.int64),
        tuple(f"image-{row}" for row in range(len(pids))),
    )
