"""Three values followed through the package: which files each of them crosses.

A file counts when its code reads, checks, converts or hands on the value or the object that holds
it. So a flow is walked, not listed. A small run is made while every call of a function of the
package is watched, and a file counts when one of its functions, as it returns, has in a variable of
its own, or returns, one of these:

- the value, in any form that it takes on the way (eps in gray levels, in pixel units, as text; then
  pixels in whole levels, as they are stored, their PNG and its hash);
- a container that Python knows (tuple, list, dict, partial) with the value in it;
- an object of the package that holds one of the two, or holds such an object: ``DEPTH`` levels.

A config does not count as an object that holds the value: it holds all of them, and is handed
through every file. ``setprofile`` sees the main thread and those that are started meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from markets import write_market
from PIL import Image

import torchreid_adv
from torchreid_adv.core.manifest import FILE_NAME as MANIFEST

ROOT = Path(torchreid_adv.__file__).parent
DEPTH, LONGEST = 2, 64  # levels of objects; elements of a container that are looked at

Wanted = Callable[[object], bool]


def inside(thing: object) -> list[object]:
    """Return what a container or an object of the package holds; a config holds nothing here."""
    name = type(thing).__name__
    if name == "AdvConfig":
        return []
    if isinstance(thing, (list, tuple)):
        return list(thing[:LONGEST])
    if isinstance(thing, dict):
        return list(thing.values())[:LONGEST]
    if isinstance(thing, functools.partial):
        return [*thing.args, *thing.keywords.values()]
    ours = type(thing).__module__.partition(".")[0] == "torchreid_adv"
    return list(vars(thing).values()) if ours and hasattr(thing, "__dict__") else []


def holds(thing: object, is_wanted: Wanted, depth: int = DEPTH) -> bool:
    """Tell whether a variable is the value, or a container or an object that holds it."""
    if is_wanted(thing):
        return True
    if isinstance(thing, type):
        return False
    return depth > 0 and any(holds(part, is_wanted, depth - 1) for part in inside(thing))


@contextmanager
def watched(is_wanted: Wanted, until: Path | None = None) -> Iterator[dict[str, str]]:
    """Collect the files that a value crosses, each with the first function that had it.

    Args:
        is_wanted: tells the value, in each of its forms.
        until: a file; nothing counts any more when it is there.
    """
    seen: dict[str, str] = {}
    base = str(ROOT)

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "return" or not code.co_filename.startswith(base):
            return
        name = code.co_filename[len(base) + 1 :]
        if name in seen or code.co_name == "<module>" or (until and until.exists()):
            return
        if any(holds(thing, is_wanted) for thing in (argument, *frame.f_locals.values())):
            seen[name] = getattr(code, "co_qualname", code.co_name)

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


LEVELS = 6.3  # of eps, which nothing else is


def eps_to_png(folder: Path) -> dict[str, str]:
    """Attack a gallery by the command; eps first, then the pixels and files that came of it."""
    place = write_market(folder / "data", identities=2, cameras=2, images=1, sizes=((61, 29),))
    weights = tiny_weights(folder / "tiny.pth")
    run = functools.partial(_attack, place, weights)
    run(folder / "once")
    stored = sorted((folder / "once").rglob("*.png"))
    files = {path.read_bytes() for path in stored if path.parent.name == "bounding_box_test"}
    digests = {hashlib.sha256(png).hexdigest() for png in files}
    pixels = {np.asarray(Image.open(io.BytesIO(png))).tobytes() for png in files}
    assert files

    def is_wanted(thing: object) -> bool:
        if isinstance(thing, (float, str)):
            return is_eps(thing) or thing in digests
        if isinstance(thing, bytes):
            return thing in files
        return any(levels in pixels for levels in _images(thing))

    manifest = folder / "again" / "market1501" / "adversarial" / MANIFEST
    with watched(is_wanted, until=manifest) as seen:
        run(folder / "again")
    assert manifest.is_file()
    return seen


def is_eps(thing: float | str) -> bool:
    """Tell whether a value is eps, in gray levels or pixel units or as it was typed."""
    if isinstance(thing, str):
        return thing == str(LEVELS)
    return any(abs(thing - eps) < 1e-9 for eps in (LEVELS, LEVELS / 255))


def _images(thing: object) -> Iterator[bytes]:
    """Return the images that an array of the size of the small data set holds, as gray levels."""
    if isinstance(thing, torch.Tensor) and thing.ndim in (3, 4) and thing.shape[-2:] == (61, 29):
        levels = thing.detach() * (255 if thing.is_floating_point() else 1)
        for image in levels.reshape(-1, *levels.shape[-3:]):
            if (image - image.round()).abs().max() < 1e-3:  # as stored, no longer as computed
                yield image.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy().tobytes()
    if isinstance(thing, np.ndarray) and thing.shape == (61, 29, 3):
        yield thing.astype(np.uint8).tobytes()


def _attack(place: Path, weights: Path, out: Path) -> None:
    pairs = {"data.height": 64, "data.width": 32, "data.workers": 0, "data.save_dir": out}
    pairs |= {"adv.plugins": "['scripts.tiny_model']", "model.name": "tiny", "use_gpu": False}
    pairs |= {"model.load_weights": weights, "adv.attack.name": "ifgsm", "adv.attack.eps": LEVELS}
    pairs |= {"data.root": place, "data.targets": "['market1501']", "adv.report.page": False}
    quietly("attack-gallery", pairs)


def tiny_weights(path: Path) -> Path:
    """Write weights of the tiny network of the tests."""
    from scripts.tiny_model import Tiny

    torch.manual_seed(5)
    torch.save({"state_dict": Tiny().state_dict()}, path)
    return path


def quietly(command: str, pairs: dict[str, Any]) -> None:
    """Run a command; its output is shown where it fails."""
    from torchreid_adv import cli, config

    config.forget()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main([command, *(str(word) for pair in pairs.items() for word in pair)])
    config.forget()
    assert code == 0, said.getvalue()


BATCH, SIZE = 8, (48, 24)


def batch_to_step(folder: Path) -> dict[str, str]:
    """Train by MetaDefense; a value is a batch of images as the network is given it, or a part.

    The evaluation at the end has batches of another size.
    """
    from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal

    place = write_market(folder / "data", identities=4, cameras=2, images=2, distractors=1)
    attack = UniversalPerturbation(8 / 255, size=SIZE)
    torch.nn.init.uniform_(attack.delta, -1, 1)
    attack.project()
    save_universal(folder / "universal.safetensors", attack)
    pairs: dict[str, Any] = {"data.root": place, "data.save_dir": folder / "log"}
    pairs |= {"data.height": SIZE[0], "data.width": SIZE[1], "data.workers": 0, "use_gpu": False}
    pairs |= {"model.name": "tiny_net", "adv.plugins": "['scripts.tiny_plugin']"}
    pairs |= {"loss.name": "triplet", "loss.triplet.weight_x": 1.0, "train.max_epoch": 1}
    pairs |= {"sampler.train_sampler": "RandomIdentitySampler", "sampler.num_instances": 2}
    pairs |= {"train.batch_size": BATCH, "test.batch_size": BATCH - 1, "train.lr": 0.01}
    pairs |= {"adv.engine": "meta_defense", "adv.meta.virtual": "tiny_market"}
    pairs |= {"adv.training.evaluate": False, "adv.meta.ratio": 0.5, "adv.meta.iterations": 1}
    pairs |= {"adv.attack.name": "universal", "adv.attack.eps": 8}
    pairs |= {"adv.attack.weights": folder / "universal.safetensors"}
    shapes = {(count, 3, *SIZE) for count in (BATCH, BATCH // 2, BATCH + BATCH // 2)}

    def is_wanted(thing: object) -> bool:
        return isinstance(thing, torch.Tensor) and tuple(thing.shape) in shapes

    with watched(is_wanted) as seen:
        quietly("train", pairs)
    return seen


QUERIES, GALLERY, WIDTH = 11, 23, 13


def features_to_map(folder: Path) -> dict[str, str]:
    """Score a model on a data set; features, distances, the precision of each query, and mAP."""
    from torchreid_adv import evaluate, load_dataset
    from torchreid_adv.models import PixelModel

    place = write_market(folder / "data", identities=6, cameras=2, images=2)
    data = load_dataset("market1501", root=place)
    data = dataclasses.replace(data, query=data.query[:QUERIES], gallery=data.gallery[:GALLERY])
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 32, WIDTH)).eval()
    model = PixelModel(network, size=(64, 32))
    score = evaluate(model, data).mAP

    def is_wanted(thing: object) -> bool:
        if isinstance(thing, float):
            return thing == score
        if isinstance(thing, torch.Tensor):
            return thing.is_floating_point() and _is_counted(tuple(thing.shape))
        if isinstance(thing, np.ndarray):
            return thing.dtype.kind == "f" and _is_counted(thing.shape)
        return False

    with watched(is_wanted) as seen:
        evaluate(model, data)
    return seen


def _is_counted(shape: tuple[int, ...]) -> bool:
    """Tell features (N, D), distances (Q, G), and one number per query apart from the rest."""
    return shape[-1:] == (WIDTH,) or shape in ((QUERIES, GALLERY), (QUERIES,))


FLOWS: dict[str, Callable[[Path], dict[str, str]]] = {
    "eps -> stored PNG": eps_to_png,
    "a batch -> meta-defense step": batch_to_step,
    "features -> mAP": features_to_map,
}
WANTED = dict(zip(FLOWS, (18, 13, 9), strict=True))  # files, at most; what is aimed at
