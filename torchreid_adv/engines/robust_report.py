"""The robust report: a table per trained model: clean, oblivious and adaptive attacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig, split_options
from torchreid_adv.core.files import write_text
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.text import percent
from torchreid_adv.runs.grid import transfer
from torchreid_adv.version import __version__

NOTE = (
    "Oblivious: the images were attacked through the clean network '{clean}', which is all that "
    "table 5 of Bai et al. tests of its metric-preserving networks. Adaptive: through the network "
    "that is tested; how robust it is, is the worst of these, and of attacks not tried here."
)
ALONE = (
    "No clean network is given, so there are no oblivious rows. Adaptive: the images were attacked "
    "through the network that is tested."
)


@dataclass(frozen=True)
class RobustTable:
    """The results of one network on one data set, in the form of results.json.

    Args:
        model: label of the model.
        target: name of the data set.
        clean: results without an attack.
        oblivious: attack -> results on images attacked through the clean network.
        adaptive: attack -> results on images attacked through the model itself.
        source: label of the clean network, "" if there is none.
    """

    model: str
    target: str
    clean: dict[str, Any]
    oblivious: dict[str, dict[str, Any]]
    adaptive: dict[str, dict[str, Any]]
    source: str

    @property
    def worst(self) -> float:
        """The lowest mAP under the adaptive attacks, [0, 1]."""
        return min(float(scores["mAP"]) for scores in self.adaptive.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "clean": self.clean,
            "oblivious": self.oblivious,
            "adaptive": self.adaptive,
            "worst_mAP": self.worst,
        }

    def markdown(self) -> str:
        """Return the table, mAP and Rank-1 in percent."""
        rows = [("clean", "", self.clean)]
        for attack in self.adaptive:
            if attack in self.oblivious:
                rows.append((attack, "oblivious", self.oblivious[attack]))
            rows.append((attack, "adaptive", self.adaptive[attack]))
        lines = [f"**{self.model}** on {self.target}", ""]
        lines += ["| attack | made | mAP | Rank-1 |", "|---|---|---|---|"]
        for attack, kind, scores in rows:
            figures = f"{percent(scores['mAP'])} | {percent(scores['cmc']['1'])}"
            lines.append(f"| {attack} | {kind} | {figures} |")
        return "\n".join([*lines, f"| worst adaptive | | {percent(self.worst)} | |"])


def robust_tables(cells: Sequence[Cell], source: str) -> list[RobustTable]:
    """Return a table for each model and data set.

    Args:
        cells: each model attacked through itself and, if there is one, through the clean network.
        source: label of the clean network, "" if there is none.
    """
    places = dict.fromkeys((cell.tested, cell.target) for cell in cells)
    return [_table(cells, model, target, source) for model, target in places]


def _table(cells: Sequence[Cell], model: str, target: str, source: str) -> RobustTable:
    table_cells = [cell for cell in cells if (cell.tested, cell.target) == (model, target)]
    oblivious = [cell for cell in table_cells if cell.attacked == source != model]
    return RobustTable(
        model,
        target,
        table_cells[0].clean,
        {cell.attack: cell.adversarial for cell in oblivious},
        {cell.attack: cell.adversarial for cell in table_cells if cell.attacked == model},
        source,
    )


def page(tables: Sequence[RobustTable]) -> str:
    """Return all tables, and an explanation of their rows."""
    source = tables[0].source
    note = NOTE.format(clean=source) if source else ALONE
    return "\n\n".join([*(table.markdown() for table in tables), note]) + "\n"


SCHEMA = 1
CLEAN, TRAINED = "clean", "trained"  # labels of the report at the end of training


def robust_report(cfg: AdvConfig, source: str) -> Path:
    """Attack and test each model of ``adv.transfer.models``; write robustness.json and .md.

    Args:
        cfg: config with the models, ``adv.transfer.attacks``, the data and the evaluation.
        source: label of the clean network, used for oblivious attacks; "" = none.

    Returns:
        path of the page.
    """
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.report.page = False
    run_cfg.adv.transfer.attacked = []
    tables = robust_tables(
        transfer(run_cfg, lambda attacked, tested: attacked in (source, tested)), source
    )
    facts = {
        target: {table.model: table.to_dict() for table in tables if table.target == target}
        for target in dict.fromkeys(table.target for table in tables)
    }
    content = {"schema": SCHEMA, "version": __version__, "clean": source, "targets": facts}
    out = Path(cfg.data.save_dir)
    write_text(out / "robustness.json", json.dumps(content, indent=1) + "\n")
    write_text(out / "robustness.md", page(tables))
    return out / "robustness.md"


def report_after_training(cfg: AdvConfig, checkpoint: Path, out: Path) -> Path:
    """Report on a checkpoint that was just trained.

    Args:
        cfg: config of the training; ``adv.training.report`` names the attacks,
            ``adv.training.weights`` the clean network.
        checkpoint: the trained checkpoint.
        out: folder of the report.
    """
    run_cfg: AdvConfig = cfg.clone()
    models = {TRAINED: str(checkpoint)}
    if cfg.adv.training.weights:
        models = {CLEAN: cfg.adv.training.weights, **models}
    run_cfg.adv.transfer.models = [f"{k}={cfg.model.name}:{path}" for k, path in models.items()]
    run_cfg.adv.transfer.attacks, run_cfg.adv.transfer.tested = list(cfg.adv.training.report), []
    for name in ("eps", "metrics"):
        run_cfg.adv.transfer[name] = []
    for name in ("step_size", "steps", "momentum"):  # defaults of each attack, as there are several
        run_cfg.adv.attack[name] = None
    for option in split_options(run_cfg.adv.attack.options)[0]:  # options of single attacks stay
        del run_cfg.adv.attack.options[option]
    run_cfg.data.save_dir = str(out)
    path = robust_report(run_cfg, CLEAN if CLEAN in models else "")
    print(f"\n{path.read_text(encoding='utf-8')}\nReport: {path}")
    return path
