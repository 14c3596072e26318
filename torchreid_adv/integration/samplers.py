"""Hook: our names in ``sampler.train_sampler``, and errors for batches that cannot be filled."""

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
        sampler_name = bound.arguments["train_sampler"]
        known = torchreid_module("data.sampler").AVAI_SAMPLERS
        if sampler_name in SAMPLERS:
            return _build(sampler_name, bound)
        name = same_name(sampler_name, known)
        if name is None:
            raise unknown("sampler", sampler_name, [*known, *SAMPLERS])
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
    """Refuse a batch of more identities than the training set has; torchreid only asserts it.

    Args:
        name: name of the sampler.
        rows: rows of the training set, in torchreid's form.
        size: images per batch.
        instances: images per identity in a batch.

    Raises:
        ConfigError: too few identities for a batch.
    """
    identities, batch_identities = len({row[1] for row in rows}), size // instances
    if name == "RandomIdentitySampler" and identities < batch_identities:
        raise ConfigError(
            f"a batch takes {batch_identities} identities, and a training set has {identities}; "
            "lower train.batch_size or raise sampler.num_instances"
        )


# sampler -> its groups with equal numbers of images: column of a row, word, key
_EQUAL = {
    "RandomDomainSampler": (2, "cameras", "num_cams"),
    "RandomDatasetSampler": (3, "data sets", "num_datasets"),
}


def check_equal_shares(name: str, rows: Sequence[Any], size: int, count: int) -> None:
    """Refuse a batch of more cameras or data sets than there are, or of a size they do not divide.

    Args:
        name: name of the sampler; only the two samplers with equal shares are checked.
        rows: rows of the training set, in torchreid's form.
        size: images per batch.
        count: ``sampler.num_cams`` or ``sampler.num_datasets``; 0 = all there are.

    Raises:
        ConfigError: the batch is refused, or a group has fewer images than its share.
    """
    column, word, key = _EQUAL[name]
    groups = Counter(row[column] for row in rows)
    group_count = count if count > 0 else len(groups)
    if group_count > len(groups) or size % group_count:
        raise ConfigError(
            f"{name} takes as many images of each of {group_count} {word} into a batch of {size}, "
            f"and the training set has {len(groups)} {word}; set sampler.{key} to at most that, "
            "and train.batch_size to a multiple of it"
        )
    fewest = min(groups.values())
    if fewest < size // group_count:
        raise ConfigError(
            f"{name} takes {size // group_count} images of each of {group_count} {word} into a "
            f"batch, and one of the {len(groups)} {word} has {fewest}; lower "
            f"train.batch_size or raise sampler.{key}"
        )


def _build(name: str, bound: inspect.BoundArguments) -> Any:
    """Call our sampler with the torchreid keywords in its signature."""
    bound.apply_defaults()
    keywords = {**bound.arguments, **bound.arguments.get("kwargs", {})}
    for keyword in ("kwargs", "train_sampler"):
        keywords.pop(keyword, None)
    entry = SAMPLERS.get(name)
    parameters = inspect.signature(entry).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return entry(**keywords)
    return entry(**{keyword: keywords[keyword] for keyword in parameters if keyword in keywords})
