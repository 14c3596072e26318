"""A model on corrupted images: the published draw, and each kind at each severity."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.facts import facts_of
from torchreid_adv.core.files import write_text
from torchreid_adv.corruptions import FAMILIES, SEVERITIES, published_kinds
from torchreid_adv.data.contents import data_facts
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.evaluation.result import RetrievalResult
from torchreid_adv.models.cuda import on_configured_threads, repeatable
from torchreid_adv.models.features import Features, extract
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.registry import CORRUPTIONS
from torchreid_adv.report.corruption_tables import SETTINGS, page
from torchreid_adv.runs.file_corruption import FileCorruption, people_of
from torchreid_adv.runs.folder import machinery
from torchreid_adv.runs.inputs import configured_dataset, configured_model, given_weights
from torchreid_adv.standard.scores import interval
from torchreid_adv.version import __version__

SCHEMA = 1
FILE = "corruptions"
_RESAMPLINGS = 1000
_KEPT = "cells"  # folder of cached scores
_MIDDLE = 3  # kinds are compared query by query at this severity


@on_configured_threads
def corruption_report(cfg: AdvConfig, weights: Callable[[AdvConfig], str] = given_weights) -> Path:
    """Test the model of a config on its targets and write ``corruptions.json`` and ``.md``.

    Every score is cached under the facts that decide it, so the same command resumes a stopped run.

    Args:
        cfg: for the model, the data, the evaluation and ``adv.corruption.*``.
        weights: finds the weights of ``model.name``, or trains them.

    Returns:
        the file with the tables.

    Raises:
        ConfigError: no weights, or an unknown kind.
        DataError: an image that cannot be used.
    """
    out, corruption = Path(cfg.data.save_dir), FileCorruption.configured(cfg)
    model, facts = configured_model(cfg, weights)
    names = list(dict.fromkeys(cfg.data.targets))
    targets = [configured_dataset(cfg, name, tracklets=True) for name in names]
    tests = [test_of(cfg, model, data, corruption, out) for data in targets]
    progress = Progress(sum(test.cells(cfg) for test in tests))
    results = {
        "schema": SCHEMA,
        "version": __version__,
        "config": config.plain(cfg),
        "model": facts,
        "targets": {test.data.name: test.results(cfg, progress) for test in tests},
    }
    write_text(out / f"{FILE}.json", json.dumps(results, indent=1) + "\n")
    write_text(out / f"{FILE}.md", page(results))
    return out / f"{FILE}.md"


class Progress:
    """Prints a line for each score, with the rate and the remaining time.

    Args:
        total: number of scores.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.computed = total, 0, 0
        self.started = time.perf_counter()

    def say(self, label: str, value: float, *, computed: bool) -> None:
        """Print a score.

        Args:
            label: of the score.
            value: its mAP, in [0, 1].
            computed: it was computed now, not read from the cache.
        """
        self.done, self.computed = self.done + 1, self.computed + computed
        line = f"{label:<28} mAP {100 * value:5.1f}   {self.done} of {self.total}"
        if self.computed:
            each = (time.perf_counter() - self.started) / self.computed
            left = each * (self.total - self.done)
            line += f", {each:.1f} s each, {left / 60:.0f} min left"
        print(line, flush=True)


