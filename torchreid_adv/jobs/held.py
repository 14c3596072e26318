"""The folders that this process holds, and the refusal to write into one that it has lost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from torchreid_adv.errors import DiskError
from torchreid_adv.jobs.owner import Owner


@dataclass
class Held:
    """A lock that a process holds.

    Args:
        folder: that is held, or that holds the entry that is made.
        path: of the lock file.
        owner: the process.
        count: how often it is held by it at the moment.
        made: folders that were made for the lock, the innermost first.
    """

    folder: Path
    path: Path
    owner: Owner
    count: int = 1
    made: list[Path] = field(default_factory=list)


LOCKS: dict[tuple[Path, str], Held] = {}  # (folder, entry made in it or "") -> lock


def require_held(path: Path) -> None:
    """Refuse to write below a folder whose lock this process has lost.

    Args:
        path: that is about to be written.

    Raises:
        DiskError: the folder was removed, or taken over by another process.
    """
    absolute = Path(os.path.abspath(path))
    for held in list(LOCKS.values()):
        inside = held.folder == absolute or held.folder in absolute.parents
        if inside and held.owner.pid == os.getpid() and not os.path.lexists(held.path):
            raise DiskError(
                f"'{held.folder}' was removed, or taken over by another process, while this one "
                "worked in it; nothing more is written there. Run the same command again"
            )
