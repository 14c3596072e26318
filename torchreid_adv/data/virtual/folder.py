"""The amount to render and the folder of a set, which is complete or missing."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from torchreid_adv.core.files import removed_after, sweep, unfinished_name, write_text
from torchreid_adv.core.lock import making
from torchreid_adv.errors import ConfigError

RECORD = "render.json"
# increase with every change of the rendering
VERSION = 3

_MAY_RENDER = contextvars.ContextVar("_MAY_RENDER", default=True)


class Options(Protocol):
    """The amount to render: a frozen dataclass whose defaults are the usual set."""

    def digest(self) -> str:
        """Return 8 hex digits that identify these options."""


def folder_of(root: Path, style: str, options: Options) -> Path:
    """Return the folder of a set: its name for default options, else with a digest."""
    is_default = options == type(options)()
    return root / (style if is_default else f"{style}-{options.digest()}")


def record_of(style: str, options: Options) -> dict[str, Any]:
    """Return the content of ``render.json`` for a set, without the counts."""
    return {"style": style, "version": VERSION, "options": dataclasses.asdict(cast(Any, options))}


def is_rendered(folder: Path, record: dict[str, Any]) -> bool:
    """Tell whether the set exists, complete and with these parameters.

    Raises:
        ConfigError: something else has the folder's name.
    """
    if not os.path.lexists(folder):
        return False
    try:
        stored = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        stored.pop("counts")
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise ConfigError(
            f"'{folder}' is in the way: virtual people are rendered there, but it holds no "
            f"{RECORD} of theirs; rename it or give another --root"
        ) from error
    if stored != record:
        raise ConfigError(
            f"'{folder}' holds virtual people of other parameters or of renderer version "
            f"{stored.get('version')} (this one is {VERSION}); rename or delete it to "
            "render new ones"
        )
    return True


def rendered_once(folder: Path, record: dict[str, Any], render: Callable[[Path], None]) -> Path:
    """Render a set unless it exists, and return its folder.

    One process renders; another one that needs the same set waits, and then uses it.

    Args:
        folder: folder of the set.
        record: content of its ``render.json``.
        render: renders everything into the given folder.

    Raises:
        ConfigError: something else has the folder's name, or the root cannot be written.
    """
    if is_rendered(folder, record):
        sweep(folder.parent, folder.name)  # a killed process may have left its lock
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
    """Refuse to render missing sets inside the block.

    Raises:
        ConfigError: a set would be rendered.
    """
    token = _MAY_RENDER.set(False)
    try:
        yield
    finally:
        _MAY_RENDER.reset(token)


@contextlib.contextmanager
def new_folder(folder: Path, record: dict[str, Any]) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` when the block ends without an error.

    If another process was faster, its set is kept and this one removed.

    Raises:
        ConfigError: the root cannot be written, or something else has taken the name meanwhile.
    """
    if not _MAY_RENDER.get():
        raise ConfigError(
            f"the virtual people of '{folder}' are not rendered yet; give the flags of the run "
            "that used them (adv.virtual.*), or another --root"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent, folder.name)
        # not tempfile: only the owner can read its folders
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
    """Write ``render.json``, the mark of a complete set."""
    write_text(work / RECORD, json.dumps({**record, "counts": counts}, indent=2) + "\n")


def _take_place(work: Path, folder: Path, record: dict[str, Any]) -> None:
    if is_rendered(folder, record):
        return
    try:
        os.rename(work, folder)
    except OSError:
        if not is_rendered(folder, record):
            raise


# torchreid's Market-1501 reader asserts this limit of pids
_LAST_PID = 1501

_LIMITS: dict[str, tuple[int, int]] = {
    "train_identities": (1, _LAST_PID),
    "test_identities": (1, _LAST_PID),
    "cameras_per_identity": (2, 6),
    "images_per_camera": (2, 50),
    "distractors": (0, 100_000),
    "seed": (0, 2**32 - 1),
    "height": (64, 512),
    "frames": (2, 500),
    "tracklets": (1, 20),
    "width": (32, 256),
}


def check_limits(options: Any) -> None:
    """Refuse a value out of range.

    Raises:
        ConfigError: the error names the key and the range.
    """
    for field in dataclasses.fields(options):
        (low, high), value = _LIMITS[field.name], getattr(options, field.name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(
                f"adv.virtual.{field.name} is a whole number from {low} to {high}, got {value!r}"
            )


def digest_of(options: Any) -> str:
    """Return 8 hex digits that identify options."""
    text = json.dumps(dataclasses.asdict(options), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class VirtualOptions:
    """Size and seed of a rendered set.

    Args:
        train_identities: people in ``bounding_box_train``.
        test_identities: people in ``query`` and ``bounding_box_test``, none of them in training.
        cameras_per_identity: cameras that see a person, at most those of the style.
        images_per_camera: images of a person by each camera; in testing one of them is the query.
        distractors: gallery images (pid 0) of people who match no query.
        seed: other seeds give other people, scenes, crops and poses of the same style.
        height: image height in pixels; styles b and c vary around it.
        width: image width in pixels; styles b and c vary around it.

    Raises:
        ConfigError: a value is out of range.
    """

    train_identities: int = 120
    test_identities: int = 60
    cameras_per_identity: int = 4
    images_per_camera: int = 3
    distractors: int = 100
    seed: int = 0
    height: int = 128
    width: int = 64

    def __post_init__(self) -> None:
        check_limits(self)
        if self.train_identities + self.test_identities > _LAST_PID:
            raise ConfigError(
                f"adv.virtual.train_identities + test_identities is at most {_LAST_PID} (the "
                f"Market-1501 layout), got {self.train_identities + self.test_identities}"
            )

    def digest(self) -> str:
        """Return 8 hex digits that identify these options."""
        return digest_of(self)


@dataclasses.dataclass(frozen=True)
class WalkOptions:
    """Size and seed of a rendered set of tracklets.

    Args:
        train_identities: people in training.
        test_identities: people in the test, none of them in training.
        cameras_per_identity: cameras that see a person, at most those of the style.
        tracklets: tracklets of a person by each camera, visible and infrared in equal numbers.
        frames: frames per tracklet.
        seed: other seeds give other people, scenes and walks.
        height: height of a frame in pixels.
        width: width of a frame in pixels.

    Raises:
        ConfigError: a value is out of range.
    """

    train_identities: int = 120
    test_identities: int = 60
    cameras_per_identity: int = 4
    tracklets: int = 1
    frames: int = 12
    seed: int = 0
    height: int = 128
    width: int = 64

    def __post_init__(self) -> None:
        check_limits(self)

    def digest(self) -> str:
        """Return 8 hex digits that identify these options."""
        return digest_of(self)