@dataclass(frozen=True)
class CorruptionTest:
    """One model on one data set.

    Args:
        model: the model.
        data: the data set.
        protocol: rules of the scores.
        corruption: of images; its number is that of the first draw.
        cache: of scores.
        facts: that decide every score, in addition to the corruption.
        workers: processes that read and corrupt images.
    """

    model: ImageModel
    data: ReIDData
    protocol: Protocol
    corruption: FileCorruption
    cache: Cache
    facts: dict[str, Any] = field(repr=False)
    workers: int = 0

    def cells(self, cfg: AdvConfig) -> int:
        """Return the number of scores in the results."""
        return 1 + cfg.adv.corruption.repeats + len(self._grid(cfg))

    def results(self, cfg: AdvConfig, progress: Progress) -> dict[str, Any]:
        """Score everything that is not scored yet, and return it as plain values."""
        print(f"##### Corruptions of {self.data.name} #####")
        clean = self.clean(progress)
        repeats = [self.draw(number, progress) for number in range(cfg.adv.corruption.repeats)]
        grid = {
            (kind, severity): self.cell(kind, severity, progress)
            for kind, severity in self._grid(cfg)
        }
        return {
            "clean": _summary([clean]),
            "repeats": len(repeats),
            "corruption": self._said(),
            "draws": {side: _summary([draw[side] for draw in repeats]) for side in SETTINGS},
            **grid_results(grid),
            "queries": {
                "image_ids": clean["image_ids"],
                "pids": clean["pids"],
                "clean": clean["average_precision"],
                "both": [draw["both"]["average_precision"] for draw in repeats],
                "grid": {f"{k} {s}": cell["average_precision"] for (k, s), cell in grid.items()},
            },
        }

    def _grid(self, cfg: AdvConfig) -> list[tuple[str, int]]:
        """Return kinds and severities, including further kinds if the config names none."""
        if not cfg.adv.corruption.grid:
            return []
        kinds = self.corruption.kinds or (*published_kinds(), *_further(CORRUPTIONS))
        severities = [self.corruption.severity] if self.corruption.severity else SEVERITIES
        return [(kind, severity) for kind in kinds for severity in severities]

    def clean(self, progress: Progress) -> dict[str, Any]:
        """Return the scores of the clean images."""
        scores = self._kept("clean", {}, lambda: {"clean": self._score({})}, progress)
        return dict(scores["clean"])

    def draw(self, number: int, progress: Progress) -> dict[str, Any]:
        """Return the scores of one draw: both sides, queries alone, gallery alone."""
        change = replace(self.corruption, draw=self.corruption.draw + number)

        def compute() -> dict[str, Any]:
            sides = {side: self._features(side, change) for side in ("query", "gallery")}
            return {
                "both": self._score(sides),
                "query": self._score({"query": sides["query"]}),
                "gallery": self._score({"gallery": sides["gallery"]}),
            }

        return self._kept(f"draw {change.draw}", change.facts(), compute, progress)

    def cell(self, kind: str, severity: int, progress: Progress) -> dict[str, Any]:
        """Return the scores of queries of one kind and severity."""
        change = replace(self.corruption, kinds=(kind,), severity=severity)

        def compute() -> dict[str, Any]:
            return {"query": self._score({"query": self._features("query", change)})}

        facts = {**change.facts(), "side": "query"}
        cell: dict[str, Any] = self._kept(f"{kind} {severity}", facts, compute, progress)["query"]
        return cell

    def _kept(
        self,
        label: str,
        facts: dict[str, Any],
        compute: Callable[[], dict[str, Any]],
        progress: Progress,
    ) -> dict[str, Any]:
        key, is_new = Key.of(**self.facts, corruption=facts), False

        def computed() -> dict[str, Any]:
            nonlocal is_new
            is_new = True
            return compute()

        scores = self.cache.json(label.replace(" ", "_"), key, computed)
        progress.say(label, next(iter(scores.values()))["mAP"], computed=is_new)
        return scores

    @functools.cached_property
    def _clean(self) -> dict[str, Features]:
        return {side: self._features(side, None) for side in ("query", "gallery")}

    def _features(self, side: str, change: FileCorruption | None) -> Features:
        with repeatable():
            return extract(
                self.model,
                self.data.side(side),
                workers=self.workers,
                change=change,
                description=f"features of {side}",
            )

    def _score(self, corrupted: dict[str, Features]) -> dict[str, Any]:
        sides = {**self._clean, **corrupted}
        return _plain(self.protocol.evaluate(sides["query"], sides["gallery"]))

    def _said(self) -> str:
        """Return a sentence on the corruption of images."""
        kinds, severity = self.corruption.drawn_from, self.corruption.severity
        drawn = f"{len(kinds)} kinds" if len(kinds) > 1 else kinds[0]
        at = f"severity {severity}" if severity else "severities 1 to 5"
        return f"Drawn from: {drawn}, {at}; scale of radii: {self.corruption.scale}."


