"""Where a rendered set lies: found again, never written over, whole or not there."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import write_text

RECORD = "render.json"
# to be raised with every change to what is drawn
VERSION = 3

_MAY_RENDER = contextvars.ContextVar("_MAY_RENDER", default=True)


class Options(Protocol):
    """How much is rendered: a frozen dataclass whose defaults are the usual set."""

    def digest(self) -> str:
        """Return 8 hex digits that tell these options from others."""


_STALE = 3600.0  # seconds after which an untouched temporary folder belongs to a dead run


def folder_of(root: Path, style: str, options: Options) -> Path:
    """Return where a set lies: its own name for default options, else with a digest of them."""
    own = options == type(options)()
    return root / (style if own else f"{style}-{options.digest()}")


def record_of(style: str, options: Options) -> dict[str, Any]:
    """Return what ``render.json`` says of a set, but for the counts."""
    return {"style": style, "version": VERSION, "options": dataclasses.asdict(cast(Any, options))}


def is_rendered(folder: Path, record: dict[str, Any]) -> bool:
    """Tell whether the set is there, whole and of these parameters.

    Raises:
        ConfigError: something else has the folder's name.
    """
    if not os.path.lexists(folder):
        return False
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        found.pop("counts")
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise ConfigError(
            f"'{folder}' is in the way: virtual people are rendered there, but it holds no "
            f"{RECORD} of theirs; rename it or give another --root"
        ) from error
    if found != record:
        raise ConfigError(
            f"'{folder}' holds virtual people of other parameters or of renderer version "
            f"{found.get('version')} (this one is {VERSION}); rename or delete it, and it is "
            "rendered anew"
        )
    return True


@contextlib.contextmanager
def nothing_rendered() -> Iterator[None]:
    """Keep sets that are not there from being rendered inside the block.

    Raises:
        ConfigError: when one would be.
    """
    token = _MAY_RENDER.set(False)
    try:
        yield
    finally:
        _MAY_RENDER.reset(token)


@contextlib.contextmanager
def new_folder(folder: Path, record: dict[str, Any]) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` when the block ends without an error.

    Where another process was faster its set is kept and this one removed.

    Raises:
        ConfigError: the root cannot be written, or something else took the name meanwhile.
    """
    if not _MAY_RENDER.get():
        raise ConfigError(
            f"the virtual people of '{folder}' are not rendered yet; give the flags of the run "
            "that used them (adv.virtual.*), or another --root"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        # not by tempfile, whose folders only their owner can read
        work = folder.parent / f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
        work.mkdir()
    except OSError as error:
        raise ConfigError(
            f"virtual people cannot be rendered into '{folder.parent}' ({error.strerror}); "
            "give a --root that can be written"
        ) from error
    try:
        yield work
        _take_place(work, folder, record)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_record(work: Path, record: dict[str, Any], counts: dict[str, int]) -> None:
    """Write ``render.json``, the mark of a whole set."""
    write_text(work / RECORD, json.dumps({**record, "counts": counts}, indent=2) + "\n")


def _take_place(work: Path, folder: Path, record: dict[str, Any]) -> None:
    if is_rendered(folder, record):
        return
    try:
        os.rename(work, folder)
    except OSError:
        if not is_rendered(folder, record):
            raise


def _remove_stale(folder: Path) -> None:
    """Remove what killed runs left: temporary folders in which nothing was written for long."""
    for work in folder.parent.glob(f".{folder.name}.*.tmp"):
        with contextlib.suppress(OSError):
            touched = max(path.stat().st_mtime for path in (work, *work.iterdir()))
            if time.time() - touched > _STALE:
                shutil.rmtree(work, ignore_errors=True)
