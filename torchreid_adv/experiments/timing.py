"""Seconds of a call or of the steps of an attack, measured after the device has finished."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from torchreid_adv.attacks.learned.meta_attack import InnerStep, UniversalFit
from torchreid_adv.attacks.learned.triplets import BatchTriplet
from torchreid_adv.attacks.learned.universal import UniversalPerturbation
from torchreid_adv.attacks.loop.steps import SignStep
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import build_distance
from torchreid_adv.models import PixelModel
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.prepare import Prepared


def timed(call: Callable[[], Any], device: torch.device | str = "cpu") -> tuple[float, Any]:
    """Return the seconds that a call takes on a device, and its value."""
    finish(device)
    started = time.perf_counter()
    outcome = call()
    finish(device)
    return time.perf_counter() - started, outcome


def least(
    repeats: int, call: Callable[[], Any], device: torch.device | str = "cpu"
) -> tuple[float, Any]:
    """Return the shortest time of several calls, and the value of the last one."""
    best, outcome = float("inf"), None
    for _ in range(repeats):
        seconds, outcome = timed(call, device)
        best = min(best, seconds)
    return best, outcome


def finish(device: torch.device | str) -> None:
    """Wait until a device has finished its work; a CPU always has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def place(device: torch.device | str) -> str:
    """Return the name of the measured device, for a heading."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads"


EPS = from_levels(8)
PER_IDENTITY = 4
WAYS: dict[str, InnerStep | None] = {
    "plain": None,
    "meta": InnerStep(),
    "meta, sgd, order 1": InnerStep(kind="sgd"),
    "meta, sgd, order 2": InnerStep(kind="sgd", order=2),
}


def attack_steps(
    *,
    model: str,
    size: tuple[int, int],
    images: int,
    repeats: int,
    ways: Sequence[str] = tuple(WAYS),
) -> dict[str, Any]:
    """Measure the seconds of a step of each kind, in turns, and print them; the best turn counts.

    Args:
        model: torchreid network, random weights.
        size: of the network's input.
        images: in a batch; the meta-test has the same number.
        repeats: turns.
        ways: names of ``WAYS``; the others are compared with the first.
    """
    torch.manual_seed(0)
    network = PixelModel(build_network(model), size=size)
    source, virtual = (
        Batch(torch.rand(images, 3, *size), pids=torch.arange(images) // PER_IDENTITY)
        for _ in range(2)
    )
    ready = Prepared(network, source.images)
    seconds = _measure(ready, source, virtual, repeats, ways)
    ratios = {name: elapsed / seconds[ways[0]] for name, elapsed in seconds.items()}
    threads = torch.get_num_threads()
    print(f"meta: {model}, {size[0]}x{size[1]}, {images} images, {threads} threads; per step")
    for name, elapsed in seconds.items():
        print(f"  {name:<20}{elapsed:8.3f} s   {ratios[name]:5.2f} x {ways[0]}")
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
