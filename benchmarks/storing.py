"""Benchmark of storing images: ours, ways without our promise, and the encoding all contain."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from torchreid_adv.core import pixels
from torchreid_adv.core.batch import chunks
from torchreid_adv.data.datasets import Record
from torchreid_adv.data.images import encode_png, write_png
from torchreid_adv.experiments.timing import least
from torchreid_adv.runs.plan import Ledger, WorkUnit
from torchreid_adv.runs.unit_writer import StoredUnit

_CHUNK = 16
_FEATURE = 2048  # bytes
_LIMIT = 1024  # images that the peer is given: it writes all of them again after each batch


def run(
    *, images: int = 2048, height: int = 128, width: int = 64, repeats: int = 2
) -> dict[str, Any]:
    """Time storing attacked images so that no kill loses or changes one.

    Ours: PNG, difference from the original, checksums of both, all files of a chunk flushed
    together, a ledger record. Compared with it: one PNG at a time, each flushed; the saving of
    torchattacks (tensors in one file, written again after each batch, nothing flushed), with fewer
    images. The floor encodes PNG files and stores nothing.

    Args:
        images: how many.
        height: of an image in pixels.
        width: the same.
        repeats: times that each is measured; the least counts.

    Returns:
        the printed numbers, in images per second.
    """
    draw = np.random.default_rng(0)
    levels = draw.integers(0, 256, (images, height, width, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        records = _sources(place / "data", levels)
        rates = {
            "ours": _rate(repeats, images, lambda: _ours(place / "ours", records, levels)),
            "one_by_one": _rate(repeats, images, lambda: _one_by_one(place / "one", levels)),
            "floor": _rate(repeats, images, lambda: [encode_png(image) for image in levels]),
            "replay": _rate(1, images, lambda: Ledger(place / "ours" / "job").replay()),
        }
        few = levels[: min(images, _LIMIT)]
        rates["peer"] = _rate(1, len(few), lambda: _peer(place / "peer.pt", few))
        rates["peer_half"] = _rate(1, len(few) // 2, lambda: _peer(place / "peer.pt", few[::2]))
    figures = {"images": images, "height": height, "width": width, "peer_images": len(few), **rates}
    report = (
        "Storing {images} noise images of {height}x{width}, images per second\n"
        "  torchreid_adv     {ours:8.0f}   durable, resumable, checked against the original\n"
        "  one by one        {one_by_one:8.0f}   PNG files, each flushed\n"
        "  torchattacks save {peer:8.0f}   {peer_images} images in one file; {peer_half:.0f} with "
        "half as many\n"
        "  floor             {floor:8.0f}   PNG encoding alone\n"
        "  replay            {replay:8.0f}   records that a continued run reads back"
    )
    print(report.format(**figures))
    return figures


def _rate(repeats: int, images: int, job: Callable[[], Any]) -> float:
    return images / least(repeats, job)[0]


def _sources(folder: Path, levels: np.ndarray) -> list[Record]:
    folder.mkdir()
    names = [f"gallery/{number}.png" for number in range(len(levels))]
    paths = [folder / Path(name).name for name in names]
    for path, image in zip(paths, levels, strict=True):
        path.write_bytes(encode_png(image))
    return [Record(name, path, 0, 0) for name, path in zip(names, paths, strict=True)]


def _ours(folder: Path, records: list[Record], levels: np.ndarray) -> None:
    ledger = Ledger(folder / "job")
    (folder / "variant").mkdir(parents=True, exist_ok=True)
    for number, chunk in enumerate(chunks(range(len(records)), _CHUNK)):
        unit = WorkUnit(number, "gallery", tuple(records[row] for row in chunk), attacked=True)
        images, features = [levels[row] for row in chunk], bytes(_FEATURE * len(chunk))
        StoredUnit(unit, images, images, {}, features).store(
            folder, folder / "variant", folder / "unfinished", ledger
        )
    ledger.close()


def _one_by_one(folder: Path, levels: np.ndarray) -> None:
    for number, image in enumerate(levels):
        write_png(folder / f"{number}.png", image)


def _peer(path: Path, levels: np.ndarray) -> None:
    """Let torchattacks save the images of an attack without steps: the unchanged images."""
    import torchattacks

    tensor = torch.from_numpy(levels).permute(0, 3, 1, 2).float().div_(pixels.LEVELS)
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    attack = torchattacks.VANILA(network)
    loader = DataLoader(TensorDataset(tensor, torch.zeros(len(tensor)).long()), batch_size=_CHUNK)
    attack.save(loader, save_path=str(path), verbose=False, save_type="int")
