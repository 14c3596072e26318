"""Detects the network of a checkpoint from its tensors."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.matching import weights_in
from torchreid_adv.integration.weight_names import family, spelled
from torchreid_adv.models.output import LOG

Shapes = dict[str, tuple[int, ...]]


def guessed(path: Path, factory: Mapping[str, Any]) -> str:
    """Return the only network of a factory that a checkpoint fits, and log it.

    Tensors with a row for each training identity are not compared.

    Args:
        path: path of the checkpoint.
        factory: name -> function that builds the network.

    Raises:
        ConfigError: no network fits, or several do; the error says how to name it.
    """
    state = {
        spelled(name.rpartition("/")[2]): value
        for name, value in weights_in(read_checkpoint(path), path).items()
    }
    fitting = [name for name, build in factory.items() if _fits(_shapes(build), state)]
    if len(fitting) == 1:
        LOG.info("'%s' is taken for %s, by the names and shapes of its tensors", path, fitting[0])
        return fitting[0]
    if fitting:
        raise ConfigError(
            f"'{path}' fits several networks: {', '.join(fitting)}; write one of them, as in "
            f"{fitting[0]}:{path}"
        )
    raise ConfigError(
        f"'{path}' fits no network of torchreid; {family(state)}. Write the format before it, as "
        f"in FORMAT:{path}; 'torchreid-adv list formats' shows them"
    )


@functools.cache
def _shapes(build: Any) -> Shapes:
    """Return the shapes of a network's tensors; {} if it cannot be built without memory."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = build(num_classes=1, loss="softmax", pretrained=False, use_gpu=False)
    except Exception:  # some networks compute while they are built
        return {}
    return {spelled(n): tuple(v.shape) for n, v in network.state_dict().items()}


def _fits(expected: Shapes, state: Mapping[str, Tensor]) -> bool:
    """Tell whether a checkpoint has all tensors of a network, and no further layer."""
    ends = ("num_batches_tracked",)
    backbone = {n: s for n, s in expected.items() if not n.endswith(ends) and not _is_head(n, s)}
    if not backbone or not all(
        n in state and tuple(state[n].shape) == s for n, s in backbone.items()
    ):
        return False
    further = state.keys() - expected.keys()
    return all(name.endswith(ends) or "classifier" in name for name in further)


def _is_head(name: str, shape: tuple[int, ...]) -> bool:
    return "classifier" in name and bool(shape) and shape[0] == 1
