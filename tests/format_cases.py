"""Families of foreign networks: weights in their own layout, their extractor, recorded features.

Weights are drawn by name and shape, so that a small file of names and shapes, and the features that
the source's own code gave for them, check a format where the source is not installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

RECORDED = Path(__file__).parent / "models" / "formats" / "recorded"
SOURCES = os.environ.get("REID_SOURCES", "")  # folder of checkouts, each called OWNER+REPOSITORY


def images() -> list[Image.Image]:
    """Return two images of noise and a smooth one, of sizes that no network takes."""
    draws = np.random.default_rng(0)
    noise = [draws.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((140, 61), (128, 64))]
    rows, columns = np.mgrid[0:140, 0:61]
    smooth = np.stack([rows * 255 / 139, columns * 255 / 60, 255 - rows * 255 / 139], axis=-1)
    return [Image.fromarray(pixels) for pixels in (*noise, smooth.astype(np.uint8))]


def layout(state: dict[str, torch.Tensor]) -> dict[str, list[int]]:
    """Return the shapes of all tensors by name."""
    return {name: list(value.shape) for name, value in state.items()}


def drawn(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Return tensors of these shapes, each drawn from its name alone."""
    return {name: _tensor(name, tuple(shape)) for name, shape in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    name = name.removeprefix("visual.")  # drawn for the encoder alone
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    draws = np.random.default_rng(seed)
    if name.endswith("running_var"):
        values = draws.uniform(0.8, 1.2, shape)
    elif name.endswith("running_mean"):
        values = draws.normal(0, 0.05, shape)
    elif name.endswith(("pool.p", "gap.p", "pool_layer.p")):
        values = np.full(shape, 2.5)
    elif len(shape) > 1:
        fan = int(np.prod(shape[1:]))
        values = draws.normal(0, 1, shape) * (1 / fan) ** 0.5
    elif name.endswith("weight"):
        values = draws.uniform(0.8, 1.2, shape)
    else:
        values = draws.normal(0, 0.05, shape)
    if ".NL_" in f".{name}":  # a product of three layers, which grows without bounds
        values = values * 0.1
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@dataclass(frozen=True)
class Case:
    """A family.

    Args:
        name: of its recorded files, and in the table.
        write: puts tensors of the source's names into a folder as the source does; returns the
            entry.
        source: builds the source's own network, in eval mode, and its own extractor from PIL images
            to features; raises pytest's skip where it cannot.
        other: options of another resize, whose features differ.
        fixed: names of tensors that are kept as the source builds them.
        drop: a tensor that features depend on.
        machine: how far recorded features may be from those of another machine, of unit features;
            instance norms of a deep network of random weights amplify the order of sums.
        near: how far features of pixels may be from those of files, of the distance of two images;
            the same norms, and means over all pixels, amplify the rounding to whole levels.
        wrap: of the source's state before it is drawn.
    """

    name: str
    write: Callable[[dict[str, torch.Tensor], Path], str]
    source: Callable[[], tuple[torch.nn.Module, Callable[[list[Image.Image]], torch.Tensor]]]
    drop: str
    other: str = "resize=pillow"
    needs: tuple[str, ...] = ()
    slow: bool = True
    machine: float = 1e-5
    near: float = 0.05

    def shapes(self) -> dict[str, list[int]]:
        """Return the recorded layout."""
        return json.loads((RECORDED / f"{self.name}.json").read_text())["layout"]

    def features(self) -> torch.Tensor:
        """Return the recorded unit features (3, D) of the source's extractor."""
        return torch.from_numpy(np.load(RECORDED / f"{self.name}.npy"))

    def kept(self) -> dict[str, torch.Tensor]:
        """Return tensors that are computed, not drawn, such as the places of a window."""
        path = RECORDED / f"{self.name}.kept.npz"
        if not path.is_file():
            return {}
        with np.load(path) as found:
            return {name: torch.from_numpy(found[name]) for name in found.files}

    def lacking(self) -> str:
        """Return which package of ours or of others is not there, "" for none."""
        return next((name for name in self.needs if importlib.util.find_spec(name) is None), "")


def unit(features: torch.Tensor) -> torch.Tensor:
    return F.normalize(features.detach().float().cpu(), dim=1)


def computed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of a state that are no weights."""
    return {
        name: value.clone()
        for name, value in state.items()
        if not value.is_floating_point() and not name.endswith("num_batches_tracked")
    }


def filled(network: torch.nn.Module) -> torch.nn.Module:
    """Put drawn weights into a network, by its own names."""
    own = network.state_dict()
    network.load_state_dict(drawn(layout(own)) | computed(own))
    return network.eval()


def checkout(name: str) -> Path:
    """Return the folder of a project's checkout, or skip."""
    import pytest

    folder = Path(SOURCES) / name
    if not SOURCES or not folder.is_dir():
        pytest.skip(f"no checkout of {name} in the folder that REID_SOURCES names")
    return folder


class Importing:
    """Inside the block modules come from a checkout first; afterwards they are forgotten."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __enter__(self) -> None:
        self.before = set(sys.modules)
        sys.path.insert(0, self.folder)

    def __exit__(self, *error: object) -> None:
        sys.path.remove(self.folder)
        for name in set(sys.modules) - self.before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(self.folder):
                del sys.modules[name]
