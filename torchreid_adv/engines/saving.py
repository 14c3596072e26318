"""Checkpoints that are whole or not there, whoever writes them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from torchreid_adv.core.files import move_files, removed_after, unfinished_name
from torchreid_adv.core.owner import require_held


@contextlib.contextmanager
def whole_checkpoints(save_dir: str, leads: bool = True) -> Iterator[str]:
    """Give a folder to save checkpoints in; what is there at the end takes its place in another.

    torchreid writes a checkpoint at its place, where a process that is killed meanwhile leaves one
    that is cut off.

    Args:
        save_dir: where the checkpoints belong; lines that are printed name it.
        leads: whether this process saves any; one that does not is given the same folder.

    Raises:
        OSError: the disk is full or cannot be written; older checkpoints stand as they were.
        DiskError: the folder was removed while this process worked in it.
    """
    if not leads:
        yield save_dir
        return
    folder, said = Path(save_dir), io.StringIO()
    require_held(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / unfinished_name()
    with removed_after(unfinished):
        with contextlib.redirect_stdout(said):
            yield str(unfinished)
        move_files(unfinished, folder)
    print(said.getvalue().replace(str(unfinished), save_dir), end="")
