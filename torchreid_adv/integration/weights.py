"""Hook: torchreid's own functions that read checkpoints, on today's PyTorch and with checks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import check_match, load_weights, read_checkpoint
from torchreid_adv.integration.heads import counters
from torchreid_adv.integration.matching import SHOWN, match_weights, unwrap, weights_in
from torchreid_adv.integration.patching import Replace

WEIGHT_KEYS = ("model.load_weights", "model.resume")


def load_checkpoint(fpath: str) -> dict[str, Any]:
    """Stand in for torchreid's function; errors as :func:`checkpoints.read_checkpoint`."""
    return read_checkpoint(fpath)


def load_pretrained_weights(model: nn.Module, weight_path: str) -> None:
    """Stand in for torchreid's function, which only warns when nothing matches.

    Strict in a test run (``test.evaluate``); training may start from partial weights.
    """
    evaluates = bool(config.lookup(config.current(), "test.evaluate", False))
    _load_and_tell(model, weight_path, strict=evaluates)


def load_extractor_weights(model: nn.Module, weight_path: str) -> None:
    """Stand in for what FeatureExtractor calls: it only ever evaluates."""
    _load_and_tell(model, weight_path, strict=True)


def _load_and_tell(model: nn.Module, path: str, *, strict: bool) -> None:
    match = load_weights(model, path, strict=strict)
    print(f'Successfully loaded pretrained weights from "{path}"')
    discarded = [*match.mismatched, *match.unexpected]
    if discarded:
        print(
            "** The following layers are discarded "
            f"due to unmatched keys or layer size: {discarded}"
        )


def resume_from_checkpoint(
    fpath: str, model: nn.Module, optimizer: Any = None, scheduler: Any = None
) -> int:
    """Stand in for torchreid's function; a checkpoint from a GPU resumes on a CPU and back.

    Returns:
        the epoch to start from.

    Raises:
        ConfigError: not a training checkpoint, or one of another model or optimizer.
    """
    print(f'Loading checkpoint from "{fpath}"')
    checkpoint = read_checkpoint(fpath)
    epoch = checkpoint.get("epoch")
    if not isinstance(epoch, (int, np.integer)) or epoch < 0:
        raise ConfigError(
            f"'{fpath}' is no training checkpoint, it has no epoch; "
            "to start from its weights use model.load_weights instead of model.resume"
        )
    _resume_weights(fpath, model, checkpoint)
    print("Loaded model weights")
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
        if part is not None and name in checkpoint:
            _resume_part(fpath, name, part, checkpoint[name])
            print(f"Loaded {name}")
    print(f"Last epoch = {epoch}")
    if isinstance(checkpoint.get("rank1"), (float, np.floating)):
        print(f"Last rank1 = {checkpoint['rank1']:.1%}")
    return int(epoch)


def _resume_weights(fpath: str, model: nn.Module, checkpoint: dict[str, Any]) -> None:
    match = match_weights(model, weights_in(checkpoint, fpath), fpath)
    check_match(match, fpath, strict=True)
    needless = counters(unwrap(model))
    other = [*match.mismatched, *(name for name in match.missing if name not in needless)]
    if other:
        raise ConfigError(
            f"'{fpath}' was trained on other data: its {', '.join(other[:SHOWN])} does not fit; "
            "to start from its weights use model.load_weights instead of model.resume"
        )
    unwrap(model).load_state_dict(match.loaded, strict=False)


def _resume_part(fpath: str, name: str, part: Any, state: Any) -> None:
    try:
        part.load_state_dict(state)
    except Exception as error:  # the file says what is in there, so that anything may be missing
        raise ConfigError(
            f"the {name} in '{fpath}' is not this run's: {error}; resume with the config that it "
            "was trained with"
        ) from error


def _checked_isfile(stock: Callable[[str], bool]) -> Callable[[str], bool]:
    def check_isfile(fpath: str) -> bool:
        cfg = config.current()
        for key in WEIGHT_KEYS:
            if fpath == config.lookup(cfg, key) and not os.path.isfile(fpath):
                raise ConfigError(f"{key} names '{fpath}', and there is no such file")
        return stock(fpath)

    return check_isfile


def _extractor_isfile(stock: Callable[[str], bool]) -> Callable[[str], bool]:
    def check_isfile(fpath: str) -> bool:
        if not os.path.isfile(fpath):
            raise ConfigError(f"model_path names '{fpath}', and there is no such file")
        return stock(fpath)

    return check_isfile


TOOLS = ("utils.torchtools", "utils")
REPLACES = (
    Replace(TOOLS, "load_checkpoint", lambda stock: load_checkpoint, prepare=False),
    Replace(TOOLS, "load_pretrained_weights", lambda stock: load_pretrained_weights, prepare=False),
    Replace(TOOLS, "resume_from_checkpoint", lambda stock: resume_from_checkpoint, prepare=False),
    Replace(("utils.tools", "utils"), "check_isfile", _checked_isfile, prepare=False),
    Replace(
        ("utils.feature_extractor",),
        "load_pretrained_weights",
        lambda stock: load_extractor_weights,
        prepare=False,
    ),
    Replace(("utils.feature_extractor",), "check_isfile", _extractor_isfile, prepare=False),
)
