"""Checkpoints, read without running code and checked against their model."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from torchreid_adv.core.faults import out_of_memory
from torchreid_adv.core.given_files import folder_fault
from torchreid_adv.errors import ConfigError, printable
from torchreid_adv.integration.console import limited_memory
from torchreid_adv.integration.inert import read_inert
from torchreid_adv.integration.matching import SHOWN, Match, match_weights, unwrap, weights_in
from torchreid_adv.integration.weight_files import (
    HEAD,
    WEIGHTS,
    fault_of,
    index_of,
    is_archive,
    is_safetensors,
    read_shards,
)
from torchreid_adv.integration.weight_names import family

__all__ = [
    "check_match",
    "load_weights",
    "match_weights",
    "read_checkpoint",
    "unwrap",
    "weights_in",
]

COPIES, SPARE = 3, 2**30  # memory limit for reading: times the file size, plus bytes
SHARE = 0.95  # least share of the backbone that initial weights for training must fill

# Engine.save_model also stores rank1, a numpy scalar, under its numpy 1 and 2 names
_SCALAR = np.float32(0).__reduce__()[0]
_DTYPES = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]  # booleans and all numbers
SAFE_GLOBALS: list[Any] = [
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *_DTYPES,
]


def read_checkpoint(path: str | Path, *, inert: bool = False) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU; only tensors and plain values are ever built.

    The kind of file is detected from its content, not its suffix. Checksums of an archive written
    by torch.save are verified; its older format (before PyTorch 1.6) and safetensors have none, so
    changed values are not detected there.

    Args:
        path: a file of ``torch.save`` (a state dict, or a dict that contains one), a safetensors
            file, or a folder of safetensors with an index.
        inert: also read objects of other classes, as their tensors alone, see
            :func:`read_inert`; otherwise a file with such objects is refused.

    Raises:
        ConfigError: the file is missing, is not a checkpoint, is damaged, or holds more than
            weights.
    """
    path = Path(os.path.expanduser(path))
    try:
        index = index_of(path)
        if index is not None:
            return read_shards(index, read_checkpoint)
        if path.is_dir():
            raise ConfigError(f"'{path}' {folder_fault(path, WEIGHTS)}")
        if not path.is_file():
            raise ConfigError(
                f"there is no checkpoint file '{path}'; check the path of the weights"
            )
        size = path.stat().st_size
        with limited_memory(size * COPIES + SPARE), path.open("rb") as file:
            content = _read(path, file, size, inert)
    except OSError as error:
        raise ConfigError(f"cannot read the checkpoint '{path}': {error.strerror}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"'{path}' holds a {type(content).__name__}, not the weights of a model; "
            "save them with torch.save(model.state_dict(), path)"
        )
    return dict(content)


def _read(path: Path, file: BinaryIO, size: int, inert: bool) -> Any:
    kind = "whole safetensors file" if path.suffix.lower() == WEIGHTS[3] else "checkpoint"
    fault = fault_of(file, size)
    if fault:
        raise ConfigError(f"'{path}' is not a {kind}: {fault}")
    head = file.read(HEAD)
    file.seek(0)
    if is_safetensors(head, size):
        return _read_safetensors(path, file)
    return _read_torch(path, file, inert and is_archive(head))


def _read_safetensors(path: Path, file: BinaryIO) -> Any:
    try:
        return load_safetensors(file.read())
    except Exception as error:  # as below
        reason = printable(str(error)[:200]) or type(error).__name__
        raise ConfigError(f"'{path}' is not a whole safetensors file: {reason}") from error


def _read_torch(path: Path, file: BinaryIO, inert: bool) -> Any:
    known = torch.serialization.get_safe_globals()
    # leaving the context removes the added entries
    added = [entry for entry in SAFE_GLOBALS if entry not in known]
    try:
        with torch.serialization.safe_globals(added):
            return _load(file)
    except Exception as error:  # torch.load's errors for broken files have no common base
        if inert and re.search(r"GLOBAL (\S+)", str(error)):
            return read_inert(path)
        raise ConfigError(_refusal(path, error)) from error


