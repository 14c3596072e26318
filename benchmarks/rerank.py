"""Benchmark of k-reciprocal re-ranking: ours, torchreid's, and the matrix product below both.

``python -m torchreid_adv.benchmarks.rerank --queries 11659 --gallery 82161`` is of MSMT17's
size, where torchreid's cannot run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchreid_adv.evaluation import RetrievalResult
    from torchreid_adv.models.features import Features


_CAMERAS, _IMAGES = 6, 11  # cameras, and gallery images per identity
_SIGNAL = 0.4  # identity's share of a feature, in deviations: a middling model
_ROWS = 512  # of a block of the floor's product
_STATUS = Path("/proc/self/status")
# images beyond which torchreid's matrices take some ten GB
_MOST_FOR_PEER = 20_000


def run(
    *,
    queries: int = 1684,
    gallery: int = 7956,
    dimension: int = 512,
    repeats: int = 3,
    peer: bool | None = None,
) -> dict[str, Any]:
    """Time re-ranking from features on, and compare the outcomes and the memory.

    The features are random: a center per identity plus noise. Each part is measured in a separate
    process, so that its memory is known. Ours is timed from features to mAP and match curve. The
    peer, torchreid's ``compute_distance_matrix`` of all pairs and ``re_ranking``, is timed to
    re-ranked distances, once. The floor is the product of all features with all, in blocks.

    Args:
        queries: number of queries.
        gallery: number of gallery images.
        dimension: length of a feature.
        repeats: times that ours and the floor are measured; the least counts.
        peer: measure the peer, too; None: where there are 20,000 images at most.

    Returns:
        the printed numbers; times in seconds, memory in MB: ``peak`` of the process, and ``own``,
        the part that was added after the features were made.
    """
    size = (queries, gallery, dimension)
    with_peer = queries + gallery <= _MOST_FOR_PEER if peer is None else peer
    parts = ["floor", "ours"] + (["peer"] if with_peer else [])
    found = {part: _in_a_process(part, *size, repeats) for part in parts}
    figures = {
        **dict(zip(("queries", "gallery", "dimension"), size, strict=True)),
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        **found,
        "over_floor": found["ours"]["seconds"] / found["floor"]["seconds"],
    }
    if with_peer:
        figures |= _compared(found["ours"], found["peer"])
    _show(figures)
    return figures


def _in_a_process(part: str, *numbers: int) -> dict[str, Any]:
    command = [sys.executable, "-m", __spec__.name, "--part", part, *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(part: str, queries: int, gallery: int, dimension: int, repeats: int) -> dict[str, Any]:
    """Measure one part in this process."""
    jobs = {"ours": _ours, "peer": _peer, "floor": _floor}
    sides = _sides(queries, gallery, dimension)
    job, score = jobs[part](*sides)
    job_count = 1 if part == "peer" else repeats
    start, least = _memory("VmRSS"), float("inf")
    for _ in range(job_count):
        began = time.perf_counter()
        outcome = job()
        least = min(least, time.perf_counter() - began)
    peak = _memory("VmHWM")
    return {"seconds": least, "peak": peak, "own": peak - start, **score(outcome)}


def _sides(queries: int, gallery: int, dimension: int) -> tuple[Features, Features]:
    from torchreid_adv.models.features import Features

    draw = torch.Generator().manual_seed(0)
    identities = max(gallery // _IMAGES, 1)
    centers = torch.randn(identities, dimension, generator=draw) * _SIGNAL

    def side(count: int) -> Features:
        pids = torch.randint(identities, (count,), generator=draw)
        camids = torch.randint(_CAMERAS, (count,), generator=draw)
        values = torch.randn(count, dimension, generator=draw)
        for rows in torch.arange(count).split(_ROWS):
            values[rows] += centers[pids[rows]]
        return Features(values, pids, camids, tuple(map(str, range(count))))

    return side(queries), side(gallery)


Part = tuple[Callable[[], Any], Callable[[Any], dict[str, Any]]]


def _ours(query: Features, gallery: Features) -> Part:
    from torchreid_adv.evaluation import Reranking, evaluate

    return lambda: evaluate(query, gallery, rerank=Reranking()), _scores


def _peer(query: Features, gallery: Features) -> Part:
    from torchreid_adv.integration.layout import torchreid_module

    compute = torchreid_module("metrics").compute_distance_matrix
    rerank = torchreid_module("utils.rerank").re_ranking
    pairs = ((query, gallery), (query, query), (gallery, gallery))

    def score(matrix: Any) -> dict[str, Any]:
        from torchreid_adv.evaluation import evaluate_matrix

        sides = (query.pids, gallery.pids, query.camids, gallery.camids)
        return _scores(evaluate_matrix(matrix, *sides))

    return lambda: rerank(*(compute(a.values, b.values).numpy() for a, b in pairs)), score


def _floor(query: Features, gallery: Features) -> Part:
    values = torch.cat([query.values, gallery.values])
    held = values.new_empty(_ROWS, len(values))

    def job() -> None:
        for rows in values.split(_ROWS):
            _product(rows, values, held)

    return job, lambda _: {}


def _product(rows: Tensor, values: Tensor, held: Tensor) -> None:
    torch.mm(rows, values.t(), out=held[: len(rows)])


def _scores(result: RetrievalResult) -> dict[str, Any]:
    return {"mAP": result.mAP, "mINP": result.mINP, "cmc": result.cmc.tolist()}


def _memory(name: str) -> float:
    """Return memory of this process in MB, the present (VmRSS) or the greatest (VmHWM) one.

    ``ru_maxrss``, all there is outside of Linux, starts at what the parent process had.
    """
    if _STATUS.exists():
        lines = (line.split() for line in _STATUS.read_text().splitlines())
        return next(int(line[1]) for line in lines if line[0] == f"{name}:") / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _compared(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, Any]:
    curves = (abs(a - b) for a, b in zip(ours["cmc"], peer["cmc"], strict=True))
    differences = {
        "difference_mAP": abs(ours["mAP"] - peer["mAP"]),
        "difference_mINP": abs(ours["mINP"] - peer["mINP"]),
        "difference_cmc": max(curves),
    }
    return {
        "faster": peer["seconds"] / ours["seconds"],
        "less_memory": peer["peak"] / ours["peak"],
        "less_own_memory": peer["own"] / max(ours["own"], 1),
        **differences,
        "agrees": max(differences.values()) < 1e-6,
    }


def _show(figures: dict[str, Any]) -> None:
    print(
        "Re-ranking: {queries} queries x {gallery} gallery images x {dimension}, {threads} "
        "threads, least of {repeats} runs (torchreid: one run)".format(**figures)
    )
    names = {"peer": "torchreid", "ours": "torchreid_adv", "floor": "floor"}
    for part, name in names.items():
        if part in figures:
            print(
                "  {name:<15}{seconds:9.2f} s{peak:9.0f} MB at the most, {own:.0f} of them "
                "after the features".format(name=name, **figures[part])
            )
    print("  {over_floor:.2f} floors; mAP {mAP:.2%}".format(**figures, mAP=figures["ours"]["mAP"]))
    if "peer" in figures:
        report = (
            "  {faster:.1f} times faster, {less_memory:.1f} times less memory "
            "({less_own_memory:.1f} after the features); differs in mAP by {difference_mAP:.1e}, "
            "in the match curve by {difference_cmc:.1e}: "
        )
        print(report.format(**figures) + ("agree" if figures["agrees"] else "DISAGREE"))


def main(arguments: list[str]) -> int:
    """Run the benchmark at a size that you choose."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name, default in (("queries", 1684), ("gallery", 7956), ("dimension", 512), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, help="measure torchreid's")
    parser.add_argument("--part", nargs=5, help=argparse.SUPPRESS)  # in a separate process
    chosen = vars(parser.parse_args(arguments))
    part = chosen.pop("part")
    if part:
        print(json.dumps(_measure(part[0], *map(int, part[1:]))))
    else:
        run(**chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
