"""Benchmark of retrieval evaluation: ours, torchreid's, and the matrix product both contain."""

from __future__ import annotations

import dataclasses
import importlib
import resource
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv.evaluation import RetrievalResult, evaluate
from torchreid_adv.evaluation.ranking import GALLERY_BLOCK
from torchreid_adv.experiments.timing import least, place
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.features import Features

_IDENTITIES, _CAMERAS = 750, 6  # Market-1501's test set
_DISTRACTORS = 0.15  # share of the gallery
_PEER_LIMIT = (
    2 * 10**8
)  # pairs; beyond it torchreid takes half an hour, or more memory than there is
_KIBI = 1024
_PIECE = 8192  # features drawn at a time
_SIGNAL = 0.55  # identity's share of a feature, in deviations: a well trained model


def run(
    *,
    queries: int = 3368,
    gallery: int = 15913,
    dimension: int = 512,
    repeats: int = 3,
    device: str = "cpu",
) -> dict[str, Any]:
    """Time evaluation from features to mAP and match curve, and compare the outcomes.

    The features are drawn: a center per identity plus noise. The peer is torchreid's
    ``compute_distance_matrix`` and Python ``evaluate_rank``, the one a plain installation has; it
    is timed once, since it takes about a minute at the default size. Where torchreid has been
    built with its Cython ranking, that is timed, too. The floor is only the matrix product, into
    memory that is already allocated. If torchreid's matrices would not fit into memory, only ours
    and the floor are measured.

    Args:
        queries: number of queries.
        gallery: number of gallery images.
        dimension: length of a feature.
        repeats: times that ours and the floor are measured; the least counts.
        device: that computes; torchreid's is always the CPU.

    Returns:
        the printed numbers, times in seconds.
    """
    draw = torch.Generator().manual_seed(0)
    centers = torch.randn(_IDENTITIES, dimension, generator=draw) * _SIGNAL
    query = _on(device, _side(queries, centers, draw, distractors=0.0))
    clean = _on(device, _side(gallery, centers, draw, distractors=_DISTRACTORS))
    floor = _floor(repeats, query.values, clean.values)
    ours, result = least(repeats, lambda: evaluate(query, clean), device)
    peak = peak_memory()
    figures = {
        "queries": queries,
        "gallery": gallery,
        "dimension": dimension,
        "place": place(device),
        "repeats": repeats,
        "ours": ours,
        "floor": floor,
        "over_floor": ours / floor,
        "peak_gigabytes": peak,
        "mAP": result.mAP,
    }
    if queries * gallery <= _PEER_LIMIT:
        figures |= _beside(query, clean, result, ours, repeats)
    _show(figures)
    return figures


def _beside(
    query: Features, clean: Features, result: RetrievalResult, ours: float, repeats: int
) -> dict[str, Any]:
    """Return the peer's figures, and ours where an attack has turned all lists round."""
    distractor = (clean.pids == 0)[:, None].to(clean.values.device)
    opposite = torch.where(distractor, clean.values, -clean.values)
    attacked = Features(opposite, clean.pids, clean.camids, clean.image_ids)
    hard, _ = least(repeats, lambda: evaluate(query, attacked), clean.values.device)
    sides = _on("cpu", query), _on("cpu", clean)
    peer, (curve, mean) = least(1, lambda: _peer(*sides))
    ratios = {"ratio": peer / ours, "ratio_attacked": peer / hard}
    figures = {"ours_attacked": hard, "peer": peer, **ratios, **_differences(result, curve, mean)}
    return figures | _built(sides, result, ours, repeats)


def _built(
    sides: tuple[Features, Features], result: RetrievalResult, ours: float, repeats: int
) -> dict[str, Any]:
    """Return the figures of torchreid's Cython ranking; none where it is not built."""
    if not _ranking().IS_CYTHON_AVAI:
        return {}
    seconds, (curve, mean) = least(repeats, lambda: _peer(*sides, cython=True))
    # it sums average precisions in float32
    agrees = _differences(result, curve, mean, digits=1e-4)["agrees"]
    return {"cython": seconds, "ratio_cython": seconds / ours, "agrees_cython": agrees}


