"""Hook: torchreid's FeatureExtractor applies ``adv.defense.name``, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import Tensor

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.patching import Replace
from torchreid_adv.registry import TEST_TRANSFORMS

_MARK = "_defended_by_torchreid_adv"


def _make_init(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        stock(self, *args, **kwargs)
        cfg = config.current()
        if cfg.adv.defense.name:
            TEST_TRANSFORMS.get("defense")(self, cfg)
            setattr(self, _MARK, True)

    return __init__


def _make_call(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def __call__(self: Any, input: Any) -> Any:
        if isinstance(input, Tensor) and _MARK in vars(self):
            raise ConfigError(
                "this FeatureExtractor has a defense of stored pixels, and torchreid takes tensors "
                "as normalized input already; pass file names or arrays, or leave adv.defense.name "
                "empty"
            )
        return stock(self, input)

    return __call__


HOME = ("utils.feature_extractor",)
REPLACES = (
    Replace(HOME, "FeatureExtractor.__init__", _make_init),
    Replace(HOME, "FeatureExtractor.__call__", _make_call, prepare=False),
)
