"""How models rank queries under universal attacks; nothing is attacked or scored twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv.commands.attack_gallery import configured_job
from torchreid_adv.commands.crossings import Crossing
from torchreid_adv.commands.run_identity import machinery
from torchreid_adv.commands.transfer import Table
from torchreid_adv.commands.universal_learning import Learned, Victim
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Key
from torchreid_adv.data.datasets import Record
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.pixels import from_levels
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.target import TargetReport


class UniversalScores:
    """Attacks the queries of the data set that a model was trained on, and scores the model.

    Args:
        cfg: for the evaluation and for ``adv.attack.space``.
        known: all models; those of one data set and input size share what is stored.
        out: folder of the job.
    """

    def __init__(self, cfg: AdvConfig, known: Sequence[Victim], out: Path) -> None:
        self.cfg: AdvConfig = cfg.clone()
        self.known, self.out = list(known), out
        own = self.cfg.adv
        own.engine, own.attack.side, own.attack.targeted = "", "query", False
        own.attack.update(step_size=None, steps=None, momentum=None)
        own.attack.options.clear()
        own.report.page = own.job.copies = False
        self.table = Table(self.cfg)

    def clean(self, tested: Victim) -> Cell:
        """Return how a model ranks what nobody attacked."""
        self.cfg.adv.attack.name = "ifgsm"  # one that needs no file; nothing is attacked
        return self.table.clean_cell(tested.spec, self.table.data(tested.data), self.out)

    def attacked(self, attack: Learned, tested: Victim) -> Cell:
        """Return how a model ranks the queries of its own data set under an attack.

        ``attacked`` of the cell is what the attack was learned against, ``attack`` how; ``kind``
        is white only for that model itself.
        """
        crossing, data = self._stored(attack, tested), self.table.data(tested.data)
        cell = self.table.cell(crossing, tested.spec, data, self.out)
        on = attack.on.spec
        return replace(cell, attacked=on.label, attack=attack.way, kind=_kind(on, tested.spec))

    def pairs(self, attack: Learned, tested: Victim) -> list[tuple[Record, Path]]:
        """Return the queries and their stored adversarial forms, by image_id."""
        crossing, data = self._stored(attack, tested), self.table.data(tested.data)
        clean = {record.image_id: record for record in data.query}
        _, attacked = self.table.stored(crossing, data, self.out)
        return [(clean[record.image_id], record.path) for record in attacked]

    def key(self, attack: Learned, tested: Victim) -> Key:
        """Return what decides how a model ranks under an attack."""
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

    def ranked(self, attack: Learned, tested: Victim) -> TargetReport:
        """Return what ranking lists of a model are drawn from, without and under an attack."""
        data, specs = self.table.data(tested.data), (tested.spec,)
        _, attacked = self.table.stored(self._stored(attack, tested), data, self.out)
        clean, after = self.table.clean(specs, data.name), self.table.after(specs, data, attacked)
        paths = {r.image_id: r.path for side in clean for r in data.side(side)}
        protocol = configured_job(self.cfg).of(data).protocol
        return TargetReport(
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

    def _stored(self, attack: Learned, tested: Victim) -> Crossing:
        """Attack the queries unless they are stored, and return where."""
        first = next(one for one in self.known if self._shares(one, tested))
        height, width = self._size(tested)
        place = f"@{height}x{width}" if self.cfg.adv.attack.space == "network" else ""
        crossing = Crossing(
            (first.spec,),
            attack.attack,
            attack.eps,
            self.cfg.adv.attack.metric,
            weights=str(attack.file),
            folder_name=f"{attack.name}{place}/{tested.data}",
        )
        self.table.attack(crossing, [self.table.data(tested.data)], self.out)
        return crossing

    def _shares(self, one: Victim, other: Victim) -> bool:
        same = self.cfg.adv.attack.space == "stored" or self._size(one) == self._size(other)
        return one.data == other.data and same

    def _size(self, victim: Victim) -> tuple[int, int]:
        return victim.spec.size or (self.cfg.data.height, self.cfg.data.width)


def _kind(on: ModelSpec, tested: ModelSpec) -> str:
    if on == tested:
        return "white"
    return "gray" if on.name == tested.name else "black"
