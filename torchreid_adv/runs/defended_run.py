"""A run with a defense: scored clean, under an attack that ignores it, and under one through it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.nn import Identity

from torchreid_adv.attacks import Attack, GradientAttack
from torchreid_adv.attacks.black_box.query_attack import QueryAttack
from torchreid_adv.attacks.learned.fitted import Fitted
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.manifest import Entry
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.defenses import Defended, Defense, configured_defense
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.result import Scores
from torchreid_adv.models import Features, extract
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.report.text import percent
from torchreid_adv.runs.folder import RunFolder
from torchreid_adv.runs.stored import StoredImages
from torchreid_adv.runs.writer import ImageWriter

ADAPTIVE = "adversarial_adaptive"
SEEDS = 10  # a random defense is scored with each of them
_BOTH = ("query", "gallery")


@dataclass(frozen=True)
class DefenseTest:
    """The defense of a run.

    Args:
        name: as it is registered.
        defense: applied to queries and gallery.
        draws: number of draws whose features are averaged; None = the defense's default.
        eot_samples: draws that an attack averages its gradient over; None = enough for ten draws.
    """

    name: str
    defense: Defense
    draws: int | None = None
    eot_samples: int | None = None

    def of(self, model: ImageModel) -> Defended:
        """Put a model behind the defense."""
        return Defended(self.defense, model, draws=self.draws, eot_samples=self.eot_samples)

    def describe(self, model: ImageModel) -> dict[str, Any]:
        """Return the defense's entry in results.json."""
        return {**self.of(model).describe(), "name": self.name}

    def obstacle(self, attack: Attack) -> str:
        """Return why no attack through the defense is possible, "" where one is."""
        if isinstance(attack, Fitted):
            return f"{attack.name} was learned earlier, on the undefended model"
        if self.defense.has_gradient or isinstance(attack, QueryAttack):
            return ""
        return f"{self.name} has no gradient and no surrogate of one, and {attack.name} needs one"


@dataclass(frozen=True)
class DefendedRun:
    """The tests of a defense on one data set, after the attack on the undefended model.

    Args:
        test: the defense.
        model: to defend.
        data: the data set, without its bad images.
        folder: of the run.
        side: that is attacked.
        attack: on that side.
        writer: returns the writer of a variant for a model and the features of the other side.
        score: scores features of ``query`` and ``gallery``; prints them under a title, if any.
        workers: processes that read images.
    """

    test: DefenseTest
    model: ImageModel
    data: ReIDData
    folder: RunFolder
    side: str
    attack: Attack
    writer: Callable[[ImageModel, Features], ImageWriter]
    score: Callable[[dict[str, Features], str], Scores]
    workers: int = 0

    def run(
        self,
        undefended: tuple[AttackedData, StoredImages] | None,
        missing: Sequence[Entry],
        pixels: int,
    ) -> tuple[AttackedData, StoredImages] | None:
        """Write the adaptive variant and add the defense's results to the report.

        Args:
            undefended: the outcome without the defense; None for a shard.
            missing: entries of the images that were left out.
            pixels: of the data set.

        Raises:
            DiskError: there is not enough room.
        """
        defended, obstacle = self.test.of(self.model), self.test.obstacle(self.attack)
        other = "query" if self.side == "gallery" else "gallery"
        adaptive = None
        if not obstacle:
            references = self._clean(defended, other, store=True)
            adaptive = self._write(defended, references, missing, pixels)
        if undefended is None or (adaptive is None and not obstacle):
            return None
        report, stored_images = undefended
        facts = self.facts(stored_images, adaptive)
        _print_table(report.results, facts)
        return dataclasses.replace(
            report, results={**report.results, "defense": facts}
        ), stored_images

    def _write(
        self, defended: Defended, references: Features, missing: Sequence[Entry], pixels: int
    ) -> StoredImages | None:
        folder = self.folder
        writer = dataclasses.replace(
            self.writer(defended, references),
            folder=folder.stored_images.with_name(ADAPTIVE),
            job=folder.path / "adaptive",
        )
        writer.require_room(self.data, pixels)
        print(f"##### Attacking {self.data.name} ({self.side}) through {self.test.name} #####")
        return writer.write(self.data, {"data": self.data.name, **folder.key.facts}, missing)

    def facts(self, oblivious: StoredImages, adaptive: StoredImages | None) -> dict[str, Any]:
        """Score clean, oblivious and adaptive images, over several seeds for a random defense.

        Args:
            oblivious: made on the undefended model.
            adaptive: made through the defense; None where that is impossible.
        """
        defended = self.test.of(self.model)
        all_stored = {"clean": None, "oblivious": oblivious, "adaptive": adaptive}
        names = [name for name in all_stored if name != "adaptive" or adaptive is not None]
        random = self.test.defense.random
        measures_of: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for number in range(SEEDS if random else 1):
            model = defended.reseeded(self.test.defense.seed + number) if number else defended
            clean = {side: self._clean(model, side, store=number == 0) for side in _BOTH}
            for name in names:
                sides = self._after(model, clean, all_stored[name])
                title = "" if random else f"Behind {self.test.name}: {name}"
                measures_of[name].append(self.score(sides, title).to_dict())
        facts = self.test.describe(self.model) | dict.fromkeys(all_stored)
        facts |= {name: _mean(measures) for name, measures in measures_of.items()}
        if not isinstance(self.attack, GradientAttack):
            facts.pop("eot_samples", None)  # the gradient loop's
        facts["draws"] = _spread(measures_of) if random else None
        return {**facts, "adaptive_reason": self.test.obstacle(self.attack)}

    def _after(
        self, model: Defended, clean: dict[str, Features], stored_images: StoredImages | None
    ) -> dict[str, Features]:
        if stored_images is None:
            return clean
        attacked = [
            record
            for record in stored_images.data(self.data).side(self.side)
            if record.image_id in stored_images.attacked
        ]
        stored = extract(
            model,
            attacked,
            workers=self.workers,
            team=self.folder.team,
            description="defended adversarial images",
        )
        return {**clean, self.side: clean[self.side].replace(stored)}

    def _clean(self, model: Defended, side: str, *, store: bool) -> Features:
        records = self.data.side(side)

        def compute() -> Features:
            return extract(
                model,
                records,
                workers=self.workers,
                team=self.folder.team,
                description=f"defended {side} images",
            )

        if not store:
            return compute()
        features = self.folder.features(f"defended_{side}", records, compute)
        self.folder.keep()
        return features


