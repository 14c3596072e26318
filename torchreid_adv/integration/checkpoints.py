"""Checkpoints: read without running code, checked against the model that they are meant for."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError, printable
from torchreid_adv.integration.memory import limited_memory

PREFIXES = ("module.", "model.")  # left by DataParallel and by wrappers
SHOWN = 8  # names listed in an error
COPIES, SPARE = 3, 2**30  # bytes that reading may take: times the file, and more
SHARE = 0.95  # of the backbone that weights to start training from must fill

# what Engine.save_model stores beside tensors: rank1, a numpy scalar, under its numpy 1 and 2 names
_SCALAR = np.float32(0).__reduce__()[0]
_DTYPES = [type(np.dtype(t)) for t in ("float16", "float32", "float64", "int32", "int64", "bool")]
SAFE_GLOBALS: list[Any] = [
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *_DTYPES,
]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU; only tensors and plain values are ever built.

    Args:
        path: what ``torch.save`` wrote (a state dict, or a dict that holds one), or safetensors.

    Raises:
        ConfigError: no such file, not a checkpoint, or one that holds more than weights.
    """
    path = Path(os.path.expanduser(path))
    if not os.path.isfile(path):
        raise ConfigError(f"there is no checkpoint file '{path}'; check the path of the weights")
    read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_torch
    try:
        with limited_memory(path.stat().st_size * COPIES + SPARE):
            content = read(path)
    except OSError as error:
        raise ConfigError(f"cannot read the checkpoint '{path}': {error.strerror}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"'{path}' holds a {type(content).__name__}, not the weights of a model; "
            "save them with torch.save(model.state_dict(), path)"
        )
    return dict(content)


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except Exception as error:  # as below
        reason = str(error) or type(error).__name__
        raise ConfigError(f"'{path}' is not a whole safetensors file: {reason}") from error


def _read_torch(path: Path) -> Any:
    known = torch.serialization.get_safe_globals()
    added = [entry for entry in SAFE_GLOBALS if entry not in known]  # leaving removes what is added
    try:
        with torch.serialization.safe_globals(added):
            return _load(path)
    except Exception as error:  # torch.load has no common base for what a broken file raises
        raise ConfigError(_refusal(path, error)) from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnicodeDecodeError:  # written by Python 2
        return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")


def _refusal(path: Path, error: Exception) -> str:
    blocked = re.search(r"GLOBAL (\S+)", str(error))
    if not blocked:
        # PyTorch's own text advises to read the file unsafely
        reason = " ".join(str(error).partition("WeightsUnpickler error:")[2].split()[:12])
        if isinstance(error, MemoryError):
            reason = "it unfolds to far more than its size"
        reason = reason or f"{type(error).__name__}: {error}".splitlines()[0]
        reason = printable(reason[:200])
        return f"'{path}' is not a checkpoint that can be read; is it whole? ({reason})"
    return (
        f"'{path}' holds '{blocked[1]}' beside weights, which could run code when read, and is "
        "refused; save its weights alone with torch.save(model.state_dict(), path)"
    )


