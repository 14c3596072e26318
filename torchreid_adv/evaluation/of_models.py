"""Evaluation of a model on a data set, in one call."""

from __future__ import annotations

from typing import Any

from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.results import RetrievalResult
from torchreid_adv.evaluation.retrieval import evaluate as evaluate_features
from torchreid_adv.models import Features, extract
from torchreid_adv.models.base import ImageModel


def evaluate(
    query: Features | ImageModel,
    gallery: Features | ReIDData,
    *,
    distance: Distance | str | None = None,
    workers: int = 0,
    **rules: Any,
) -> RetrievalResult:
    """Rank the gallery for each query and score the ranking, from features or from files.

    Args:
        query: features of the queries, or a model, also one behind a defense.
        gallery: features of the gallery, or the data set that the model is tested on.
        distance: by which the gallery is ranked; a name means that distance of normalized features.
            None is torchreid's default for features (Euclidean, as they are), and that of the
            attacks for a model: Euclidean of normalized features.
        workers: processes that read images.
        rules: ``rerank``, ``ap_rule``, ``protocol``, ``max_rank``, ``block`` of
            :func:`torchreid_adv.evaluation.retrieval.evaluate`.

    Raises:
        ConfigError: a mixture of features and files.
        DataError: no query has a positive, an image cannot be read, features that are not finite.

    Example:
        >>> print(evaluate(model, load_dataset("market1501")).mAP)
    """
    if isinstance(distance, str):
        distance = build_distance(distance, normalize=True)
    if isinstance(query, Features) and isinstance(gallery, Features):
        return evaluate_features(query, gallery, distance=distance, **rules)
    if not (isinstance(query, ImageModel) and isinstance(gallery, ReIDData)):
        raise ConfigError(
            "evaluate takes (features, features) or (model, data set), "
            f"got ({type(query).__name__}, {type(gallery).__name__})"
        )
    sides = [
        extract(query, gallery.side(side), workers=workers, description=f"features of {side}")
        for side in ("query", "gallery")
    ]
    distance = distance or build_distance("euclidean", normalize=True)
    return evaluate_features(*sides, distance=distance, **rules)
