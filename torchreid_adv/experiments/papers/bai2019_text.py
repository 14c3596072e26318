"""Numbers that Bai et al. give only in their text: a classification attack, distances, XQDA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.data.datasets import Record
from torchreid_adv.evaluation.of_models import positive_distance
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.experiments.comparison import OurCell, compare
from torchreid_adv.experiments.papers.bai2019 import TABLE
from torchreid_adv.experiments.reproduce import (
    Reproduction,
    chosen_models,
    finding,
    rule_note,
    settle,
)
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper_table import paper_table
from torchreid_adv.runs.folder import machinery
from torchreid_adv.runs.grid import Grid, clean_cells, transfer
from torchreid_adv.runs.grid_attack import GridAttack

ATTACKS = ["ifgsm", "classification_ifgsm"]  # the second: section 5.1, "directly performing ..."


@REPRODUCTIONS.register("bai2019.text", title="the text's numbers: classifier attack, XQDA")
def text(cfg: AdvConfig) -> Reproduction:
    """Attack B1's metric and its classifier, measure queries to matches; rank by XQDA."""
    table = paper_table("bai2019.text")
    models = chosen_models(cfg, table)
    settle(cfg, table.name, {**TABLE, "adv.transfer.attacked": [], "adv.transfer.attacks": ATTACKS})
    distances = _Distances(cfg)
    findings = [distances.beside(cell) for cell in [*clean_cells(cfg), *transfer(cfg)]]
    other = cfg.clone()
    other.test.dist_metric = "xqda"
    findings += [finding(cell, ranked="xqda") for cell in clean_cells(other)]
    return Reproduction(compare(table, findings, notes=[*models.notes, rule_note(cfg, table)]))


class _Distances:
    """Mean distances of queries to their matches, Euclidean and not squared; cached.

    Args:
        cfg: of the table, after its attacks were made.
    """

    def __init__(self, cfg: AdvConfig) -> None:
        self.cfg, self.table = cfg, Grid(cfg)
        self.out, self.protocol = Path(cfg.data.save_dir), Protocol.configured(cfg)
        self.specs = {spec.label: spec for spec in parse_models(cfg.adv.transfer.models)}

    def beside(self, cell: Cell) -> OurCell:
        """Return a cell as a finding that also has the distance."""
        our_cell = finding(cell, ranked="euclidean")
        return replace(
            our_cell, measures={**our_cell.measures, "positive_distance": self.mean(cell)}
        )

    def mean(self, cell: Cell) -> float:
        """Return the mean distance of a cell, computed once and then cached."""
        spec, data = self.specs[cell.tested], self.table.data(cell.target)
        root, attacked = "", list[Record]()
        if cell.attack:
            grid_attack = GridAttack(
                (self.specs[cell.attacked],), cell.attack, cell.eps, cell.metric
            )
            root, attacked = self.table.stored(grid_attack, data, self.out)
        specs: tuple[ModelSpec, ...] = (spec,)
        key = Key.of(
            machinery=machinery(),
            attacked=[self.cfg.adv.attack.side, root],
            data=self.table.data_facts(data, self.out),
            tested=self.table.tested_facts(specs),
            protocol=self.protocol,
        )

        def computed() -> dict[str, float]:
            clean = self.table.clean(specs, data.name)
            sides = self.table.after(specs, data, attacked) if attacked else clean
            pair = sides["query"], sides["gallery"]
            return {"mean": positive_distance(*pair, self.protocol, squared=False)}

        return float(Cache(self.out / "distances").json("positives", key, computed)["mean"])
