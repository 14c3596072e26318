"""Evaluation of a model on a data set, or of features, in a single call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchreid_adv.data.datasets import ReIDData, load_dataset
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.evaluation.protocol import MARKET, Protocol
from torchreid_adv.evaluation.rerank import Reranking
from torchreid_adv.evaluation.result import RetrievalResult
from torchreid_adv.models.features import Features, extract
from torchreid_adv.models.loading import scorable
from torchreid_adv.models.pixel_model import ImageModel


def evaluate(
    query: Features | ImageModel | nn.Module | str,
    gallery: Features | ReIDData | str | Path,
    *,
    distance: Distance | str | None = None,
    root: str | Path = "reid-data",
    workers: int = 0,
    **rules: Any,
) -> RetrievalResult:
    """Rank the gallery for each query and score the ranking, from features or from files.

    A data set is scored by its own protocol (such as that of SYSU-MM01, RegDB, LLCM or BUPTCampus);
    for features, ``protocol`` selects it.

    Args:
        query: features of the queries, or a model, possibly behind a defense; an entry such as
            ``osnet_x1_0:model.pth`` and a module are loaded, see :func:`load_model`.
        gallery: features of the gallery, or the data set that the model is tested on; a name or a
            path is loaded, see :func:`load_dataset`.
        distance: ranks the gallery; a name means that distance of normalized features. None is
            torchreid's default for features (Euclidean, not normalized), and the default of attacks
            for a model (Euclidean of normalized features).
        root: data root of a data set that is named.
        workers: processes that read images.
        rules: ``protocol`` (a name), ``ap_rule``, ``max_rank``, ``seed``, ``block`` as
            in :class:`torchreid_adv.evaluation.protocol.Protocol`; ``rerank``: True, or a
            :class:`Reranking` with other numbers of neighbors; ``team``: connected processes that
            share the work.

    Raises:
        ConfigError: features and files are mixed, a rule is unknown, or the protocol is not the
            data set's.
        DataError: no query has a positive, an image cannot be read, or features are not finite.

    Example:
        >>> print(evaluate("osnet_x1_0:model.pth", "market1501").mAP)
        >>> print(evaluate(model, load_dataset("market1501"), rerank=True).mAP)
    """
    team = {"team": rules.pop("team")} if "team" in rules else {}
    if isinstance(query, Features) and isinstance(gallery, Features):
        protocol = protocol_of(distance or build_distance("euclidean"), **rules)
        return protocol.evaluate(query, gallery, **team)
    if isinstance(gallery, (str, Path)) and isinstance(query, (str, nn.Module)):
        gallery = load_dataset(str(gallery), root)
    if isinstance(query, (str, nn.Module)) and isinstance(gallery, ReIDData):
        query = scorable(query)
    if not (isinstance(query, ImageModel) and isinstance(gallery, ReIDData)):
        raise ConfigError(
            "evaluate takes (features, features) or (model, data set), "
            f"got ({type(query).__name__}, {type(gallery).__name__})"
        )
    distance = distance or build_distance("euclidean", normalize=True)
    protocol = protocol_of(distance, gallery, **rules)
    sides = [
        extract(query, gallery.side(side), workers=workers, description=f"features of {side}")
        for side in ("query", "gallery")
    ]
    return protocol.evaluate(*sides, **team)


def protocol_of(
    distance: Distance | str,
    data: ReIDData | None = None,
    *,
    protocol: str | None = None,
    rerank: Reranking | bool | None = None,
    neighbors: str = "torch",
    **rules: Any,
) -> Protocol:
    """Return the protocol that keywords from Python describe.

    Args:
        distance: ranks the gallery; a name means that distance of normalized features.
        data: the data set; None for features.
        protocol: its name; None = the data set's own.
        rerank: True for torchreid's re-ranking, or a :class:`Reranking` with other numbers of
            neighbors.
        neighbors: neighbor search of ``rerank=True``.
        rules: further fields of :class:`Protocol`.

    Raises:
        ConfigError: a rule is unknown, or the protocol is not the data set's.
    """
    known = ("ap_rule", "max_rank", "seed", "block")
    unknown = [name for name in rules if name not in known]
    if unknown:
        raise ConfigError(
            f"there is no rule '{unknown[0]}'{suggest(unknown[0], known)}; rules of an evaluation "
            f"are protocol, rerank, neighbors, {', '.join(known)}"
        )
    if rerank is not None and not isinstance(rerank, (Reranking, bool)):
        raise ConfigError(f"rerank is True, False or a Reranking, got {rerank!r}")
    if isinstance(distance, str):
        distance = build_distance(distance, normalize=True)
    data_protocol = data.protocol if data is not None else ""
    if data is not None and data_protocol and protocol not in (None, data_protocol):
        raise ConfigError(
            f"'{data.name}' is scored by its own protocol '{data_protocol}', and '{protocol}' is "
            "asked for; leave it out, or pass features instead of a data set"
        )
    if rerank is True:
        rerank = Reranking(backend=neighbors)
    return Protocol(
        distance=distance, name=data_protocol or protocol or MARKET, rerank=rerank or None, **rules
    )


ROWS = 256


@torch.no_grad()
def positive_distance(
    query: Features, gallery: Features, protocol: Protocol, *, squared: bool = True
) -> float:
    """Return the mean distance of queries to their correct matches in the gallery.

    Args:
        query: features of the queries.
        gallery: features of the gallery.
        protocol: the distance, and which matches count.
        squared: use squared Euclidean distances, as in the ranking; False = their roots, at most 2
            between unit features.

    Returns:
        the mean over all such pairs; NaN if there is none.

    Raises:
        ConfigError: roots are requested of a distance that is not a square.
    """
    distance = protocol.distance
    if not squared and not (distance.squared_euclidean and distance.scale == 1):
        raise ConfigError(
            f"'{distance.name}' is not a squared distance, so it has no root; leave squared True"
        )
    labels = protocol.labels(query, gallery)
    mapped, total, count = distance.map(gallery.values), 0.0, 0
    for start in range(0, len(query), ROWS):
        rows = slice(start, min(start + ROWS, len(query)))
        pairs = labels.matches(rows)
        between = distance.between(distance.map(query.values[rows]), mapped).cpu()
        pair_distances = between[pairs.rows, pairs.columns].double()
        total += float((pair_distances if squared else pair_distances.clamp_min(0).sqrt()).sum())
        count += len(pairs.rows)
    return total / count if count else float("nan")
