"""The cost of a MetaDefense step compared with a plain training step: time and peak memory."""

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
from torchreid_adv.engines.meta_gradient import LossOfWeights, VirtualHead, meta_gradient
from torchreid_adv.integration.layout import torchreid_module

PLAIN = "plain"
ALLOWED = {"1": 2.2, "fd": 4.4, "2": 6.0}  # order -> largest allowed cost in plain steps
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
    """Measure a step of each kind, in turns, and print them; the best turn counts.

    Memory is the peak resident set of a separate process during one step minus that before the
    step, if the system reports it (Linux).

    Args:
        model: torchreid network, random weights.
        size: of the images.
        images: in a batch, half of them also in an adversarial form; the meta-test has the same
            number.
        repeats: turns.
        memory: also measure memory.
    """
    steps = {kind: _step(kind, model, size, images) for kind in (PLAIN, *ALLOWED)}
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(repeats + 1):
        for kind, step in steps.items():
            started = time.process_time()
            step()
            if turn:  # first passes allocate
                best[kind] = min(best[kind], time.process_time() - started)
    ratios = {kind: seconds / best[PLAIN] for kind, seconds in best.items()}
    measured = memory and RESET.exists()
    peaks = {kind: _in_a_process(kind, model, size, images) for kind in steps} if measured else {}
    threads = torch.get_num_threads()
    print(f"meta defense: {model}, {size[0]}x{size[1]}, {images} images, {threads} threads; a step")
    for kind, seconds in best.items():
        limit = f", at most {ALLOWED[kind]:g}" if kind in ALLOWED else ""
        peak = f"   {peaks[kind] / MEBIBYTE:6.0f} MiB" if kind in peaks else ""
        name = kind if kind == PLAIN else f"order {kind}"
        print(f"  {name:<10}{seconds:8.3f} s{peak}   {ratios[kind]:5.2f} x plain{limit}")
    return {
        "model": model,
        "size": size,
        "images": images,
        "seconds": best,
        "ratios": ratios,
        "allowed": ALLOWED,
        "peak_bytes": peaks,
    }


def _step(kind: str, model: str, size: tuple[int, int], images: int) -> Callable[[], None]:
    """Return a training step; the plain one uses only the real batch."""
    torch.manual_seed(0)
    build = torchreid_module("models").build_model
    network = build(model, IDENTITIES, loss="triplet", pretrained=False, use_gpu=False).train()
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    head = VirtualHead(network, optimizer, identities=IDENTITIES, count=VIRTUAL)
    real, virtual = _batch(images, size, seed=1), _batch(images, size, seed=2)

    def step() -> None:
        train = LossOfWeights(network, real, _loss(IDENTITIES))
        test = LossOfWeights(network, virtual, _loss(VIRTUAL))
        optimizer.zero_grad()
        if kind == PLAIN:
            train({}).backward()
        else:
            parameters = dict(network.named_parameters())
            gradients = meta_gradient(
                train, test, parameters, head=head.parameters, lr=RATE, order=kind
            )
            for name, parameter in parameters.items():
                parameter.grad = gradients.network.get(name)
            head.step(gradients.head)
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
    return ReidLoss(
        identity, 1.0, triplet, 1.0, lambda *arguments: engine.compute_loss(None, *arguments)
    )


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
    """Return a value of the process's status, in bytes."""
    match = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) * 1024
