"""Networks in TorchScript and torch.export files, which are programs: loading one runs it.

Nothing is taken for one of these by its suffix; whoever names the format says that the file is to
be trusted. Of an exported program what would be unpickled freely is refused, which makes it no
less of a program.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from torchreid_adv.errors import ConfigError

_RAW = ("weight_", "tensor_")  # members that torch reads as numbers, unless they say otherwise
_CONFIG = "_config.json"


def read_torchscript(path: Path, content: bytes, device: torch.device) -> nn.Module:
    """Load what ``torch.jit.save`` wrote.

    Args:
        path: of the file, for messages.
        content: of the file.
        device: to load it to.

    Raises:
        ConfigError: it is no TorchScript file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that torch.export is newer
            network: nn.Module = torch.jit.load(io.BytesIO(content), map_location=device)
    except Exception as error:
        raise _unreadable(path, "TorchScript file, as torch.jit.save writes", error) from error
    return network.eval()


def read_exported(path: Path, content: bytes, device: torch.device) -> nn.Module:
    """Load what ``torch.export.save`` wrote.

    Args:
        path: of the file, for messages.
        content: of the file.
        device: to put its weights on.

    Raises:
        ConfigError: it is no exported program, or holds pickled objects.
    """
    kind = "exported program, as torch.export.save writes"
    try:
        faults = _beyond_tensors(content)
    except (ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise _unreadable(path, kind, error) from error
    if faults:
        raise ConfigError(
            f"'{path}' holds more than a program and tensors ({faults[0]}), which would be "
            "unpickled freely; export the network by a current torch, with tensors as its weights "
            "and constants"
        )
    try:
        with _silent("torch.export"):
            network: nn.Module = torch.export.load(io.BytesIO(content)).module()
    except Exception as error:
        raise _unreadable(path, kind, error) from error
    return network.to(device)


def _beyond_tensors(content: bytes) -> list[str]:
    """Return the members of an archive that are neither a program nor tensors."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        root = names[0].partition("/")[0] + "/"
        known = {name.removeprefix(root): name for name in names if name.startswith(root)}
        if len(known) < len(names) or "archive_format" not in known:
            raise ValueError("it is another archive")
        raw: set[str] = set()
        pickled: set[str] = set()
        for name in [one for one in known if one.endswith(_CONFIG)]:
            folder = name.rpartition("/")[0]
            for payload in json.loads(archive.read(known[name]))["config"].values():
                file = str(payload["path_name"])
                plain = file.startswith(_RAW) and payload["use_pickle"] is False
                (raw if plain else pickled).add(f"{folder}/{file}")
        data = [n for n in known if n.startswith("data/") and not n.endswith(_CONFIG)]
        doubtful = [name for name in data if name not in raw or name in pickled]
        return [name for name in doubtful if not _tensors(archive.read(known[name]))]


def _tensors(content: bytes) -> bool:
    """Tell whether a pickle holds tensors and plain values only."""
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:
        return False
    return True


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a logger from saying what comes as an error."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _unreadable(path: Path, kind: str, error: BaseException) -> ConfigError:
    reason = " ".join(str(error).split())[:200]
    return ConfigError(f"'{path}' is no {kind} it: {reason or type(error).__name__}")
