"""The attack run of one data set: score it, attack one side, store it, score the stored images."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.attacks import Attack, References
from torchreid_adv.attacks.build import check_gradient, check_target, check_tracklets, metric_of
from torchreid_adv.attacks.references import SIDE_RULES, map_facts, say_targets, target_map
from torchreid_adv.core.facts import Key, facts_of
from torchreid_adv.core.manifest import Entry
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import Distance, FittedDistance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.models import Features, extract
from torchreid_adv.models.cuda import repeatable
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.runs.defended_run import DefendedRun, DefenseTest
from torchreid_adv.runs.folder import (
    RunFolder,
    Scorable,
    metric_facts,
    surroundings,
    to_fit,
)
from torchreid_adv.runs.result import RunResult, Scoring, own_figure, query_curve, target_report
from torchreid_adv.runs.stored import StoredImages
from torchreid_adv.runs.unit_writer import without_bad
from torchreid_adv.runs.writer import ImageWriter, attacked_resize, resize_facts

SCORED = ("protocol",)  # decides scores alone
SPEED = ("workers",)  # decides no result: each image is read and attacked separately


@dataclass(frozen=True)
class AttackRun:
    """The attack on each data set of a run.

    Args:
        attack: of images.
        protocol: every rule of the scores; a data set with its own protocol overrides it.
        side: ``gallery`` or ``query``.
        rule: of the references; "" = the default of the side.
        target: of a targeted attack, see :func:`target_map`; "" for an untargeted one.
        chunk: images attacked together.
        workers: processes that read images.
        seed: of random targets.
        quarantine: continue without bad images instead of refusing the data set.
        space: ``stored``, or ``network``: images are attacked and stored at the size of the
            network's input.
        copies: also store the images that are not attacked.
        defense: also scored, and attacked through.
        left_out: names of bad images of the side, which a target map may have.
    """

    attack: Attack
    protocol: Protocol
    side: str = "gallery"
    rule: str = ""
    target: str = ""
    chunk: int = 16
    workers: int = 0
    seed: int = 0
    quarantine: bool = False
    space: str = "stored"
    copies: bool = True
    defense: DefenseTest | None = None
    left_out: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.side not in SIDE_RULES:
            raise ConfigError(
                f"the attacked side is one of {', '.join(SIDE_RULES)}, got '{self.side}'"
            )
        check_target(self.attack, self.target)

    @property
    def distance(self) -> Distance:
        """The distance that ranks the gallery."""
        return self.protocol.distance

    def of(self, data: ReIDData) -> AttackRun:
        """Return the job with the rules of a data set's own protocol.

        Raises:
            ConfigError: the config asks for another protocol.
        """
        return replace(self, protocol=self.protocol.of(data))

    @property
    def other(self) -> str:
        """The side that stays clean."""
        return "query" if self.side == "gallery" else "gallery"

    def describe(self) -> dict[str, Any]:
        """Return the attack's entry in results.json, lengths in gray levels."""
        facts = {"name": self.attack.name, **self.attack.describe(), "side": self.side}
        facts |= {"reference": self.rule or SIDE_RULES[self.side], "space": self.space}
        facts |= metric_facts("metric", metric_of(self.attack))
        return facts | (map_facts(self.target) if self.target else {})

    def key(self, model: Scorable, name: str = "", network: Any = None) -> Key:
        """Return everything that decides the bytes of a run: attack, network, defense, versions...

        Every field counts except those of :data:`SCORED` and :data:`SPEED`.

        Args:
            model: to attack.
            name: of the model.
            network: ``facts_of(model)`` where they are known.
        """
        defended = [self.defense.describe(model)] if self.defense else []
        defended += [model.describe()] if isinstance(model, Defended) else []
        facts = {"attack": self.describe(), "defense": defended, **resize_facts(self.space, model)}
        facts |= {"job": self._fields(lambda name: name not in SCORED + SPEED)}
        return Key.of(model=name, **surroundings(model, self.chunk, network), **facts)

    def score_facts(self) -> dict[str, Any]:
        """Return the facts that decide the scores of stored images."""
        return {**self._fields(lambda name: name in SCORED), "rules": self.protocol.facts()}

    def _fields(self, counts: Callable[[str], bool]) -> dict[str, Any]:
        names = [field.name for field in fields(self) if counts(field.name)]
        return {name: facts_of(getattr(self, name)) for name in names}

    def run(
        self,
        model: Scorable,
        data: ReIDData,
        out: Path,
        key: Key,
        team: Team = ALONE,
    ) -> tuple[AttackedData, StoredImages] | None:
        """Attack one data set and write its variant below ``out/<name>/adversarial``.

        Units that an earlier run with the same key finished in the folder are reused.

        Args:
            model: to attack.
            data: the data set.
            out: folder of the run.
            key: see :meth:`key`; stored in the folder.
            team: this process and those it shares the work with.

        Returns:
            None for a shard of a job array while other shards are not done.

        Raises:
            ConfigError: the folder holds another run, the protocol is not the data set's, or the
                attack needs a gradient and the model has none.
            DataError: an image that cannot be used, features that are not finite, no query with a
                positive; then nothing is written.
            DiskError: there is not enough room.
        """
        data_run, folder = self.of(data), RunFolder(out, data.name, key, team)
        folder.check_free()
        attacked_resize(self.space, model)  # an impossible size is reported now
        check_tracklets(self.attack, model, data)
        check_gradient(model, self.attack)
        print(f"##### Attacking {data.name} ({self.side}) #####")
        bad, pixels = folder.checked(data, self.workers)
        names = {record.image_id for record in data.side(self.side)}
        data, missing = without_bad(folder.told(data), bad, quarantine=self.quarantine)
        gone = frozenset(names - {record.image_id for record in data.side(self.side)})
        try:
            with repeatable():
                job = replace(data_run._fitted(model, data, folder), left_out=gone)
                undefended = job._run(model, data, folder, missing, pixels)
                if job.defense is None:
                    return undefended
                return job._defended(job.defense, model, data, folder).run(
                    undefended, missing, pixels
                )
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"the GPU has not enough memory for adv.job.chunk {self.chunk}; a smaller chunk is "
                "another run, so choose another data.save_dir, too"
            ) from error

    def _run(
        self,
        model: Scorable,
        data: ReIDData,
        folder: RunFolder,
        missing: Sequence[Entry],
        pixels: int,
    ) -> tuple[AttackedData, StoredImages] | None:
        team, scoring = folder.team, Scoring(self.protocol, folder.team)
        clean = self._clean(model, data, folder)
        scores = {"clean": scoring.score(clean, "Clean")} if team.whole else {}
        writer = self._writer(model, data, clean[self.other], folder)
        writer.require_room(data, pixels)  # errors are raised before anything is written
        folder.begin()
        stored_images = writer.write(data, {"data": data.name, **folder.key.facts}, missing)
        if stored_images is None or not team.whole:
            return None
        folder.require_unchanged(stored_images.manifest.stored)
        attacked = [
            r
            for r in stored_images.data(data).side(self.side)
            if r.image_id in stored_images.attacked
        ]
        after = self._after(model, attacked, clean, team)
        scores["adversarial"] = scoring.score(after, "Adversarial, from the stored files")
        unrounded = {**clean, self.side: clean[self.side].replace(stored_images.float_features)}
        scores["adversarial_float"] = scoring.score(unrounded)
        stored_images.warn(missing)
        pulled = self._pulled(writer.references, attacked)
        scored = self._scored(scoring, stored_images, clean, after, scores, pulled)
        return target_report(
            data, stored_images, scored, self.side, self.attack.linf
        ), stored_images

    def _clean(self, model: Scorable, data: ReIDData, folder: RunFolder) -> dict[str, Features]:
        """Return the clean features of the sides that this process needs."""
        sides = tuple(SIDE_RULES) if folder.team.whole else (self.other,)
        clean = {}
        for side in sides:
            extraction = self._extraction(model, data.side(side), side, folder.team)
            clean[side] = folder.features(side, data.side(side), extraction)
        for distance in self._distances():
            distance.map(clean[self.other].values[:1])  # a mismatch is reported now
        return clean

    def _after(
        self,
        model: Scorable,
        attacked: Sequence[Record],
        clean: dict[str, Features],
        team: Team,
    ) -> dict[str, Features]:
        """Return the features of both sides with the stored images instead of their originals."""
        stored = self._extraction(model, attacked, "adversarial", team)()
        return {**clean, self.side: clean[self.side].replace(stored)}

    def _scored(
        self,
        scoring: Scoring,
        stored_images: StoredImages,
        clean: dict[str, Features],
        after: dict[str, Features],
        scores: dict[str, Any],
        pulled: dict[str, int],
    ) -> RunResult:
        attack = self.describe() | metric_facts("evaluation_metric", self.distance)
        return RunResult(
            attack=attack,
            protocol=self.protocol,
            clean=clean,
            after=after,
            scores=scores,
            targeted=scoring.pulled(pulled, clean, after) if pulled else None,
            query_curve=query_curve(scoring, stored_images, clean, self.side, scores),
            figure=own_figure(stored_images, attack),
            pulled=pulled,
        )

    def _defended(
        self, test: DefenseTest, model: Scorable, data: ReIDData, folder: RunFolder
    ) -> DefendedRun:
        return DefendedRun(
            test,
            model,
            data,
            folder,
            side=self.side,
            attack=self.attack,
            writer=lambda defended, other: self._writer(defended, data, other, folder),
            score=Scoring(self.protocol, folder.team).score,
            workers=self.workers,
        )

    def _distances(self) -> list[Distance]:
        metric = metric_of(self.attack)
        return [self.distance] if metric is None else [metric, self.distance]

    def _fitted(self, model: Scorable, data: ReIDData, folder: RunFolder) -> AttackRun:
        """Return the job with distances fitted to the data set's training images."""
        if not any(to_fit(distance) for distance in self._distances()):
            return self
        extraction = self._extraction(model, data.side("train"), "train", folder.team)
        records = data.training(f"fit the distance '{self.distance.name}' to")
        train = functools.partial(folder.features, "train", records, extraction)
        attack, distance = copy.deepcopy((self.attack, self.distance))  # other sets fit their own
        job = replace(self, attack=attack, protocol=replace(self.protocol, distance=distance))
        for distance in job._distances():
            if isinstance(distance, FittedDistance) and to_fit(distance):
                folder.fit(distance, train)
        return job

    def _extraction(
        self, model: Scorable, records: Sequence[Record], kind: str, team: Team
    ) -> Callable[[], Features]:
        about = f"features of {kind} images"
        return functools.partial(
            extract, model, records, workers=self.workers, description=about, team=team
        )

    def _pulled(self, references: References, attacked: Sequence[Record]) -> dict[str, int]:
        """Return image_id -> the identity it was pulled to; empty for an untargeted attack."""
        if not self.target:
            return {}
        targets = {r.image_id: references.target_of(r.image_id, r.pid) for r in attacked}
        return {name: target for name, target in targets.items() if target is not None}

    def _writer(
        self, model: ImageModel, data: ReIDData, other: Features, folder: RunFolder
    ) -> ImageWriter:
        records = data.side(self.side)
        targets: dict[str, int] = {}
        if self.target:
            targets = target_map(
                self.target,
                records,
                other.pids,
                seed=self.seed,
                side=self.side,
                left_out=self.left_out,
            )
            say_targets(self.side, len(targets), len(records))
        return ImageWriter(
            model,
            self.attack,
            References(other, self.rule or SIDE_RULES[self.side], targets),
            self.side,
            folder.stored_images,
            folder.path,
            chunk=self.chunk,
            workers=self.workers,
            team=folder.team,
            resize=attacked_resize(self.space, model),
            copies=self.copies,
        )
