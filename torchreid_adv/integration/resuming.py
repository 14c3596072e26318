"""``model.resume``: a checkpoint is checked against the run that continues it, then loaded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import check_match, read_checkpoint
from torchreid_adv.integration.heads import counters
from torchreid_adv.integration.matching import SHOWN, Match, match_weights, unwrap, weights_in

INSTEAD = "to start from its weights use model.load_weights instead of model.resume"
SAME = "resume with the config that it was trained with"
# options that identify an optimizer: groups of another one have others
_OF_KINDS = ("betas", "amsgrad", "momentum", "dampening", "nesterov", "alpha", "centered", "rho")
# values moved by the schedule, names of parameters, and details of computing a step
_FREE = (
    *("lr", "params", "param_names", "buffer", "foreach", "fused", "capturable", "differentiable"),
    *("maximize", "decoupled_weight_decay"),
)
# a scheduler's state that changes with epochs
_MOVES = ("last_epoch", "verbose", "base_lrs", "optimizer")
KEYS = {"optimizer": "train.optim and its keys", "scheduler": "train.lr_scheduler and its keys"}


def resume_from_checkpoint(
    fpath: str, model: nn.Module, optimizer: Any = None, scheduler: Any = None
) -> int:
    """Replace torchreid's function; a GPU checkpoint resumes on a CPU and vice versa.

    Nothing is loaded unless everything fits.

    Args:
        fpath: the checkpoint of an epoch.
        model: the model of this run.
        optimizer: the optimizer of this run; None = load only weights.
        scheduler: the scheduler of this run.

    Returns:
        the epoch to start from.

    Raises:
        ConfigError: the file is not a training checkpoint, or belongs to another model, number of
            identities, optimizer or schedule.
    """
    print(f'Loading checkpoint from "{fpath}"')
    checkpoint = read_checkpoint(fpath)
    epoch = _epoch(fpath, checkpoint)
    match = _match(fpath, model, checkpoint)
    parts = {"optimizer": optimizer, "scheduler": scheduler}
    parts = {name: part for name, part in parts.items() if part is not None}
    for name, part in parts.items():
        _check_part(fpath, name, part, checkpoint.get(name))
    unwrap(model).load_state_dict(match.loaded, strict=False)
    print("Loaded model weights")
    for name, part in parts.items():
        _load_part(fpath, name, part, checkpoint[name])
        print(f"Loaded {name}")
    print(f"Last epoch = {epoch}")
    if isinstance(checkpoint.get("rank1"), (float, np.floating)):
        print(f"Last rank1 = {checkpoint['rank1']:.1%}")
    return epoch


def check_unfinished(start: int, end: int) -> None:
    """Refuse to train zero epochs; torchreid would then save the weights as those of epoch 1.

    Args:
        start: number of finished epochs.
        end: ``train.max_epoch``.

    Raises:
        ConfigError: no epoch is left.
    """
    if start >= end > 0:
        raise ConfigError(
            f"nothing is left to train: {start} epochs are done and train.max_epoch is {end}; to "
            "test the checkpoint set test.evaluate True with model.load_weights, to train on raise "
            "train.max_epoch"
        )


def _epoch(fpath: str, checkpoint: Mapping[str, Any]) -> int:
    epoch = checkpoint.get("epoch")
    if isinstance(epoch, bool) or not isinstance(epoch, (int, np.integer)) or epoch < 0:
        raise ConfigError(f"'{fpath}' is not a training checkpoint, it has no epoch; {INSTEAD}")
    return int(epoch)


def _match(fpath: str, model: nn.Module, checkpoint: dict[str, Any]) -> Match:
    match = match_weights(model, weights_in(checkpoint, fpath), fpath)
    check_match(match, fpath, strict=True)
    needless = counters(unwrap(model))
    other = [*match.mismatched, *(name for name in match.missing if name not in needless)]
    if other:
        raise ConfigError(
            f"'{fpath}' was trained on other data: its {', '.join(other[:SHOWN])} does not fit; "
            f"{INSTEAD}"
        )
    return match


def _check_part(fpath: str, name: str, part: Any, state: Any) -> None:
    if state is None:
        raise ConfigError(
            f"'{fpath}' holds no {name}, which is needed to continue a training; {INSTEAD}"
        )
    try:
        check = _optimizer_difference if name == "optimizer" else _scheduler_difference
        difference, overrides = check(part.state_dict(), state)
    except Exception as error:  # the content comes from the file, so anything may be missing
        raise _misfit(fpath, name, error) from error
    if difference:
        raise ConfigError(
            f"the {name} in '{fpath}' is not this run's: {difference}; {SAME} ({KEYS[name]})"
        )
    if overrides:
        warnings.warn(
            f"the run continues with the {name} of the checkpoint: {'; '.join(overrides)}",
            stacklevel=3,
        )


def _load_part(fpath: str, name: str, part: Any, state: Any) -> None:
    try:
        part.load_state_dict(state)
    except Exception as error:  # as above
        raise _misfit(fpath, name, error) from error


def _misfit(fpath: str, name: str, error: Exception) -> ConfigError:
    return ConfigError(f"the {name} in '{fpath}' is not this run's: {error}; {SAME}")


Difference = tuple[str, list[str]]  # what makes it another one, or ""; other values that differ


def _optimizer_difference(mine: dict[str, Any], saved: dict[str, Any]) -> Difference:
    """Return what makes it another optimizer, and the differing values that the file sets."""
    counts = [[len(group["params"]) for group in s["param_groups"]] for s in (mine, saved)]
    if counts[0] != counts[1]:
        return f"it moves groups of {counts[1]} parameters, this one groups of {counts[0]}", []
    overrides: list[str] = []
    for current_group, group in zip(mine["param_groups"], saved["param_groups"], strict=True):
        kinds = [{option for option in _OF_KINDS if option in g} for g in (current_group, group)]
        if kinds[0] != kinds[1]:
            return f"its options are {_listed(kinds[1])}, of this one {_listed(kinds[0])}", []
        flags, values = _differences(current_group, group, _FREE)
        if flags:
            return flags[0], []
        overrides += [value for value in values if value not in overrides]
    return "", overrides


def _scheduler_difference(mine: dict[str, Any], saved: dict[str, Any]) -> Difference:
    """Return what makes it another schedule, and the differing values that the file sets."""
    current_keys, saved_keys = (
        {key for key in s if key[0] != "_"} - set(_MOVES) for s in (mine, saved)
    )
    if current_keys != saved_keys:
        return f"its settings are {_listed(saved_keys)}, of this one {_listed(current_keys)}", []
    return "", _differences(mine, saved, _MOVES)[1]


def _differences(
    mine: Mapping[str, Any], saved: Mapping[str, Any], free: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """Return the differing flags, and other differing values, as ``a here, b there``."""
    flags: list[str] = []
    overrides: list[str] = []
    for option in sorted(mine.keys() & saved.keys()):
        if option[0] == "_" or option in free:
            continue
        current, stored = (_plain(values[option]) for values in (mine, saved))
        if current != stored:
            differing = flags if isinstance(current, bool) else overrides
            differing.append(f"{option} is {stored!r} there and {current!r} here")
    return flags, overrides


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _listed(options: set[str]) -> str:
    return ", ".join(sorted(options)) or "none"
