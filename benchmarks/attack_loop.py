"""Speed of the attack loop: ours, torchattacks, the published way of looping, and the floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.attacks import Attack, References, build_attack
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.experiments.timing import place, timed
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.prepare import prepared

EPS, STEP = from_levels(8), from_levels(1)


class TwoLogits(nn.Module):
    """Logits whose cross-entropy is the distance to a reference, for classification attacks."""

    references: Tensor

    def __init__(self, model: PixelModel, references: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("references", references)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        features = F.normalize(self.model(images), dim=1)
        u = (features - self.references).pow(2).sum(1) + 0.1
        return torch.stack([-u, torch.log1p(-torch.exp(-u))], dim=1)


def run(
    *,
    model: str = "resnet50",
    size: tuple[int, int] = (256, 128),
    batch: int = 16,
    steps: int = 10,
    repeats: int = 3,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure images x steps per second of each way, in one run, and print them.

    Args:
        model: torchreid network, random weights.
        size: of the network's input; images are stored at that size, too.
        batch: images per chunk.
        steps: of the attack.
        repeats: rounds; each way is measured once a round and its best round counts.
        device: that computes.
    """
    torch.manual_seed(0)
    pixel_model = PixelModel(build_network(model), size=size).eval().to(device)
    images = torch.rand(batch, 3, *size).to(device)
    width = pixel_model(images[:1]).shape[1]
    references = F.normalize(torch.randn(batch, width), dim=1).to(device)
    ways = _ways(pixel_model, images, references, steps)
    rates, found = _measure(ways, batch * steps, repeats, device)
    strength = {name: float(found[name].after.mean()) for name in ("ours fp32", "ours bf16")}
    return _report(rates, strength, model=model, size=size, batch=batch, steps=steps, device=device)


def _ways(
    model: PixelModel, images: Tensor, references: Tensor, steps: int
) -> dict[str, Callable[[], Any]]:
    import torchattacks

    numbers = torch.arange(len(images))
    batch = Batch(images, pids=numbers)
    features = References(Features(references, numbers, numbers, tuple(map(str, numbers.tolist()))))
    logits = TwoLogits(model, references).eval()
    bim = torchattacks.BIM(logits, eps=EPS, alpha=STEP, steps=steps)
    classes = torch.zeros(len(images), dtype=torch.long, device=images.device)

    def ours(precision: str) -> Callable[[], Any]:
        attack: Attack = build_attack("ifgsm", eps=EPS, steps=steps, precision=precision)
        with prepared(model, images, precision=precision) as ready:  # once a run, as in the job
            return lambda: attack(ready, batch, features)

    return {
        "ours fp32": ours("fp32"),
        "ours bf16": ours("bf16"),
        "torchattacks BIM": lambda: bim(images, classes),
        "published loop": lambda: _published(model, images, references, steps),
        "floor": lambda: _floor(model, images, steps),
    }


def _published(model: PixelModel, images: Tensor, references: Tensor, steps: int) -> Tensor:
    """Loop as the metric attack's code does: gradients of all weights, too, at every step."""
    model.requires_grad_(True)
    low, high = (images - EPS).clamp_min(0), (images + EPS).clamp_max(1)
    current = images.clone()
    for _ in range(steps):
        current = current.detach().requires_grad_(True)
        model.zero_grad()
        F.mse_loss(F.normalize(model(current), dim=1), references).backward()
        assert current.grad is not None
        current = (current + STEP * current.grad.sign()).detach().maximum(low).minimum(high)
    model.zero_grad(set_to_none=True)
    return current


@torch.no_grad()
def _floor(model: PixelModel, images: Tensor, steps: int) -> None:
    """Run two plain forward passes per step: what forward and backward cost at the least."""
    for _ in range(2 * steps):
        model(images)


def _measure(
    ways: dict[str, Callable[[], Any]], work: int, repeats: int, device: str
) -> tuple[dict[str, float], dict[str, Any]]:
    found: dict[str, Any] = {}
    best = dict.fromkeys(ways, 0.0)
    slow = {"ours bf16"} if not _has_bf16(device) else set()
    for _ in range(repeats):
        for name, call in ways.items():
            if name in slow and best[name]:
                continue  # emulated; once is enough
            seconds, found[name] = timed(call, device)
            best[name] = max(best[name], work / seconds)
    return best, found


def _has_bf16(device: str) -> bool:
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _report(rates: dict[str, float], strength: dict[str, float], **setting: Any) -> dict[str, Any]:
    device = setting["device"]
    print(f"attack: {setting}, {place(device)}; images x steps per second")
    for name, rate in rates.items():
        print(
            f"  {name:<18}{rate:9.1f}   {rate / rates['published loop']:5.2f} x published loop"
            f"   {rate / rates['floor']:5.2f} of the floor"
        )
    print("  mean distance reached: " + ", ".join(f"{k} {v:.5f}" for k, v in strength.items()))
    if not _has_bf16(device):
        print("  (this CPU emulates bf16)")
    return {**setting, "rates": rates, "distance": strength, "bf16_native": _has_bf16(device)}
