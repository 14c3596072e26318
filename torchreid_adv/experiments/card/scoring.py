"""The average precision of every query in every condition of a card, kept score by score."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.experiments.card.budgets import CardVersion
from torchreid_adv.experiments.card.numbers import floats, plain
from torchreid_adv.experiments.card.progress import Stages
from torchreid_adv.experiments.corruption_report import CorruptionTest, test_of
from torchreid_adv.models.features import Features, extract
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.runs.file_corruption import FileCorruption
from torchreid_adv.standard.identity import listing
from torchreid_adv.standard.per_query import first_hits
from torchreid_adv.standard.scores import QueryScores

SPEED_IMAGES = 64  # that the rate is measured on
DRAWS, GRID, SWEEP, CROSS = "corrupted, drawn", "corrupted, by kind", "occluded", "other data sets"


@dataclass(frozen=True)
class Scoring:
    """What scores a model for its card.

    Args:
        cfg: for the rules of the scores.
        model: behind a defense, with it.
        data: the data set of the card.
        others: further data sets that the clean model is tested on.
        version: budgets.
        folder: where scores are kept.
    """

    cfg: AdvConfig
    model: ImageModel
    data: ReIDData
    others: Sequence[ReIDData]
    version: CardVersion
    folder: Path

    @property
    def total(self) -> int:
        """Scores that are wanted."""
        cells = len(self.version.grid) + len(self.version.sweep)
        return self.version.draws + cells + len(self.others)

    def test(self, data: ReIDData) -> CorruptionTest:
        """Return the test of the model on a data set, whose scores are kept."""
        test = test_of(self.cfg, self.model, data, FileCorruption(), self.folder)
        return replace(test, cache=Cache(self.folder / "card" / data.name))

    def queries(self, robust: Mapping[str, QueryScores], stages: Stages) -> dict[str, Any]:
        """Return the per-query part of the card.

        Args:
            robust: what the standard evaluation kept: ``clean``, and by track and bound.
            stages: told of every score.
        """
        test, version = self.test(self.data), self.version
        with stages.stage(DRAWS, version.draws):
            draws = [test.draw(number, stages)["both"] for number in range(version.draws)]
        grid = self._cells(test, version.grid, GRID, stages)
        sweep = self._cells(test, version.sweep, SWEEP, stages)
        records = self.data.query
        return {
            "image_ids": [record.image_id for record in records],
            "pids": [record.pid for record in records],
            "camids": [record.camid for record in records],
            "chance": chances(self.data, test.protocol),
            "clean": _of(robust["clean"]),
            "robust": {name: _of(scores) for name, scores in robust.items() if name != "clean"},
            "draws": [draw["average_precision"] for draw in draws],
            "grid": grid,
            "occluded": sweep,
            "cross": self._cross(stages),
        }

    def _cells(
        self, test: CorruptionTest, cells: Sequence[tuple[str, int]], name: str, stages: Stages
    ) -> dict[str, Any]:
        with stages.stage(name, len(cells)):
            return {
                f"{kind} {severity}": test.cell(kind, severity, stages)["average_precision"]
                for kind, severity in cells
            }

    def _cross(self, stages: Stages) -> dict[str, Any]:
        if not self.others:
            return {}
        with stages.stage(CROSS, len(self.others)):
            return {data.name: self._clean(data, stages) for data in self.others}

    def _clean(self, data: ReIDData, stages: Stages) -> dict[str, Any]:
        scores = self.test(data).clean(stages)
        return {
            "listing": listing(data, Contents()),
            "image_ids": scores["image_ids"],
            "pids": scores["pids"],
            "ap": scores["average_precision"],
            "first": scores["first"],
        }

    def speed(self, key: Key) -> dict[str, Any]:
        """Return the length of a feature and the images a second, from file to feature, kept."""

        def compute() -> dict[str, Any]:
            records = self.data.query[:SPEED_IMAGES]
            workers = lookup(self.cfg, "data.workers", 0)
            features = extract(self.model, records, workers=workers, description="warming up")
            began = time.perf_counter()
            extract(self.model, records, workers=workers, description="measuring speed")
            rate = len(records) / (time.perf_counter() - began)
            return {"feature": features.values.shape[1], "images_per_second": rate}

        return Cache(self.folder / "card").json("speed", key, compute)


def _of(scores: QueryScores) -> dict[str, Any]:
    return {"ap": plain(scores.ap), "first": first_hits(scores)}


def chances(data: ReIDData, protocol: Protocol) -> list[float | None]:
    """Return the expected average precision of a random order, None without a match.

    It follows from identities and cameras alone.
    """
    sides = [_labels(data, side) for side in ("query", "gallery")]
    return plain(floats(protocol.chances(*sides).tolist()))


def _labels(data: ReIDData, side: str) -> Features:
    """Return the labels of a side as features without content."""
    import torch

    records = data.side(side)
    return Features.of(records, torch.ones(len(records), 1))
