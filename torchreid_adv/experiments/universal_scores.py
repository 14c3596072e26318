"""Scores of models under universal attacks: queries attacked once, then ranked by each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Key
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.datasets import Record
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.experiments.learned import LearnedAttack, SourceModel
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.report.matrix import Cell
from torchreid_adv.runs.attack_dataset import configured_job
from torchreid_adv.runs.folder import machinery
from torchreid_adv.runs.grid import Grid
from torchreid_adv.runs.grid_attack import GridAttack


class UniversalScores:
    """Attacks the queries of a model's training data set, and scores the model.

    Args:
        cfg: for the evaluation and for ``adv.attack.space``.
        known: all models; those with the same data set and input size share stored images.
        out: folder of the job.
    """

    def __init__(self, cfg: AdvConfig, known: Sequence[SourceModel], out: Path) -> None:
        self.cfg: AdvConfig = cfg.clone()
        self.known, self.out = list(known), out
        keys = self.cfg.adv
        keys.engine, keys.attack.side, keys.attack.targeted = "", "query", False
        keys.attack.update(step_size=None, steps=None, momentum=None)
        keys.attack.options.clear()
        keys.report.page = keys.job.copies = False
        self.table = Grid(self.cfg)

    def clean(self, tested: SourceModel) -> Cell:
        """Return how a model ranks the clean data set."""
        self.cfg.adv.attack.name = "ifgsm"  # any attack without a file; nothing is attacked
        return self.table.clean_cell(tested.spec, self.table.data(tested.data), self.out)

    def attacked(self, attack: LearnedAttack, tested: SourceModel) -> Cell:
        """Return how a model ranks the queries of its data set under an attack.

        In the cell, ``attacked`` is the model that the attack was learned against, ``attack`` its
        recipe; ``kind`` is white only for that model itself.
        """
        grid_attack, data = self._stored(attack, tested), self.table.data(tested.data)
        cell = self.table.cell(grid_attack, tested.spec, data, self.out)
        on = attack.on.spec
        return replace(cell, attacked=on.label, attack=attack.way, kind=_kind(on, tested.spec))

    def pairs(self, attack: LearnedAttack, tested: SourceModel) -> list[tuple[Record, Path]]:
        """Return the queries and their stored adversarial forms, by image_id."""
        grid_attack, data = self._stored(attack, tested), self.table.data(tested.data)
        clean = {record.image_id: record for record in data.query}
        _, attacked = self.table.stored(grid_attack, data, self.out)
        return [(clean[record.image_id], record.path) for record in attacked]

    def key(self, attack: LearnedAttack, tested: SourceModel) -> Key:
        """Return the key of a model's scores under an attack."""
        data = self.table.data(tested.data)
        root, _ = self.table.stored(self._stored(attack, tested), data, self.out)
        return Key.of(
            machinery=machinery(),
            attacked=root,
            data=self.table.data_facts(data, self.out),
            tested=self.table.tested_facts((tested.spec,)),
            scores=configured_job(self.cfg).of(data).score_facts(),
            eps=attack.eps,
        )

    def ranked(self, attack: LearnedAttack, tested: SourceModel) -> AttackedData:
        """Return the data for a model's ranking lists, clean and under an attack."""
        data, specs = self.table.data(tested.data), (tested.spec,)
        _, attacked = self.table.stored(self._stored(attack, tested), data, self.out)
        clean, after = self.table.clean(specs, data.name), self.table.after(specs, data, attacked)
        paths = {r.image_id: r.path for side in clean for r in data.side(side)}
        protocol = configured_job(self.cfg).of(data).protocol
        return AttackedData(
            name=data.name,
            results={"ap_rule": protocol.ap_rule, "protocol": protocol.facts()},
            query=clean["query"],
            gallery=clean["gallery"],
            query_after=after["query"],
            gallery_after=after["gallery"],
            paths=paths,
            paths_after=paths | {record.image_id: record.path for record in attacked},
            attacked=frozenset(record.image_id for record in attacked),
            side="query",
            eps=from_levels(attack.eps),
            protocol=protocol,
        )

    def _stored(self, attack: LearnedAttack, tested: SourceModel) -> GridAttack:
        """Attack the queries unless they are stored, and return the attack with its folder."""
        first = next(candidate for candidate in self.known if self._shares(candidate, tested))
        height, width = self._size(tested)
        place = f"@{height}x{width}" if self.cfg.adv.attack.space == "network" else ""
        grid_attack = GridAttack(
            (first.spec,),
            attack.attack,
            attack.eps,
            self.cfg.adv.attack.metric,
            weights=str(attack.file),
            folder_name=f"{attack.name}{place}/{tested.data}",
        )
        self.table.attack(grid_attack, [self.table.data(tested.data)], self.out)
        return grid_attack

    def _shares(self, model: SourceModel, other: SourceModel) -> bool:
        same = self.cfg.adv.attack.space == "stored" or self._size(model) == self._size(other)
        return model.data == other.data and same

    def _size(self, victim: SourceModel) -> tuple[int, int]:
        return victim.spec.size or (self.cfg.data.height, self.cfg.data.width)


def _kind(on: ModelSpec, tested: ModelSpec) -> str:
    if on == tested:
        return "white"
    return "gray" if on.name == tested.name else "black"
