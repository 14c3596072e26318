"""Hook: our names in ``model.name``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.names import unknown
from torchreid_adv.integration.patching import Mirror, Replace
from torchreid_adv.registry import MODELS, same_name

TABLE = "__model_factory"


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
