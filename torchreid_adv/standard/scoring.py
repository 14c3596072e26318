"""Scores of stored images: files through the real pipeline, over draws of a random defense."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import Distance
from torchreid_adv.evaluation import RetrievalResult, evaluate
from torchreid_adv.jobs.chunks import chunks, filled
from torchreid_adv.models import Features, extract
from torchreid_adv.models.base import ImageModel
from torchreid_adv.models.prepare import frozen
from torchreid_adv.models.store import load_features, save_features
from torchreid_adv.standard.tables import RANKS, Scores

_CHUNK = 64
_FRESH = 1_000_003  # draws that score are far from those that anything else asks for


@dataclass(frozen=True)
class Judge:
    """Scores images of one side of a data set against the clean other side.

    Args:
        model: whose features rank.
        data: the data set.
        distance: by which they rank.
        draws: of a random defense; their scores are averaged.
        folder: where clean features are kept.
        name: of the model in that folder.
        workers: processes that read images.
    """

    model: ImageModel
    data: ReIDData
    distance: Distance
    draws: int
    folder: Path
    name: str = "model"
    workers: int = 0

    @functools.cached_property
    def models(self) -> list[ImageModel]:
        """The model behind each of the draws; itself where nothing is random."""
        model = self.model
        if not (isinstance(model, Defended) and model.defense.random):
            return [model]
        seed = model.defense.seed
        return [model.reseeded(seed + _FRESH * (number + 1)) for number in range(self.draws)]

    @functools.cached_property
    def clean(self) -> list[dict[str, Features]]:
        """Features of both clean sides by each draw, computed once and kept."""
        return [
            {side: self._kept(model, side, number) for side in ("query", "gallery")}
            for number, model in enumerate(self.models)
        ]

    @property
    def query(self) -> Features:
        """Clean features of the queries, by the first draw."""
        return self.clean[0]["query"]

    def score(self, side: str, records: Sequence[Record] = ()) -> Scores:
        """Return the scores of all queries, or of attacked ones.

        Args:
            side: of the records.
            records: stored images that take the place of the clean ones of their names. Where they
                are queries, these alone are scored; where they are gallery images, all queries are.
        """
        return self._scores(side, [self._stored(model, records) for model in self.models])

    def score_pixels(self, images: Sequence[np.ndarray], records: Sequence[Record]) -> Scores:
        """Return the scores of queries that are not stored: uint8 arrays (h, w, 3), by their files.

        A PNG file keeps every pixel, so this is what stored files would score.
        """
        found = []
        for model in self.models:
            transform, parts = model.file_transform(), []
            with torch.no_grad(), frozen(model):
                for group in chunks(images, _CHUNK):
                    inputs = [transform(Image.fromarray(image)) for image in group]
                    features = model.of_files(filled(inputs, _CHUNK))
                    parts.append(features[: len(group)].float().cpu())
            found.append(Features.of(records, torch.cat(parts)))
        return self._scores("query", found)

    def _scores(self, side: str, stored: Sequence[Features | None]) -> Scores:
        results = []
        for clean, own in zip(self.clean, stored, strict=True):
            query, gallery = clean["query"], clean["gallery"]
            if own is not None:
                query = own if side == "query" else query
                gallery = gallery.replace(own) if side == "gallery" else gallery
            results.append(evaluate(query, gallery, distance=self.distance))
        return averaged(results, self.query.image_ids)

    def _stored(self, model: ImageModel, records: Sequence[Record]) -> Features | None:
        if not records:
            return None
        return extract(
            model, records, workers=self.workers, description="features of stored images"
        )

    def _kept(self, model: ImageModel, side: str, number: int) -> Features:
        records = self.data.side(side)
        path = self.folder / f"{self.name}-{side}-{number}.safetensors"
        found = load_features(path, records)
        if found is None:
            found = extract(model, records, workers=self.workers, description=f"{side} features")
            save_features(path, found)
        return found


def averaged(results: Sequence[RetrievalResult], image_ids: Sequence[str]) -> Scores:
    """Return the means over draws of results on the same queries, spread over all Q queries.

    Args:
        results: one per draw.
        image_ids: names of all Q queries.
    """
    rows = {name: row for row, name in enumerate(image_ids)}
    places = [rows[name] for name in results[0].image_ids]
    ap, hits = np.full(len(rows), np.nan), np.full((len(rows), len(RANKS)), np.nan)
    ap[places] = np.mean([one.average_precision for one in results], axis=0)
    first = np.array([one.first_match_rank for one in results])
    for column, k in enumerate(RANKS):
        found = (first < k).mean(0)
        hits[places, column] = np.where(results[0].valid, found, np.nan)
    return Scores(ap, hits, tuple(one.mAP for one in results))
