"""Benchmark of the neighbor search: ours, FAISS's flat index, and the matrix product below both."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.evaluation.neighbors import Neighbors, nearest
from torchreid_adv.experiments.timing import least, place

_PIECE = 65536  # gallery images of one block of the floor's product


def run(
    *,
    queries: int = 1000,
    gallery: int = 100_000,
    dimension: int = 128,
    k: int = 20,
    repeats: int = 3,
) -> dict[str, Any]:
    """Time the search for the k nearest images by each backend, and compare what they return.

    Both backends return the same images, because the distances of their candidates are computed
    again. The third time is that of FAISS's flat index alone, built and searched, whose order is
    that of a rounded product.

    Args:
        queries: number of queries.
        gallery: number of gallery images.
        dimension: length of a feature.
        k: length of a list.
        repeats: times that each is measured; the least counts.

    Returns:
        the printed numbers, times in seconds.
    """
    draw = torch.Generator().manual_seed(0)
    query, images = (torch.randn(n, dimension, generator=draw) for n in (queries, gallery))
    figures: dict[str, Any] = {"queries": queries, "gallery": gallery, "dimension": dimension}
    figures |= {
        "k": k,
        "repeats": repeats,
        "place": place("cpu"),
        "floor": _floor(repeats, query, images),
    }
    figures["torch"], ours = least(repeats, lambda: nearest(query, images, k))
    if importlib.util.find_spec("faiss"):
        figures["faiss"], theirs = least(
            repeats, lambda: nearest(query, images, k, backend="faiss")
        )
        figures["index"], _ = least(repeats, lambda: _index(query, images, k))
        figures["agrees"] = _same(ours, theirs)
    _show(figures)
    return figures


def _floor(repeats: int, query: Tensor, gallery: Tensor) -> float:
    columns = gallery.split(_PIECE)
    product = query.new_zeros(len(query), len(columns[0]))
    return least(
        repeats,
        lambda: [torch.mm(query, c.t(), out=product[:, : len(c)]) for c in columns],
    )[0]


def _index(query: Tensor, gallery: Tensor, k: int) -> Any:
    import faiss

    index: Any = faiss.IndexFlatL2(gallery.shape[1])
    index.add(gallery.numpy())
    return index.search(query.numpy(), k)


def _same(a: Neighbors, b: Neighbors) -> bool:
    return bool((a.images == b.images).all() and (a.distances == b.distances).all())


def _show(figures: dict[str, Any]) -> None:
    print(
        "Neighbor search: the {k} nearest of {gallery} images x {dimension} for {queries} queries, "
        "{place}, least of {repeats} runs".format(**figures)
    )
    rows = {"torch": "by torch", "faiss": "by FAISS", "index": "FAISS alone", "floor": "floor"}
    for name, title in rows.items():
        if name in figures:
            times = figures[name] / figures["floor"]
            print(f"  {title:<16}{figures[name]:8.3f} s   {times:.2f} floors")
    if "agrees" in figures:
        print("  both return " + ("the same" if figures["agrees"] else "OTHER NEIGHBORS"))
    else:
        print("  FAISS is not installed: pip install 'torchreid_adv[cpu]' to measure it")