def _mean(measures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of several scores of the same ranking problem."""
    first = measures[0]
    if len(measures) == 1:
        return first
    mean: dict[str, Any] = {
        key: float(np.mean([scores[key] for scores in measures])) for key in ("mAP", "mINP")
    }
    mean["cmc"] = {
        k: float(np.mean([scores["cmc"][k] for scores in measures])) for k in first["cmc"]
    }
    return {**first, **mean}


def _spread(measures_of: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return how mAP varies with the seed: for the hardest condition, and for each condition."""
    spread = {
        name: {
            "std": float(np.std([scores["mAP"] for scores in measures])),
            "worst": min(scores["mAP"] for scores in measures),
        }
        for name, measures in measures_of.items()
    }
    hardest = spread.get("adaptive") or spread["oblivious"]
    return {"n": len(measures_of["clean"]), **hardest, **spread}


def _print_table(results: dict[str, Any], defense: dict[str, Any]) -> None:
    """Print mAP and rank-1 without the defense and behind it."""
    rows = [("undefended, clean", results["clean"])]
    rows += [("undefended, adversarial", results["adversarial"])]
    rows += [
        (f"behind {defense['name']}, {name}", defense[name])
        for name in ("clean", "oblivious", "adaptive")
    ]
    width = max(len(name) for name, _ in rows)
    print(f"** {'Defense':<{width}}      mAP   Rank-1 **")
    for name, scores in rows:
        if scores is None:
            print(f"   {name:<{width}}  none: {defense['adaptive_reason']}")
            continue
        print(f"   {name:<{width}}  {percent(scores['mAP']):>7}  {percent(scores['cmc']['1']):>7}")
    if defense["draws"]:
        worst = percent(defense["draws"]["worst"])
        print(f"   means over {defense['draws']['n']} seeds; the worst mAP of the last is {worst}")


def configured_test(cfg: AdvConfig) -> DefenseTest | None:
    """Return the defense of ``adv.defense.*``; None where none is named.

    Raises:
        ConfigError: it cannot be built, or several draws of a defense that is not random.
    """
    defense, keys = configured_defense(cfg), cfg.adv.defense
    if defense is None:
        return None
    draws, samples = keys.draws or None, keys.eot_samples or None
    Defended(defense, Identity(), draws=draws, eot_samples=samples)  # refuses impossible settings
    return DefenseTest(keys.name, defense, draws=draws, eot_samples=samples)
