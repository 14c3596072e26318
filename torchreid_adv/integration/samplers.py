"""Hook: our names in ``sampler.train_sampler``, and a sentence where a batch cannot be filled."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.patching import Replace, unknown
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
        if name in _EQUAL:
            check_equal_shares(name, rows, size, bound.arguments[_EQUAL[name][2]])
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


# sampler -> what it takes an equal number of images of: column of a row, word, key
_EQUAL = {
    "RandomDomainSampler": (2, "cameras", "num_cams"),
    "RandomDatasetSampler": (3, "data sets", "num_datasets"),
}


def check_equal_shares(name: str, rows: Sequence[Any], size: int, count: int) -> None:
    """Refuse a batch of more cameras or data sets than there are, or that they do not divide.

    Args:
        name: of the sampler; others than the two that take equal shares are not checked.
        rows: of the training set, as torchreid holds them.
        size: images of a batch.
        count: ``sampler.num_cams`` or ``sampler.num_datasets``; 0 = all there are.

    Raises:
        ConfigError: it is so, or one of them has fewer images than its share.
    """
    column, word, key = _EQUAL[name]
    groups = Counter(row[column] for row in rows)
    wanted = count if count > 0 else len(groups)
    if wanted > len(groups) or size % wanted:
        raise ConfigError(
            f"{name} takes as many images of each of {wanted} {word} into a batch of {size}, and "
            f"the training set has {len(groups)} {word}; set sampler.{key} to at most that, and "
            "train.batch_size to a multiple of it"
        )
    fewest = min(groups.values())
    if fewest < size // wanted:
        raise ConfigError(
            f"{name} takes {size // wanted} images of each of {wanted} {word} into a batch, and "
            f"one of the {len(groups)} {word} has {fewest}; lower train.batch_size or raise "
            f"sampler.{key}"
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
