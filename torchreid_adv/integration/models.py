"""Hook: our names in ``model.name``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.patching import Mirror, Replace, unknown
from torchreid_adv.registry import MODELS, same_name

TABLE = "__model_factory"
INPUT_SIZES = {"hacnn": (160, 64), "mudeep": (256, 128)}  # of networks with a fixed size


def check_size(name: str, size: Sequence[int]) -> None:
    """Refuse an input size that one of torchreid's networks does not accept.

    Args:
        name: name of the network.
        size: height and width of its input.

    Raises:
        ConfigError: the network needs another size.
    """
    required_size = INPUT_SIZES.get(name.casefold())
    if required_size and tuple(size) != required_size:
        raise ConfigError(
            f"the network '{name}' takes images of {required_size[0]}x{required_size[1]} pixels, "
            f"not {size[0]}x{size[1]}; set data.height {required_size[0]} and data.width "
            f"{required_size[1]}, or name it '{name}@{required_size[0]}x{required_size[1]}' "
            "in a list of models"
        )


def _make(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def build_model(name: str, *args: Any, **kwargs: Any) -> Any:
        known = vars(torchreid_module("models"))[TABLE]
        spelled = same_name(name, known)
        if spelled is None:
            raise unknown("model", name, known)
        return stock(spelled, *args, **kwargs)

    return build_model


# the table makes our names work even if build_model was imported by value before install()
REPLACES = (Replace(("models", "utils.feature_extractor"), "build_model", _make),)
MIRRORS = (Mirror("models", TABLE, MODELS),)
