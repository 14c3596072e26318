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
INPUT_SIZES = {"hacnn": (160, 64), "mudeep": (256, 128)}  # of networks that take one size only


def check_size(name: str, size: Sequence[int]) -> None:
    """Refuse an input size that one of torchreid's networks does not take.

    Args:
        name: of the network.
        size: height and width of its input.

    Raises:
        ConfigError: it takes another one.
    """
    wanted = INPUT_SIZES.get(name.casefold())
    if wanted and tuple(size) != wanted:
        raise ConfigError(
            f"the network '{name}' takes images of {wanted[0]}x{wanted[1]} pixels, not "
            f"{size[0]}x{size[1]}; set data.height {wanted[0]} and data.width {wanted[1]}, or name "
            f"it '{name}@{wanted[0]}x{wanted[1]}' in a list of models"
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


# code that imported build_model by value before install() still finds our names: the table has them
REPLACES = (Replace(("models", "utils.feature_extractor"), "build_model", _make),)
MIRRORS = (Mirror("models", TABLE, MODELS),)