def weights_in(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint: below ``state_dict`` or ``model``, or it is one itself.

    Raises:
        ConfigError: there are none, or some that are sparse, quantized or without values.
    """
    for key in ("state_dict", "model"):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    named = {key: value for key, value in checkpoint.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(list(named)[:SHOWN]) or "nothing"
        raise ConfigError(f"the checkpoint '{path}' holds no weights, only: {keys[:200]}")
    odd = [name for name, value in tensors.items() if not _is_plain(value)]
    if odd:
        raise ConfigError(
            f"the weights in '{path}' are sparse, nested, quantized, complex or without values "
            f"({', '.join(odd[:SHOWN])}); save plain tensors"
        )
    return tensors


def _is_plain(value: Tensor) -> bool:
    odd = value.is_nested or value.is_quantized or value.is_meta or value.is_complex()
    return value.layout == torch.strided and not odd


@dataclass(frozen=True)
class Match:
    """How the tensors of a checkpoint fit a model; names are the model's.

    Args:
        loaded: what fits.
        missing: tensors of the model that the checkpoint does not have.
        mismatched: name -> (shape in the model, shape in the checkpoint).
        unexpected: tensors of the checkpoint that the model does not have.
        doubtful: name -> why what the checkpoint has under it cannot be taken.
    """

    loaded: dict[str, Tensor]
    missing: tuple[str, ...]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unexpected: tuple[str, ...]
    doubtful: dict[str, str] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """Return what is wrong with the backbone, one line each; heads may differ."""
        return [
            *(
                f"{name} is {there} in the file, {here} in the model"
                for name, (here, there) in self.mismatched.items()
                if not is_head(name)
            ),
            *(f"{name} is not in the file" for name in self.missing if not _may_miss(name)),
            *(f"{name} {why}" for name, why in self.doubtful.items() if not _may_miss(name)),
        ]

    @property
    def strangers(self) -> list[str]:
        """Tensors of the file that belong to no head and are not in the model."""
        return [name for name in self.unexpected if not _may_miss(name)]

    @property
    def backbone(self) -> int:
        """How many tensors of the model's backbone were found."""
        return sum(not _may_miss(name) for name in self.loaded)


def is_head(name: str) -> bool:
    """Return whether a tensor belongs to a classifier, whose size is the number of identities."""
    return any(part.startswith("classifier") for part in name.split("."))


def _may_miss(name: str) -> bool:
    return is_head(name) or name.endswith("num_batches_tracked")


def match_weights(model: nn.Module, state: Mapping[str, Tensor]) -> Match:
    """Compare the tensors of a checkpoint with a model, leaving both as they are.

    Prefixes that DataParallel and wrappers left on the names are ignored on both sides.
    """
    wanted = unwrap(model).state_dict()
    named, doubtful = _by_own_names(state, wanted)
    shapes = {k: (tuple(v.shape), tuple(named[k].shape)) for k, v in wanted.items() if k in named}
    mismatched = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    for name in shapes.keys() - mismatched.keys():
        if named[name].is_floating_point() != wanted[name].is_floating_point():
            doubtful[name] = (
                f"holds {named[name].dtype} in the file, {wanted[name].dtype} in the model"
            )
    fitting = [name for name in shapes if name not in mismatched and name not in doubtful]
    return Match(
        loaded={name: named[name].to(wanted[name].dtype) for name in fitting},
        missing=tuple(name for name in wanted if name not in named),
        mismatched=mismatched,
        unexpected=tuple(name for name in named if name not in wanted),
        doubtful=doubtful,
    )


def _by_own_names(
    state: Mapping[str, Tensor], wanted: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by the model's names, and the names for which there are several."""
    named: dict[str, Tensor] = {}
    doubtful: dict[str, str] = {}
    for key, value in state.items():
        name = _own_name(key, wanted)
        if name in named and not _same(named[name], value):
            doubtful[name] = "is in the file twice, with different values under different prefixes"
        named[name] = value
    return named, doubtful


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside DataParallel or DistributedDataParallel."""
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    return model


def _own_name(key: str, wanted: Mapping[str, Any]) -> str:
    name = key
    while name not in wanted:
        prefix = next((p for p in PREFIXES if name.startswith(p)), None)
        if prefix is None:
            return name
        name = name[len(prefix) :]
    return name


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    strict: bool = True,
    state: Mapping[str, Tensor] | None = None,
) -> Match:
    """Load a checkpoint into a model, or refuse it with the model left as it was.

    Classifier heads may differ in size, because they have one row per training identity.

    Args:
        model: a torchreid model, bare or in DataParallel.
        path: the checkpoint file.
        state: its weights, where it was read before.
        strict: the whole backbone must be there, as for an evaluation; otherwise 95 % of its
            tensors, as for training that starts from partial weights, with a warning on the rest.

    Raises:
        ConfigError: see :func:`read_checkpoint`; or the backbone does not fit; or a weight is NaN
            or infinite.
    """
    state = weights_in(read_checkpoint(path), path) if state is None else state
    match = match_weights(model, state)
    check_match(match, path, strict=strict)
    unwrap(model).load_state_dict(match.loaded, strict=False)
    return match


def check_match(match: Match, path: str | Path, *, strict: bool) -> None:
    """Refuse weights that are not this model's, or not finite.

    Raises:
        ConfigError: with the first tensors that do not fit.
    """
    faults, found = match.faults(), match.backbone
    total = found + len(faults)
    if len(faults) > (0 if strict else (1 - SHARE) * total) or not found:
        raise ConfigError(_misfit(path, faults, f"{len(faults)} of {total} tensors do not fit"))
    if strict and len(match.strangers) > (1 - SHARE) * total:  # a deeper network of the same family
        faults = [f"{name} is not in the model" for name in match.strangers]
        raise ConfigError(_misfit(path, faults, f"{len(faults)} of its tensors have no place"))
    broken = [name for name, value in match.loaded.items() if not torch.isfinite(value).all()]
    if broken:
        raise ConfigError(
            f"the weights in '{path}' hold NaN or infinity ({', '.join(broken[:SHOWN])}); "
            "use a checkpoint from before training diverged"
        )
    left_out = [*faults, *match.strangers]
    if left_out:
        some = printable("; ".join(left_out[:SHOWN]))
        warnings.warn(f"not taken from '{path}': {some}", stacklevel=3)


def _misfit(path: str | Path, faults: list[str], count: str) -> str:
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return (
        f"the weights in '{path}' are not this model's: {count}: {'; '.join(faults[:SHOWN])}"
        f"{more}. Were they trained with another model.name?"
    )
