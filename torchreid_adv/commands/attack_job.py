"""The main job: score a data set, attack one side of it, store it, score what is stored, report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.attacks import Attack, References
from torchreid_adv.attacks.targets import target_map
from torchreid_adv.attacks.variant import Variant, VariantWriter
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.loading import check_images
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import RetrievalResult, evaluate
from torchreid_adv.evaluation.positives import positive_distance
from torchreid_adv.jobs.files import write_text
from torchreid_adv.jobs.manifest import SIDES
from torchreid_adv.models import Features, PixelModel, extract, fingerprint
from torchreid_adv.report.target import TargetReport, write_report
from torchreid_adv.version import __version__

SCHEMA = 1
RULES = {"gallery": "all", "query": "other"}  # which references an image of a side is attacked with
IDENTITY = "run.json"


@dataclass(frozen=True)
class AttackJob:
    """What is done to each data set of a run.

    Args:
        attack: how images are attacked.
        distance: by which the gallery is ranked.
        side: ``gallery`` or ``query``.
        rule: of the references; "" = the side's own.
        target: of a targeted attack, see :func:`target_map`; "" for one that pushes.
        ap_rule: average precision rule of the evaluation.
        protocol: ``market1501`` or ``cuhk03``.
        chunk: images attacked together.
        workers: processes that read images.
        seed: of random targets.
    """

    attack: Attack
    distance: Distance
    side: str = "gallery"
    rule: str = ""
    target: str = ""
    ap_rule: str = "standard"
    protocol: str = "market1501"
    chunk: int = 16
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side not in RULES:
            raise ConfigError(f"the attacked side is one of {', '.join(RULES)}, got '{self.side}'")

    def describe(self) -> dict[str, Any]:
        """Return what results.json says of the attack, lengths in gray levels."""
        facts = {"name": self.attack.name, **self.attack.describe(), "side": self.side}
        facts |= {"reference": self.rule or RULES[self.side], "space": "stored"}
        return facts | ({"target_map": self.target} if self.target else {})

    def run(
        self, model: PixelModel, data: ReIDData, out: Path, identity: dict[str, Any]
    ) -> tuple[TargetReport, Variant]:
        """Attack one data set and write its variant below ``out/<name>/adversarial``.

        Args:
            model: what is attacked.
            data: the data set.
            out: folder of the run.
            identity: what makes a run the same run; kept in the folder.

        Raises:
            ConfigError: the folder holds another run.
            DataError: an image that cannot be used, features that are not finite, no query with a
                positive; nothing is written then.
        """
        check_free(out, identity, data.name)
        print(f"##### Attacking {data.name} ({self.side}) #####")
        check_images([r for s in SIDES for r in data.side(s)], workers=self.workers)
        clean = {side: self._extract(model, data.side(side), side) for side in RULES}
        scores = {"clean": self._score(clean, "Clean")}
        writer = self._writer(model, data, clean, out)
        writer.targets(data)  # whatever is wrong is said before anything is written
        write_text(out / IDENTITY, _text(identity))
        variant = writer.write(data, {"data": data.name, **identity})
        attacked = [r for r in variant.data(data).side(self.side) if r.image_id in _ids(variant)]
        after = dict(clean)
        after[self.side] = clean[self.side].replace(self._extract(model, attacked, "adversarial"))
        scores["adversarial"] = self._score(after, "Adversarial, from the stored files")
        unrounded = {**clean, self.side: clean[self.side].replace(variant.float_features)}
        scores["adversarial_float"] = self._score(unrounded)
        self._warn(variant)
        results = self._results(variant, scores, clean, after)
        return self._report(data, variant, results, clean, after), variant

    def _extract(self, model: PixelModel, records: Sequence[Record], what: str) -> Features:
        description = f"features of {what} images"
        return extract(model, records, workers=self.workers, description=description)

    def _score(self, sides: dict[str, Features], title: str = "") -> RetrievalResult:
        result = evaluate(
            sides["query"],
            sides["gallery"],
            distance=self.distance,
            ap_rule=self.ap_rule,
            protocol=self.protocol,
        )
        if title:
            print(f"** {title} **", *result.lines([1, 5, 10, 20]), sep="\n")
        return result

    def _writer(
        self, model: PixelModel, data: ReIDData, clean: dict[str, Features], out: Path
    ) -> VariantWriter:
        other = clean["query" if self.side == "gallery" else "gallery"]
        records = data.side(self.side)
        targets = (
            target_map(self.target, records, other.pids, seed=self.seed) if self.target else {}
        )
        return VariantWriter(
            model,
            self.attack,
            References(other, self.rule or RULES[self.side], targets),
            self.side,
            out / data.name / "adversarial",
            chunk=self.chunk,
            workers=self.workers,
        )

    def _results(
        self,
        variant: Variant,
        scores: dict[str, RetrievalResult],
        clean: dict[str, Features],
        after: dict[str, Features],
    ) -> dict[str, Any]:
        entries = variant.manifest.entries
        attacked = [entry for entry in entries if entry.attacked]
        measures = {name: score.to_dict() for name, score in scores.items()}
        return {
            "attack": self.describe(),
            **measures,
            "ap_rule": self.ap_rule,
            "map_ratio": measures["adversarial"]["mAP"] / max(measures["clean"]["mAP"], 1e-12),
            "positive_distance": {
                "clean": positive_distance(clean["query"], clean["gallery"], self.distance),
                "adversarial": positive_distance(after["query"], after["gallery"], self.distance),
            },
            "linf": {
                "max": max(entry.linf for entry in entries),
                "mean": sum(entry.linf for entry in attacked) / len(attacked),
            },
            "images": {
                "total": len(entries),
                "attacked": len(attacked),
                "unchanged": sum(not entry.changed for entry in attacked),
            },
            "images_per_second": len(attacked) / max(variant.seconds, 1e-9),
            "defense": None,
        }

    def _report(
        self,
        data: ReIDData,
        variant: Variant,
        results: dict[str, Any],
        clean: dict[str, Features],
        after: dict[str, Features],
    ) -> TargetReport:
        stored = variant.data(data)
        sides = tuple(RULES)
        return TargetReport(
            name=data.name,
            results=results,
            query=clean["query"],
            gallery=clean["gallery"],
            query_after=after["query"],
            gallery_after=after["gallery"],
            paths={r.image_id: r.path for side in sides for r in data.side(side)},
            paths_after={r.image_id: r.path for side in sides for r in stored.side(side)},
            attacked=frozenset(_ids(variant)),
            side=self.side,
            eps=self.attack.linf or 1.0,
            distance=self.distance,
        )

    def _warn(self, variant: Variant) -> None:
        if variant.stuck:
            print(
                f"warning: {len(variant.stuck)} images had no gradient in any step and did not "
                f"change (first: {variant.stuck[0]})"
            )


def run_facts(job: AttackJob, model: PixelModel) -> dict[str, Any]:
    """Return what decides the bytes of a run: attack, network, chunk, threads, versions."""
    return {
        "version": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "chunk": job.chunk,
        "attack": job.describe(),
        "size": list(model.size),
        "sha256": fingerprint(model.network),
    }


def check_free(out: Path, identity: dict[str, Any], name: str) -> None:
    """Refuse a folder that holds another run, or a variant that is nobody's.

    Raises:
        ConfigError: another run is there.
    """
    path, place = out / IDENTITY, out / name / "adversarial"
    same = path.is_file() and path.read_text(encoding="utf-8") == _text(identity)
    if not same and (path.exists() or place.exists()):
        raise ConfigError(
            f"'{path if path.exists() else place}' belongs to another run; "
            "choose another data.save_dir or remove that one"
        )


def finish(out: Path, results: dict[str, Any], targets: Sequence[TargetReport]) -> Path:
    """Write results.json and the report, and return the report's path."""
    results = {"schema": SCHEMA, "version": __version__, **results}
    results["targets"] = {target.name: target.results for target in targets}
    write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
    return write_report(out, results, targets)


def _text(identity: dict[str, Any]) -> str:
    return json.dumps(identity, indent=1, sort_keys=True) + "\n"


def _ids(variant: Variant) -> set[str]:
    return {entry.image_id for entry in variant.manifest.entries if entry.attacked}
