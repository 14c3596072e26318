"""Evaluation of a model on a data set, or of features, in one call."""

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

    A data set is scored by its own protocol (that of SYSU-MM01, RegDB, LLCM or BUPTCampus); for
    features, ``protocol`` names it.

    Args:
        query: features of the queries, or a model, also one behind a defense; an entry such as
            ``osnet_x1_0:model.pth`` and a module are loaded, see :func:`load_model`.
        gallery: features of the gallery, or the data set that the model is tested on; a name or a
            path is loaded, see :func:`load_dataset`.
        distance: by which the gallery is ranked; a name means that distance of normalized features.
            None is torchreid's default for features (Euclidean, as they are), and that of the
            attacks for a model: Euclidean of normalized features.
        root: data root, of a data set by name.
        workers: processes that read images.
        rules: ``protocol`` (a name), ``ap_rule``, ``max_rank``, ``seed``, ``block`` as
            :class:`torchreid_adv.evaluation.protocol.Protocol` takes them; ``rerank``: True, or a
            :class:`Reranking` with other numbers of neighbors; ``team``: connected processes share
            the work.

    Raises:
        ConfigError: a mixture of features and files, an unknown rule, or a protocol that is not
            the data set's.
        DataError: no query has a positive, an image cannot be read, features that are not finite.

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
        distance: by which the gallery is ranked; a name means that distance of normalized features.
        data: the data set; None for features of any.
        protocol: its name; None = the data set's own.
        rerank: True for torchreid's re-ranking, or one's own numbers of neighbors.
        neighbors: neighbor search of ``rerank=True``.
        rules: further fields of :class:`Protocol`.

    Raises:
        ConfigError: an unknown rule, or a protocol that is not the data set's.
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
    own = data.protocol if data is not None else ""
    if data is not None and own and protocol not in (None, own):
        raise ConfigError(
            f"'{data.name}' is scored by its own protocol '{own}', and '{protocol}' is asked for; "
            "leave it out, or pass features instead of a data set"
        )
    if rerank is True:
        rerank = Reranking(backend=neighbors)
    return Protocol(
        distance=distance, name=own or protocol or MARKET, rerank=rerank or None, **rules
    )


ROWS = 256


@torch.no_grad()
def positive_distance(
    query: Features, gallery: Features, protocol: Protocol, *, squared: bool = True
) -> float:
    """Return the mean distance of queries to the gallery images that are correct matches.

    Args:
        query: features of the queries.
        gallery: features of the gallery.
        protocol: how far two features are apart, and which matches count.
        squared: Euclidean distances as they rank, squared; False = their roots, which are at most
            2 between unit features.

    Returns:
        the mean over all such pairs, NaN when there is none.

    Raises:
        ConfigError: roots of distances that are no squares.
    """
    own = protocol.distance
    if not squared and not (own.squared_euclidean and own.scale == 1):
        raise ConfigError(
            f"'{own.name}' is no squared distance, so it has no root to take; leave squared True"
        )
    distance, labels = protocol.distance, protocol.labels(query, gallery)
    mapped, total, count = distance.map(gallery.values), 0.0, 0
    for start in range(0, len(query), ROWS):
        rows = slice(start, min(start + ROWS, len(query)))
        pairs = labels.matches(rows)
        between = distance.between(distance.map(query.values[rows]), mapped).cpu()
        found = between[pairs.rows, pairs.columns].double()
        total += float((found if squared else found.clamp_min(0).sqrt()).sum())
        count += len(pairs.rows)
    return total / count if count else float("nan")
