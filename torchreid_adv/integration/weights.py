"""Hook: torchreid's functions that read checkpoints, for current PyTorch and with checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import load_weights, read_checkpoint
from torchreid_adv.integration.patching import Replace
from torchreid_adv.integration.resuming import resume_from_checkpoint
from torchreid_adv.integration.weight_files import weights_fault

WEIGHT_KEYS = ("model.load_weights", "model.resume")


def load_checkpoint(fpath: str) -> dict[str, Any]:
    """Replace torchreid's function; errors as in :func:`checkpoints.read_checkpoint`."""
    return read_checkpoint(fpath)


def load_pretrained_weights(model: nn.Module, weight_path: str) -> None:
    """Replace torchreid's function, which only warns if nothing matches.

    Strict in a test run (``test.evaluate``); training may start from partial weights.
    """
    evaluates = bool(config.lookup(config.current(), "test.evaluate", False))
    _load_and_tell(model, weight_path, strict=evaluates)


def load_extractor_weights(model: nn.Module, weight_path: str) -> None:
    """Replace the function that FeatureExtractor calls; it only evaluates, so strict."""
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


def _checked_isfile(stock: Callable[[str], bool]) -> Callable[[str], bool]:
    def check_isfile(fpath: str) -> bool:
        cfg = config.current()
        for key in WEIGHT_KEYS:
            fault = weights_fault(fpath) if fpath == config.lookup(cfg, key) else ""
            if fault:
                raise ConfigError(f"{key} names '{fpath}', {fault}")
        return stock(fpath)

    return check_isfile


def _extractor_isfile(stock: Callable[[str], bool]) -> Callable[[str], bool]:
    def check_isfile(fpath: str) -> bool:
        fault = weights_fault(fpath)
        if fault:
            raise ConfigError(f"model_path names '{fpath}', {fault}")
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
