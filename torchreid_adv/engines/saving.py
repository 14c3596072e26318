"""Checkpoints that are written atomically, by torchreid's code as well."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

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