def test_of(
    cfg: AdvConfig, model: ImageModel, data: ReIDData, corruption: FileCorruption, out: Path
) -> CorruptionTest:
    """Return the test of a model on a data set, by the rules of a config.

    Args:
        cfg: for the rules of the scores and the workers.
        model: the model.
        data: the data set.
        corruption: what images get.
        out: folder, below which scores are kept.
    """
    protocol = Protocol.configured(cfg, data).plain
    contents = Contents(out)
    facts = {
        "network": facts_of(model),
        "data": data_facts(data, contents),
        "rules": protocol.facts(),
        "machinery": machinery(),
    }
    contents.keep()
    return CorruptionTest(
        model=model,
        data=data,
        protocol=protocol,
        corruption=replace(corruption, others=people_of(data.gallery)),
        cache=Cache(out / data.name / _KEPT),
        facts=facts,
        workers=lookup(cfg, "data.workers", 0),
    )


def _plain(result: RetrievalResult) -> dict[str, Any]:
    """Return the measures of a result, and the average precision of each query (None = skipped)."""
    precision, hits = result.of_queries()
    count = len(precision)
    return {
        "mAP": result.mAP,
        "mINP": result.mINP,
        "Rank-1": result.rank(1),
        "average_precision": [None if np.isnan(value) else float(value) for value in precision],
        "first": [None if np.isnan(value) else float(value) for value in hits[:, 0]],
        "image_ids": list(result.image_ids[:count]),
        "pids": result.pids[:count].tolist(),
    }


def _summary(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means over draws, their deviations, and the interval of the mean mAP."""
    names = ("mAP", "mINP", "Rank-1")
    summary: dict[str, Any] = {n: float(np.mean([draw[n] for draw in scores])) for n in names}
    if len(scores) > 1:
        spread = {n: np.std([draw[n] for draw in scores], ddof=1) for n in names}
        summary["deviation"] = {n: float(value) for n, value in spread.items()}
    values = np.array([draw["average_precision"] for draw in scores], np.float64).mean(axis=0)
    summary["interval"] = list(interval(values, np.array(scores[0]["pids"]), _RESAMPLINGS))
    return summary


def grid_results(grid: dict[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    """Return the grid of mAP, its means by kind and family, and the worst of them.

    Kinds outside the published 20 are listed last and count in no mean, unless the grid has no
    others.

    Args:
        grid: (kind, severity) -> scores of the queries.
    """
    if not grid:
        return {"grid": {}}
    kinds = list(dict.fromkeys(kind for kind, _ in grid))
    values: dict[str, dict[str, float]] = {kind: {} for kind in kinds}
    for (kind, severity), cell in grid.items():
        values[kind][str(severity)] = cell["mAP"]
    means = {kind: float(np.mean(list(cells.values()))) for kind, cells in values.items()}
    counted = [kind for kind in kinds if not CORRUPTIONS.facts(kind)["further"]] or kinds
    families = {
        family: [kind for kind in counted if CORRUPTIONS.facts(kind)["family"] == family]
        for family in FAMILIES
    }
    families = {family: members for family, members in families.items() if members}
    family_means = {f: float(np.mean([means[k] for k in ks])) for f, ks in families.items()}
    worst, worst_family = (
        min(counted, key=means.__getitem__),
        min(families, key=family_means.__getitem__),
    )
    severities = sorted({severity for _, severity in grid})
    middle = _MIDDLE if _MIDDLE in severities else severities[len(severities) // 2]
    rows = [grid[kind, middle]["average_precision"] for kind in counted]
    least = np.array(rows, np.float64).min(axis=0)
    return {
        "grid": values,
        "means": means,
        "families": families,
        "family_means": family_means,
        "published": len(counted),
        "grid_mean": float(np.mean([means[kind] for kind in counted])),
        "further": [kind for kind in kinds if kind not in counted],
        "worst": {
            "kind": worst,
            "kind_mAP": means[worst],
            "family": worst_family,
            "family_mAP": family_means[worst_family],
            "severity": middle,
            "per_query_mAP": float(np.nanmean(least)),
            "kinds": len(counted),
        },
    }


def _further(kinds: Any) -> list[str]:
    return [kind for kind in kinds if kinds.facts(kind)["further"]]
