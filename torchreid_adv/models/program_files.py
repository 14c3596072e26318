"""Networks in TorchScript and torch.export files, which are programs: loading one runs it.

A file is never treated as one of these because of its suffix: a user who names the format declares
that the file can be trusted. Exported programs with freely unpickled objects are refused, but they
are still programs.
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

_RAW = ("weight_", "tensor_")  # archive members that torch reads as raw numbers by default
_CONFIG = "_config.json"


def read_torchscript(path: Path, content: bytes, device: torch.device) -> nn.Module:
    """Load a file of ``torch.jit.save``.

    Args:
        path: path of the file, for messages.
        content: content of the file.
        device: where to load it.

    Raises:
        ConfigError: it is not a TorchScript file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warns that torch.export is newer
            network: nn.Module = torch.jit.load(io.BytesIO(content), map_location=device)
    except Exception as error:
        raise _unreadable(path, "TorchScript file, as torch.jit.save writes", error) from error
    return network.eval()


def read_exported(path: Path, content: bytes, device: torch.device) -> nn.Module:
    """Load a file of ``torch.export.save``.

    Args:
        path: path of the file, for messages.
        content: content of the file.
        device: where to put its weights.

    Raises:
        ConfigError: it is not an exported program, or holds pickled objects.
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
        for name in [member for member in known if member.endswith(_CONFIG)]:
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
    """Silence a logger about problems that are raised as errors."""
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
