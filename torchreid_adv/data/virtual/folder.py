"""Where a rendered set lies: found again, never written over, whole or not there."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import removed_after, sweep, unfinished_name, write_text
from torchreid_adv.jobs.lock import making

RECORD = "render.json"
# to be raised with every change to what is drawn
VERSION = 3

_MAY_RENDER = contextvars.ContextVar("_MAY_RENDER", default=True)


class Options(Protocol):
    """How much is rendered: a frozen dataclass whose defaults are the usual set."""

    def digest(self) -> str:
        """Return 8 hex digits that tell these options from others."""


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


def rendered_once(folder: Path, record: dict[str, Any], render: Callable[[Path], None]) -> Path:
    """Render a set unless it is there already, and return its folder.

    One process renders; another one that wants the same set waits, and then finds it.

    Args:
        folder: of the set.
        record: what ``render.json`` says of it.
        render: draws everything into the folder that it is given.

    Raises:
        ConfigError: something else has the folder's name, or the root cannot be written.
    """
    if is_rendered(folder, record):
        sweep(folder.parent, folder.name)  # a kill may have left the lock of who rendered it
        return folder
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(making(folder))
        except OSError as error:
            raise _unwritable(folder, error) from error
        if not is_rendered(folder, record):
            with new_folder(folder, record) as work:
                render(work)
    return folder


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
        sweep(folder.parent, folder.name)
        # not by tempfile, whose folders only their owner can read
        work = folder.with_name(unfinished_name(folder.name))
        work.mkdir()
    except OSError as error:
        raise _unwritable(folder, error) from error
    with removed_after(work):
        yield work
        _take_place(work, folder, record)


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"virtual people cannot be rendered into '{folder.parent}' ({error.strerror or error}); "
        "give a --root that can be written"
    )


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
