"""What a step of MetaDefense costs beside a plain training step: time, and memory at its peak."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.engines.batches import Mixture, mixture
from torchreid_adv.engines.losses import ReidLoss
from torchreid_adv.engines.meta_gradient import LossAt, VirtualHead, meta_gradient
from torchreid_adv.integration.layout import torchreid_module

PLAIN = "plain"
ALLOWED = {"1": 2.2, "fd": 4.4, "2": 6.0}  # plain steps that an order may cost at the most
IDENTITIES, VIRTUAL, PER_IDENTITY, RATE = 751, 410, 4, 3e-4
MEBIBYTE = 2**20
RESET = Path("/proc/self/clear_refs")


def run(
    *,
    model: str = "osnet_x0_25",
    size: tuple[int, int] = (256, 128),
    images: int = 8,
    repeats: int = 5,
    memory: bool = True,
) -> dict[str, Any]:
    """Measure a step of each way, in turns, and print them; the best turn counts.

    Memory is the resident set of a process of its own, the highest during one step less what it
    was before, where the system tells (Linux).

    Args:
        model: torchreid network, random weights.
        size: of the images.
        images: of a batch, of which half come in an adversarial form, too; the meta-test has as
            many.
        repeats: turns.
        memory: measure that, too.
    """
    steps = {way: _step(way, model, size, images) for way in (PLAIN, *ALLOWED)}
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(repeats + 1):
        for way, step in steps.items():
            started = time.process_time()
            step()
            if turn:  # first passes allocate
                best[way] = min(best[way], time.process_time() - started)
    ratios = {way: seconds / best[PLAIN] for way, seconds in best.items()}
    told = memory and RESET.exists()
    peaks = {way: _in_a_process(way, model, size, images) for way in steps} if told else {}
    threads = torch.get_num_threads()
    print(f"meta defense: {model}, {size[0]}x{size[1]}, {images} images, {threads} threads; a step")
    for way, seconds in best.items():
        limit = f", at most {ALLOWED[way]:g}" if way in ALLOWED else ""
        peak = f"   {peaks[way] / MEBIBYTE:6.0f} MiB" if way in peaks else ""
        name = way if way == PLAIN else f"order {way}"
        print(f"  {name:<10}{seconds:8.3f} s{peak}   {ratios[way]:5.2f} x plain{limit}")
    return {
        "model": model,
        "size": size,
        "images": images,
        "seconds": best,
        "ratios": ratios,
        "allowed": ALLOWED,
        "peak_bytes": peaks,
    }


def _step(way: str, model: str, size: tuple[int, int], images: int) -> Callable[[], None]:
    """Return a training step: the plain one is of the real batch alone."""
    torch.manual_seed(0)
    build = torchreid_module("models").build_model
    network = build(model, IDENTITIES, loss="triplet", pretrained=False, use_gpu=False).train()
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    head = VirtualHead(network, optimizer, own=IDENTITIES, count=VIRTUAL)
    real, virtual = _batch(images, size, seed=1), _batch(images, size, seed=2)

    def step() -> None:
        train = LossAt(network, real, _loss(IDENTITIES))
        test = LossAt(network, virtual, _loss(VIRTUAL))
        optimizer.zero_grad()
        if way == PLAIN:
            train({}).backward()
        else:
            parameters = dict(network.named_parameters())
            found = meta_gradient(train, test, parameters, head=head.parameters, lr=RATE, order=way)
            for name, parameter in parameters.items():
                parameter.grad = found.own.get(name)
            head.step(found.head)
        optimizer.step()

    return step


def _batch(count: int, size: tuple[int, int], *, seed: int) -> Mixture:
    images = torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))
    rows = torch.arange(count // 2)
    pids = torch.arange(count) // PER_IDENTITY
    return mixture(images, pids, rows, images[rows] + 0.1, mix="both", pairs=False)


def _loss(classes: int) -> ReidLoss:
    losses, engine = torchreid_module("losses"), torchreid_module("engine").Engine
    identity = losses.CrossEntropyLoss(num_classes=classes, use_gpu=False)
    triplet = losses.TripletLoss(margin=0.5)
    return ReidLoss(identity, 1.0, triplet, 1.0, lambda *given: engine.compute_loss(None, *given))


def _in_a_process(*setting: Any) -> int:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_peak, torch.get_num_threads(), *setting).result()


def _peak(threads: int, *setting: Any) -> int:
    torch.set_num_threads(threads)
    step = _step(*setting)
    RESET.write_text("5")  # the peak counts from here
    before = _resident("VmRSS")
    step()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    """Return a line of the process's status, bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
