"""Checkpoints that are written atomically, by torchreid's code as well; and their random state."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchreid_adv.core.files import move_files, removed_after, unfinished_name
from torchreid_adv.core.owner import require_held


@contextlib.contextmanager
def whole_checkpoints(save_dir: str, leads: bool = True) -> Iterator[str]:
    """Yield a folder to save checkpoints in; at the end they replace those in another folder.

    torchreid writes checkpoints in place, so a killed process would leave an incomplete file.

    Args:
        save_dir: the final folder; printed lines name it.
        leads: whether this process saves; if not, it gets the final folder itself.

    Raises:
        OSError: the disk is full or cannot be written; older checkpoints are unchanged.
        DiskError: the folder was removed while this process worked in it.
    """
    if not leads:
        yield save_dir
        return
    folder, log_text = Path(save_dir), io.StringIO()
    require_held(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / unfinished_name()
    with removed_after(unfinished):
        with contextlib.redirect_stdout(log_text):
            yield str(unfinished)
        move_files(unfinished, folder)
    print(log_text.getvalue().replace(str(unfinished), save_dir), end="")


def random_state() -> dict[str, Any]:
    """Return the states of Python's, numpy's and torch's generators: tensors and plain values."""
    version, words, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [
            str(kind),
            torch.from_numpy(np.asarray(keys, np.int64)),
            place,
            has_gauss,
            cached,
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore generators to a state; missing GPUs are skipped."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *remaining = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *remaining))
    torch.set_rng_state(state["torch"])
    for device, device_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(device_state, device)


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore every generator after the block."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
