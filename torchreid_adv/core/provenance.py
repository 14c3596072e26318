"""Where a result comes from: command or call, date, device and versions.

None of this affects a result, so it is never part of a key: a run of another day can be continued.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from torchreid_adv.version import __version__

if TYPE_CHECKING:  # a command line is noted before PyTorch is imported, which takes seconds
    import torch

FIELD = "provenance"  # its name in JSON files, which readers and comparisons leave out
_CALL: ContextVar[str] = ContextVar("call", default="")


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from.

    Args:
        command: the command line, or the call from Python.
        date: the time of writing, UTC, as ISO 8601.
        device: name of the GPU, or of the processor's architecture.
        versions: package -> version.
        warnings: what makes the data doubtful.
    """

    command: str
    date: str
    device: str
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return plain values, as JSON files have them."""
        facts = asdict(self)
        warnings = facts.pop("warnings")
        return facts | ({"warnings": list(warnings)} if warnings else {})


def provenance(
    device: torch.device | str | None = None, *, warnings: Iterable[str] = ()
) -> Provenance:
    """Return where what is written now comes from.

    Args:
        device: that computed; None = a GPU if PyTorch finds one.
        warnings: of the data sets that were read.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    each_once = tuple(dict.fromkeys(warnings))
    return Provenance(call(), now, _name_of(device), versions(), each_once)


def without(content: dict[str, Any]) -> dict[str, Any]:
    """Return what a JSON file says of a run, without where it comes from.

    Raises:
        TypeError: it holds no object.
        ValueError: the same, of a text.
    """
    return {name: value for name, value in dict(content).items() if name != FIELD}


def kept_provenance(path: Path, content: dict[str, Any], *, seal: str = "") -> dict[str, Any]:
    """Return a result as it was written first, if the file of an earlier run says the same.

    So a finished run is read back without a write, and its date is that of its making.

    Args:
        path: JSON file, which may be missing.
        content: the result of now, with its provenance.
        seal: name of a hash of all the rest, which is not compared; "" = the file has none.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return content
    if not isinstance(before, dict) or FIELD not in before:
        return content
    then, now = without(before), without(json.loads(json.dumps(content)))
    then.pop(seal, None)
    return {**content, FIELD: before[FIELD]} if then == now else content


def is_provenance(value: Any) -> bool:
    """Return whether a value of a JSON file says where a result comes from, as this module does."""
    names = ("command", "date", "device")
    return (
        isinstance(value, dict)
        and set(value) >= {*names, "versions"}
        and all(isinstance(value[name], str) for name in names)
        and isinstance(value["versions"], dict)
        and all(isinstance(version, str) for version in value["versions"].values())
        and isinstance(value.get("warnings", []), list)
        and all(isinstance(warning, str) for warning in value.get("warnings", []))
    )


@contextlib.contextmanager
def called(text: str) -> Iterator[None]:
    """Inside the block results come from this command or call; an outer one counts, if any."""
    token = _CALL.set(_CALL.get() or text)
    try:
        yield
    finally:
        _CALL.reset(token)


def call() -> str:
    """Return the command line or the call that results come from now."""
    return _CALL.get() or _typed()


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    import numpy
    import torch

    try:
        torchreid = metadata.version("torchreid")
    except metadata.PackageNotFoundError:  # a checkout on the path
        torchreid = "unknown"
    return {
        "torchreid_adv": __version__,
        "torch": str(torch.__version__),
        "torchreid": torchreid,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def _typed() -> str:
    """Return how the process was started, without the folder of its program."""
    program = PurePath(sys.argv[0] if sys.argv else "").name
    return shlex.join([program or "python", *sys.argv[1:]])


def _name_of(device: torch.device | str | None) -> str:
    import torch

    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()})"
