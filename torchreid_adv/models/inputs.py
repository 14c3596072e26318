"""Networks that take levels instead of floats, and networks in another number format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.entries import Entry
from torchreid_adv.models.foreign import FileNetwork
from torchreid_adv.models.pixel_model import BlackBox

FLOAT, UINT8, NUMPY = "float", "uint8", "numpy"
DTYPES = {"float32": torch.float32, "half": torch.float16, "bf16": torch.bfloat16}
_OF_LEVELS: dict[str, Any] = {"range": LEVELS, "mean": (0.0,) * 3, "std": (1.0,) * 3}


class OfLevels(BlackBox):
    """A network of whole levels: it answers, and a gradient does not pass the rounding.

    Args:
        network: uint8 images -> features; a tensor (N, 3, H, W), or with ``numpy`` an array
            (N, H, W, 3) as image libraries have them.
        kind: ``uint8`` or ``numpy``.
    """

    what = "a network that takes whole levels"

    def __init__(self, network: Callable[[Any], Any], kind: str) -> None:
        super().__init__()
        self.network, self.kind = network, kind

    @torch.no_grad()
    def forward(self, images: Tensor) -> Any:
        """Return the features of images (N, 3, H, W) in levels of 0 to 255."""
        levels = images.round().clamp(0, LEVELS).to(torch.uint8)
        if self.kind == UINT8:
            return _floats(self.network(levels), images)
        answer = self.network(levels.permute(0, 2, 3, 1).cpu().numpy())
        return _floats(torch.as_tensor(answer), images)


def _floats(answer: Any, images: Tensor) -> Any:
    """Return a tensor in the dtype and on the device of the images; other answers unchanged."""
    return answer.to(images) if isinstance(answer, Tensor) else answer


def taken_as(network: nn.Module, entry: Entry, settings: Mapping[str, Any]) -> nn.Module:
    """Return a network that takes floats, of one that takes what ``@input=`` says.

    Args:
        network: as its format builds it.
        entry: that says it.
        settings: of the entry or the caller.

    Raises:
        ConfigError: mean or std are given, which levels do not have.
    """
    kind = entry.options.get("input", FLOAT)
    if kind == FLOAT:
        return network
    if any(name in settings for name in ("mean", "std", "range")):
        raise ConfigError(
            f"'{entry.name}' takes whole levels with input={kind}, which are not normalized; leave "
            "@MEAN/STD and range out"
        )
    return OfLevels(network, kind)


def settings_of_input(entry: Entry) -> dict[str, Any]:
    """Return the settings that ``@input=`` stands for, {} for floats."""
    return {} if entry.options.get("input", FLOAT) == FLOAT else dict(_OF_LEVELS)


def in_dtype(network: nn.Module, entry: Entry) -> nn.Module:
    """Return a network in the number format of ``@dtype=``, or unchanged without it.

    Images and features stay float32 outside of it.

    Raises:
        ConfigError: a file of a program, which computes in the format that it was written in.
    """
    name = entry.options.get("dtype")
    if name is None:
        return network
    if isinstance(network, FileNetwork):
        raise ConfigError(
            f"dtype={name} has no effect on a file of the format '{entry.name}', which computes in "
            "its own number format; leave @dtype out"
        )
    return network.to(DTYPES[name])
