"""Hook: our names in ``sampler.train_sampler``, and a sentence where a batch cannot be filled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.names import unknown
from torchreid_adv.integration.patching import Replace
from torchreid_adv.registry import SAMPLERS, same_name


def _make(stock: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(stock)

    @wraps(stock)
    def build_train_sampler(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        wanted = bound.arguments["train_sampler"]
        known = torchreid_module("data.sampler").AVAI_SAMPLERS
        if wanted in SAMPLERS:
            return _build(wanted, bound)
        name = same_name(wanted, known)
        if name is None:
            raise unknown("sampler", wanted, [*known, *SAMPLERS])
        bound.arguments["train_sampler"] = name
        bound.apply_defaults()
        rows, size, instances = (
            bound.arguments[n] for n in ("data_source", "batch_size", "num_instances")
        )
        check_identities(name, rows, size, instances)
        return stock(*bound.args, **bound.kwargs)

    return build_train_sampler


REPLACES = (Replace(("data.sampler", "data.datamanager"), "build_train_sampler", _make),)


def check_identities(name: str, rows: Sequence[Any], size: int, instances: int) -> None:
    """Refuse a batch of more identities than there are, which torchreid asserts without a word.

    Args:
        name: of the sampler.
        rows: of the training set, as torchreid holds them.
        size: images of a batch.
        instances: images of an identity in a batch.

    Raises:
        ConfigError: too few identities for a batch.
    """
    identities, wanted = len({row[1] for row in rows}), size // instances
    if name == "RandomIdentitySampler" and identities < wanted:
        raise ConfigError(
            f"a batch takes {wanted} identities, and a training set has {identities}; lower "
            "train.batch_size or raise sampler.num_instances"
        )


def _build(name: str, bound: inspect.BoundArguments) -> Any:
    """Call our sampler with those of torchreid's keywords that its signature takes."""
    bound.apply_defaults()
    given = {**bound.arguments, **bound.arguments.get("kwargs", {})}
    for keyword in ("kwargs", "train_sampler"):
        given.pop(keyword, None)
    entry = SAMPLERS.get(name)
    parameters = inspect.signature(entry).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return entry(**given)
    return entry(**{keyword: given[keyword] for keyword in parameters if keyword in given})
