"""Checks before the first batch, so that a training does not fail at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.evaluation.labels import Labels
from torchreid_adv.models.features import Features


def check_batches(loader: Any, sources: Sequence[str]) -> None:
    """Refuse to train without any batch, which torchreid does silently.

    Args:
        loader: loader of the training images; a short batch at the end is dropped.
        sources: names of the training sets.

    Raises:
        ConfigError: there are fewer training images than a batch takes.
    """
    if not len(loader):
        raise ConfigError(
            f"{', '.join(sources)} holds {len(loader.dataset)} training images or tracklets, "
            f"fewer than the {loader.batch_size} of a batch; lower train.batch_size"
        )


def check_testable(name: str, query: Any, gallery: Any) -> None:
    """Refuse a test set in which no query can be scored, by the rules of its evaluation.

    Args:
        name: name of the data set.
        query: loader of the queries.
        gallery: loader of the gallery.

    Raises:
        DataError: no query has a match: a gallery image of its identity under another camera.
    """
    sides = [_labels(loader.dataset) for loader in (query, gallery)]
    protocol_name = getattr(gallery.dataset, "protocol", "")
    try:
        if protocol_name:
            Protocol(distance=build_distance("euclidean"), name=protocol_name).evaluate(*sides)
        else:
            (_, pids, camids), (_, others, cameras) = ((s.values, s.pids, s.camids) for s in sides)
            Labels(pids, others, camids, cameras).require_a_positive()
    except DataError as error:
        raise DataError(
            f"the test on '{name}' at the end of the training cannot be made, so nothing was "
            f"trained: {error}; give test images of several cameras, or another -t"
        ) from error


def _labels(dataset: Any) -> Features:
    """Return identities and cameras of a side of a data set, with dummy features."""
    rows = [(row[0], row[1], row[2]) for row in dataset.data]
    names, pids, camids = zip(*rows, strict=True) if rows else ((), (), ())
    values = torch.arange(len(rows), dtype=torch.float32)[:, None]
    worn = clothes_in(dataset)
    return Features(
        values, torch.tensor(pids), torch.tensor(camids), tuple(map(_name, names)), worn
    )


def clothes_in(dataset: Any) -> tuple[str, ...] | None:
    """Return the clothes on each image or tracklet of a loader's data set, or None."""
    worn = getattr(dataset, "clothes", None)
    if not worn or not hasattr(dataset, "data"):
        return None
    return tuple(worn.get(_name(row[0]), "") for row in dataset.data)


def _name(path: Any) -> str:
    return path if isinstance(path, str) else str(path[0])  # a tracklet's first frame