def _load(file: BinaryIO) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except UnicodeDecodeError:  # written by Python 2
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True, encoding="latin1")


def _refusal(path: Path, error: Exception) -> str:
    blocked = re.search(r"GLOBAL (\S+)", str(error))
    if not blocked and "legacy .tar format" in str(error):
        return f"'{path}' is not a checkpoint that can be read: it is nothing that torch.save wrote"
    if not blocked:
        # PyTorch's message advises to read the file unsafely
        reason = " ".join(str(error).partition("WeightsUnpickler error:")[2].split()[:12])
        if out_of_memory(error):
            reason = "it unpacks to far more than its size"
        reason = reason or f"{type(error).__name__}: {error}".splitlines()[0]
        reason = reason.partition(" (Could this error message")[0]
        if "Unsupported operand" in reason:
            reason = "it was saved with another pickle_protocol than the one of torch.save's own"
        reason = printable(reason[:200])
        return f"'{path}' is not a checkpoint that can be read; is it whole? ({reason})"
    return (
        f"'{path}' holds '{printable(blocked[1][:100])}' as well as weights. It could run code "
        "when read, and is refused; save its weights alone with torch.save(model.state_dict(), "
        "path)"
    )


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    strict: bool = True,
    state: Mapping[str, Tensor] | None = None,
) -> Match:
    """Load a checkpoint into a model, or refuse it and leave the model unchanged.

    Tensors that features do not depend on, such as a classifier with one row per training identity,
    may differ or be missing, and are then not loaded. All other tensors come from the file.

    Args:
        model: a torchreid model, bare or in DataParallel.
        path: the checkpoint file.
        state: its weights, if already read.
        strict: all tensors that features depend on must be present, as for an evaluation;
            otherwise 95 % of the tensors, as for training that starts from partial weights, with a
            warning about the others.

    Raises:
        ConfigError: see :func:`read_checkpoint` and :func:`match_weights`; or the weights do not
            fit or are not finite.
    """
    state = weights_in(read_checkpoint(path), path) if state is None else state
    match = match_weights(model, state, path)
    check_match(match, path, strict=strict)
    unwrap(model).load_state_dict(match.loaded, strict=False)
    return match


def check_match(match: Match, path: str | Path, *, strict: bool) -> None:
    """Refuse weights that do not belong to this model or are not finite.

    Raises:
        ConfigError: the error names the first tensors that do not fit.
    """
    faults, matched_count = match.faults(), match.backbone
    total = matched_count + len(faults)
    if len(faults) > (0 if strict else (1 - SHARE) * total) or not matched_count:
        raise ConfigError(
            _misfit(match, path, faults, f"{len(faults)} of {total} tensors do not fit")
        )
    if strict and match.layers:  # a deeper network, or one with more layers behind its features
        faults = [f"{name} is not in the model" for name in match.layers]
        raise ConfigError(
            _misfit(match, path, faults, f"{len(faults)} of its tensors have no place")
        )
    broken = [name for name, value in match.loaded.items() if not torch.isfinite(value).all()]
    if broken:
        raise ConfigError(
            f"the weights in '{path}' hold NaN or infinity ({', '.join(broken[:SHOWN])}); "
            "use a checkpoint from before training diverged"
        )
    if match.rounded:
        warnings.warn(
            f"{len(match.rounded)} tensors of '{path}' are rounded, such as "
            f"{printable(match.rounded[0])}: they hold more digits than the network, which "
            "computes in a shorter type; features can differ in their last digits",
            stacklevel=3,
        )
    left_out = [*faults, *match.layers]
    if left_out:
        some = printable("; ".join(left_out[:SHOWN]))
        warnings.warn(f"not taken from '{path}': {some}", stacklevel=3)


def _misfit(match: Match, path: str | Path, faults: list[str], count: str) -> str:
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    untried = f" (which of them features need could not be tried: {match.untried})"
    return printable(
        f"the weights in '{path}' are not this model's: {count}: {'; '.join(faults[:SHOWN])}"
        f"{more}{untried if match.untried else ''}. Were they trained with another model.name? "
        f"In the file {family(match.names)}"
    )
