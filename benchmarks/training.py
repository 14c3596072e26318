"""The cost of adversarial training next to plain training: steps of one engine, in one run."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torchvision.transforms import Compose, Normalize

from torchreid_adv import config
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments.timing import place, timed
from torchreid_adv.integration.engine import adapt_engine
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.pixel_model import IMAGENET_MEAN, IMAGENET_STD

ALLOWED = 1.15  # times (steps + 1) plain steps: what PGD may cost at the most
WAYS: dict[str, dict[str, Any]] = {
    "self, adversarial": {"mix": "adversarial"},
    "self, both": {"mix": "both"},
    "guided, adversarial": {"mix": "adversarial", "objective": "guided"},
    "classification, both": {"mix": "both", "objective": "classification"},
    "self, consistency": {"mix": "clean", "consistency": 1.0},
    "FGSM-RS": {"method": "fgsm_rs", "steps": None, "mix": "adversarial"},
    "N-FGSM": {"method": "n_fgsm", "steps": None, "mix": "adversarial"},
    "ATAS": {"method": "atas", "steps": None, "mix": "adversarial"},
    "GradAlign": {
        "method": "gradalign",
        "steps": None,
        "mix": "adversarial",
        "objective": "classification",
    },
    "EST": {"method": "est", "mix": "adversarial"},
    "Free-AT": {"method": "free", "steps": None, "replays": 4},
    "fast universal": {"method": "universal_free", "steps": None},
}


def run(
    *,
    model: str = "resnet50",
    size: tuple[int, int] = (256, 128),
    batch: int = 32,
    steps: int = 7,
    repeats: int = 3,
    ways: tuple[str, ...] = tuple(WAYS),
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure a plain training step and robust ones, in turns, and print them per weight update.

    Args:
        model: torchreid network, random weights.
        size: of the images.
        batch: images per step, 4 per identity.
        steps: of PGD.
        repeats: rounds; each way is measured once a round and its best round counts.
        ways: names of ``WAYS``.
        device: that computes; an engine takes its batches from main memory.
    """
    data = _batch(batch, size)
    engines = {"plain": _engine(model, size, {}, steps, device)}
    engines |= {way: _engine(model, size, WAYS[way], steps, device) for way in ways}
    best = dict.fromkeys(engines, float("inf"))
    for turn in range(repeats + 1):
        for way, engine in engines.items():
            engine.set_model_mode("train")
            seconds, _ = timed(partial(engine.forward_backward, data), device)
            if turn:  # the first one warms up
                updates = WAYS.get(way, {}).get("replays", 1)
                best[way] = min(best[way], seconds / updates)
    return _report(best, steps, model=model, size=size, batch=batch, device=device)


def _batch(count: int, size: tuple[int, int]) -> dict[str, Any]:
    images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))
    normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD)
    return {"img": normalize(images), "pid": torch.arange(count) // 4}


def _engine(
    model: str, size: tuple[int, int], chosen: dict[str, Any], steps: int, device: str
) -> Any:
    """Return torchreid's softmax engine on a new network, adapted if a method is chosen."""
    data = SimpleNamespace(
        train_loader=None,
        test_loader={},
        num_train_pids=751,
        data_type="image",
        height=size[0],
        width=size[1],
        transform_te=Compose([Normalize(IMAGENET_MEAN, IMAGENET_STD)]),
    )
    gpu = torch.device(device).type == "cuda"
    torch.manual_seed(0)
    network = build_network(model, classes=data.num_train_pids).to(device)
    optimizer = torchreid_module("optim").build_optimizer(network)
    engine = torchreid_module("engine").ImageSoftmaxEngine(data, network, optimizer, use_gpu=gpu)
    if not chosen:
        return engine
    cfg = default_config()
    cfg.use_gpu = gpu
    cfg.adv.engine, cfg.adv.training.steps, cfg.adv.training.evaluate = (
        "adversarial_training",
        steps,
        False,
    )
    for key, value in chosen.items():
        cfg.adv.training[key] = value
    with config.using(cfg):
        return adapt_engine(engine, config.setup(cfg))


def _report(best: dict[str, float], steps: int, **setting: Any) -> dict[str, Any]:
    plain, allowed = best["plain"], (steps + 1) * ALLOWED
    print(f"training: {setting}, PGD-{steps}, {place(setting['device'])}")
    for way, seconds in best.items():
        print(f"  {way:<22}{seconds:8.3f} s a step {seconds / plain:6.2f} plain steps")
    print(f"  at most {allowed:.2f}: {steps + 1} plain steps and 15 %")
    costs = {way: seconds / plain for way, seconds in best.items()}
    return {**setting, "steps": steps, "seconds": best, "plain_steps": costs, "allowed": allowed}
