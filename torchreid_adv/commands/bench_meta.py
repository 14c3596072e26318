"""Speed of meta-learning: a step of MetaAttack against a plain one, and of MetaDefense."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from torchreid_adv.attacks.fitting import UniversalFit
from torchreid_adv.attacks.meta import InnerStep
from torchreid_adv.attacks.steps import SignStep
from torchreid_adv.attacks.triplets import BatchTriplet
from torchreid_adv.attacks.universal import UniversalPerturbation
from torchreid_adv.commands import bench_defense
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import build_distance
from torchreid_adv.models import PixelModel
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.prepare import Prepared
from torchreid_adv.pixels import from_levels

EPS = from_levels(8)
PER_IDENTITY = 4
WAYS: dict[str, InnerStep | None] = {
    "plain": None,
    "meta": InnerStep(),
    "meta, sgd, order 1": InnerStep(kind="sgd"),
    "meta, sgd, order 2": InnerStep(kind="sgd", order=2),
}


def run(
    *,
    model: str = "osnet_x0_25",
    size: tuple[int, int] = (256, 128),
    images: int = 8,
    repeats: int = 10,
    memory: bool = True,
) -> dict[str, Any]:
    """Measure steps of learning an attack, see :func:`attack_steps`, and of training against it.

    Args:
        model: torchreid network, random weights.
        size: of the network's input.
        images: of a batch; the meta-test has as many.
        repeats: turns.
        memory: measure that of MetaDefense, too.
    """
    common: dict[str, Any] = {"model": model, "size": size, "images": images, "repeats": repeats}
    attack = attack_steps(**common)
    return {**attack, "defense": bench_defense.run(**common, memory=memory)}


def attack_steps(
    *,
    model: str,
    size: tuple[int, int],
    images: int,
    repeats: int,
    ways: Sequence[str] = tuple(WAYS),
) -> dict[str, Any]:
    """Measure the seconds of a step of each way, in turns, and print them; the best turn counts.

    Args:
        model: torchreid network, random weights.
        size: of the network's input.
        images: of a batch; the meta-test has as many.
        repeats: turns.
        ways: names of ``WAYS``; the first is what the others are held against.
    """
    torch.manual_seed(0)
    network = PixelModel(build_network(model), size=size)
    source, virtual = (
        Batch(torch.rand(images, 3, *size), pids=torch.arange(images) // PER_IDENTITY)
        for _ in range(2)
    )
    ready = Prepared(network, source.images)
    seconds = _measure(ready, source, virtual, repeats, ways)
    ratios = {name: found / seconds[ways[0]] for name, found in seconds.items()}
    threads = torch.get_num_threads()
    print(f"meta: {model}, {size[0]}x{size[1]}, {images} images, {threads} threads; per step")
    for name, found in seconds.items():
        print(f"  {name:<20}{found:8.3f} s   {ratios[name]:5.2f} x {ways[0]}")
    return {"model": model, "size": size, "images": images, "seconds": seconds, "ratios": ratios}


def _measure(
    ready: Prepared, source: Batch, virtual: Batch, repeats: int, ways: Sequence[str]
) -> dict[str, float]:
    steps = {name: _step(ready, source, virtual, WAYS[name]) for name in ways}
    best = dict.fromkeys(steps, float("inf"))
    for step in steps.values():
        step()  # first passes allocate
    for _ in range(repeats):
        for name, step in steps.items():
            started = time.process_time()
            step()
            best[name] = min(best[name], time.process_time() - started)
    return best


def _step(
    ready: Prepared, source: Batch, virtual: Batch, inner: InnerStep | None
) -> Callable[[], Any]:
    fit = UniversalFit(
        BatchTriplet(build_distance("euclidean")),
        UniversalPerturbation(EPS, size=source.images.shape[-2:]),
        functools.partial(SignStep, lr=EPS / 10, momentum=1.0),
        inner=inner,
    )
    return lambda: fit.fit_step(ready, source, None if inner is None else virtual)
