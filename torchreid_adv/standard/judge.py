"""Scores of stored images: files through the real pipeline, averaged over a defense's draws."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from torchreid_adv.core.batch import chunks, filled
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.records import camera_labels
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import Distance
from torchreid_adv.evaluation import Protocol, RetrievalResult
from torchreid_adv.evaluation.result import REPORTED_RANKS
from torchreid_adv.models import Features, extract
from torchreid_adv.models.features import load_features, save_features
from torchreid_adv.models.pixel_model import ImageModel, labels_of
from torchreid_adv.models.prepare import frozen
from torchreid_adv.standard.scores import RANKS, Floats, QueryScores

_CHUNK = 64
_FRESH = 1_000_003  # offset of the scoring draws' seeds, far from all other seeds


@dataclass(frozen=True)
class Judge:
    """Scores images of one side of a data set against the clean other side.

    Args:
        model: whose features rank.
        data: the data set.
        protocol: rules of the scores, without re-ranking.
        draws: of a random defense; their scores are averaged.
        folder: of cached clean features.
        name: of the model in that folder.
        workers: processes that read images.
    """

    model: ImageModel
    data: ReIDData
    protocol: Protocol
    draws: int
    folder: Path
    name: str = "model"
    workers: int = 0

    @functools.cached_property
    def models(self) -> list[ImageModel]:
        """The model with each of the draws; the model itself if nothing is random."""
        model = self.model
        if not (isinstance(model, Defended) and model.defense.random):
            return [model]
        seed = model.defense.seed
        return [model.reseeded(seed + _FRESH * (number + 1)) for number in range(self.draws)]

    @functools.cached_property
    def clean(self) -> list[dict[str, Features]]:
        """Features of both clean sides for each draw, computed once and cached."""
        return [
            {side: self._kept(model, side, number) for side in ("query", "gallery")}
            for number, model in enumerate(self.models)
        ]

    @property
    def distance(self) -> Distance:
        """The distance that ranks the gallery."""
        return self.protocol.distance

    def chances(self) -> Floats:
        """Return the expected average precision (Q,) of a random order; NaN without a match."""
        return self.protocol.chances(self.query, self.clean[0]["gallery"])

    @property
    def query(self) -> Features:
        """Clean features of the queries for the first draw."""
        return self.clean[0]["query"]

    def score(self, side: str, records: Sequence[Record] = ()) -> QueryScores:
        """Return the scores of all queries, or of attacked ones.

        Args:
            side: of the records.
            records: stored images that replace the clean ones of the same names. If they are
                queries, only these are scored; if they are gallery images, all queries are.
        """
        return self._scores(side, [self._stored(model, records) for model in self.models])

    def score_pixels(self, images: Sequence[np.ndarray], records: Sequence[Record]) -> QueryScores:
        """Return the scores of queries that are not stored, given as uint8 arrays (h, w, 3).

        A PNG file keeps every pixel, so stored files would have the same scores.
        """
        features_by_draw = []
        for model in self.models:
            transform, parts = model.file_transform(), []
            with torch.no_grad(), frozen(model):
                for start, group in enumerate(chunks(images, _CHUNK)):
                    inputs = [transform(Image.fromarray(image)) for image in group]
                    whole = filled(records[start * _CHUNK :][: len(group)], _CHUNK)
                    labels = camera_labels(whole, labels_of(model))
                    features = model.of_files(filled(inputs, _CHUNK), **labels)
                    parts.append(features[: len(group)].float().cpu())
            features_by_draw.append(Features.of(records, torch.cat(parts)))
        return self._scores("query", features_by_draw)

    def _scores(self, side: str, stored: Sequence[Features | None]) -> QueryScores:
        results = []
        for clean, attacked in zip(self.clean, stored, strict=True):
            sides = clean if attacked is None else {**clean, side: clean[side].replace(attacked)}
            results.append(self.protocol.evaluate(sides["query"], sides["gallery"]))
        images = self.query.image_ids
        if side == "query" and stored[0] is not None:
            images = stored[0].image_ids
        return averaged(results, np.isin(self.query.image_ids, images))

    def _stored(self, model: ImageModel, records: Sequence[Record]) -> Features | None:
        if not records:
            return None
        return extract(
            model, records, workers=self.workers, description="features of stored images"
        )

    def _kept(self, model: ImageModel, side: str, number: int) -> Features:
        records = self.data.side(side)
        path = self.folder / f"{self.name}-{side}-{number}.safetensors"
        features = load_features(path, records)
        if features is None:
            features = extract(model, records, workers=self.workers, description=f"{side} features")
            save_features(path, features)
        return features


def averaged(results: Sequence[RetrievalResult], rows: NDArray[np.bool_]) -> QueryScores:
    """Return the means over draws of results on the same Q queries.

    Args:
        results: one per draw.
        rows: (Q,) the queries that are scored; the others get NaN.
    """
    pairs = [result.of_queries() for result in results]
    ap = np.where(rows, np.mean([precision for precision, _ in pairs], axis=0), np.nan)
    hits = np.mean([hits for _, hits in pairs], axis=0)[:, [REPORTED_RANKS.index(k) for k in RANKS]]
    means = [float(np.nanmean(precision[rows])) for precision, _ in pairs]
    return QueryScores(ap, np.where(rows[:, None], hits, np.nan), tuple(means))