def _side(count: int, centers: Tensor, draw: torch.Generator, *, distractors: float) -> Features:
    pids = torch.randint(1, len(centers) + 1, (count,), generator=draw)
    pids[torch.rand(count, generator=draw) < distractors] = 0
    values = torch.empty(count, centers.shape[1])
    for rows, of in zip(values.split(_PIECE), pids.split(_PIECE), strict=True):
        lonely = torch.randn(rows.shape, generator=draw) * _SIGNAL  # a distractor is somebody else
        own = torch.where((of > 0)[:, None], centers[of - 1], lonely)
        torch.add(own, torch.randn(rows.shape, generator=draw), out=rows)
    camids = torch.randint(_CAMERAS, (count,), generator=draw)
    return Features(values, pids, camids, tuple(map(str, range(count))))


def _on(device: str, features: Features) -> Features:
    return dataclasses.replace(features, values=features.values.to(device))


def _floor(repeats: int, query: Tensor, gallery: Tensor) -> float:
    columns = gallery.split(GALLERY_BLOCK)
    product = query.new_zeros(len(query), len(columns[0]))

    def multiply() -> None:
        for part in columns:
            torch.mm(query, part.t(), out=product[:, : len(part)])

    return least(repeats, multiply, query.device)[0]


def peak_memory() -> float:
    """Return the most memory this process has had so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBI / 1e9


def _ranking() -> ModuleType:
    return importlib.import_module(f"{torchreid_module('metrics').__name__}.rank")


def _peer(query: Features, gallery: Features, *, cython: bool = False) -> tuple[np.ndarray, float]:
    metrics = torchreid_module("metrics")
    matrix = metrics.compute_distance_matrix(query.values, gallery.values, "euclidean")
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    curve, mean = metrics.evaluate_rank(
        matrix.numpy(), *(label.numpy() for label in labels), use_cython=cython
    )
    return curve, float(mean)


def _differences(
    result: RetrievalResult, curve: np.ndarray, mean: float, *, digits: float = 1e-6
) -> dict[str, Any]:
    """Compare with the peer, whose sort leaves the order of equal distances to chance."""
    curves = float(np.abs(result.cmc[: len(curve)].astype(np.float32) - curve).max())
    means = abs(result.mAP - mean)
    return {
        "difference_mAP": means,
        "difference_cmc": curves,
        "agrees": means < digits and curves <= 2 / result.queries,
    }


def _show(figures: dict[str, Any]) -> None:
    lines = [
        "Retrieval evaluation: {queries} queries x {gallery} gallery images x {dimension}, "
        "{place}, least of {repeats} runs",
        "  torchreid_adv    {ours:8.3f} s   {over_floor:.2f} floors; at most {peak_gigabytes:.2f} "
        "GB so far, features and all",
        "  floor            {floor:8.3f} s   the matrix product alone",
    ]
    if "peer" in figures:
        verdict = "agree" if figures["agrees"] else "DISAGREE"
        lines += [
            "    attacked       {ours_attacked:8.3f} s   positives end the lists",
            "  torchreid        {peer:8.2f} s   compute_distance_matrix + evaluate_rank (Python), "
            "one run: {ratio:.0f} times ours, {ratio_attacked:.0f} times if attacked",
            _cython_line(figures),
            "  mAP {mAP:.2%}, differs by {difference_mAP:.1e}, match curve by "
            "{difference_cmc:.1e}: " + verdict,
        ]
    else:
        lines.append("  torchreid        not run: its matrices would need some 20 bytes a pair")
    print("\n".join(lines).format(**figures))


def _cython_line(figures: dict[str, Any]) -> str:
    if "cython" not in figures:
        return "    in Cython      not built in this torchreid: rank_cylib has no rank_cy"
    verdict = "agrees" if figures["agrees_cython"] else "DISAGREES"
    return "    in Cython      {cython:8.3f} s   {ratio_cython:.1f} times ours; " + verdict
