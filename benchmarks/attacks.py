"""Speed of attacks: the loop, then every registered attack next to torchattacks and its floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.attacks import Attack, References, build_attack
from torchreid_adv.core.batch import Batch
from torchreid_adv.experiments.timing import least, place
from torchreid_adv.models import Features, PixelModel
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.prepare import prepared
from torchreid_adv.registry import ATTACKS
from torchreid_adv.standard.passes import counted

from . import attack_loop
from .attack_loop import EPS, STEP, TwoLogits

QUERIES = 60  # answers per image of attacks by queries, enough to measure their rate
STEPS = 10  # of the attacks that have steps
GALLERY = 64
OPTIONS: dict[str, dict[str, Any]] = {"torchattacks": {"attack": "VMIFGSM", "kwargs": {"N": 5}}}
# attack -> class of torchattacks and its keywords; PGD is SMA's loop, BIM that of I-FGSM
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "fgsm": ("FGSM", {}),
    "ifgsm": ("BIM", {"alpha": STEP, "steps": STEPS}),
    "mifgsm": ("MIFGSM", {"alpha": STEP, "steps": STEPS}),
    "sma": ("PGD", {"alpha": STEP, "steps": STEPS}),
    "difgsm": ("DIFGSM", {"alpha": STEP, "steps": STEPS}),
    "tifgsm": ("TIFGSM", {"alpha": STEP, "steps": STEPS}),
    "square": ("Square", {"n_queries": QUERIES}),
    "spsa": ("SPSA", {"nb_sample": 20, "nb_iter": 2, "max_batch_size": 16}),
}


def run(
    *,
    model: str = "osnet_x0_25",
    size: tuple[int, int] = (128, 64),
    images: int = 16,
    names: tuple[str, ...] = (),
    loop: bool = True,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure images per second of every attack, in one run, and print them.

    The floor of an attack is its own number of passes through the network, a backward pass counted
    as a forward one, each at the speed of a plain forward pass of the unfolded network.

    Args:
        model: torchreid network, random weights.
        size: of its input; images are stored at that size, too.
        images: attacked together.
        names: of attacks; () = all that are registered, but those learned before.
        loop: compare the loop with the published one first, see
            :func:`torchreid_adv.benchmarks.attack_loop.run`.
        device: that computes.
    """
    figures = {"loop": attack_loop.run(batch=images, device=device)} if loop else {}
    torch.manual_seed(0)
    pixel_model = PixelModel(build_network(model, classes=8), size=size).eval().to(device)
    batch, references = _data(pixel_model, images)
    _forward(pixel_model, batch.images)  # warm
    forward = _seconds(lambda: _forward(pixel_model, batch.images), batch) / images
    print(
        f"attacks: {model} at {size[0]}x{size[1]}, {images} images, "
        f"{place(device)}; images per second"
    )
    rows: dict[str, Any] = {}
    for name in names or [one for one in ATTACKS if "weights" not in ATTACKS.options(one)]:
        rows[name] = _row(name, pixel_model, batch, references, forward)
        print(_line(name, rows[name]))
    return {**figures, "model": model, "size": size, "images": images, "attacks": rows}


def _data(model: PixelModel, images: int) -> tuple[Batch, References]:
    numbers, device = torch.arange(images), next(model.parameters()).device
    pixels = torch.rand(images, 3, *model.size).to(device)
    width = _forward(model, pixels[:1]).shape[1]
    pids, rows = torch.arange(GALLERY) % images, torch.arange(GALLERY)
    gallery = Features(
        torch.randn(GALLERY, width).to(device), pids, 1 + rows, tuple(f"g{i}" for i in rows)
    )
    names = tuple(f"q{i}" for i in numbers.tolist())
    return Batch(pixels, pids=numbers, camids=0 * numbers, image_ids=names), References(gallery)


@torch.no_grad()
def _forward(model: nn.Module, images: Tensor) -> Tensor:
    features: Tensor = model(images)
    return features


def _row(
    name: str, model: PixelModel, batch: Batch, references: References, forward: float
) -> dict[str, Any]:
    attack, n = _build(name), len(batch)
    with prepared(model, batch.images) as ready:
        attack(ready, batch, references)  # warm
        with counted(ready) as counter:
            seconds = _seconds(lambda: attack(ready, batch, references), batch)
    passed = counter.passes.total / n / 2  # it ran twice
    row: dict[str, Any] = {"ours": n / seconds, "passes": passed, "floor": 1 / (forward * passed)}
    if name in PEERS:
        row["peer"], row["peer_name"] = _peer(name, model, batch, references), PEERS[name][0]
    return row


def _build(name: str) -> Attack:
    options, known = dict(OPTIONS.get(name, {})), ATTACKS.options(name)
    for option, value in (("steps", STEPS), ("queries", QUERIES)):
        if option in known:
            options[option] = value
    return build_attack(name, eps=EPS, **options)


def _peer(name: str, model: PixelModel, batch: Batch, references: References) -> float:
    """Return images per second of torchattacks' class on the two-logit form of the distance."""
    import torchattacks

    kind, keywords = PEERS[name]
    clean = F.normalize(_forward(model, batch.images), dim=1)
    shared = kind in ("Square", "SPSA")  # they ask for parts of a batch
    logits = TwoLogits(model, clean[:1] if shared else clean.roll(1, 0)).eval()
    attack = getattr(torchattacks, kind)(logits, eps=EPS, **keywords)
    labels = torch.zeros(len(batch), dtype=torch.long, device=batch.images.device)
    return len(batch) / _seconds(lambda: attack(batch.images, labels), batch)


def _seconds(call: Callable[[], Any], batch: Batch) -> float:
    """Return the seconds of the faster one of two calls."""
    return least(2, call, batch.images.device)[0]


def _line(name: str, row: dict[str, Any]) -> str:
    peer = ""
    if "peer" in row:
        peer = f"   {row['ours'] / row['peer']:5.2f} x torchattacks {row['peer_name']}"
    share = row["ours"] / row["floor"]
    return (
        f"  {name:<22}{row['ours']:9.2f}   {row['passes']:6.0f} passes an image"
        f"   {share:5.2f} of the floor{peer}"
    )
