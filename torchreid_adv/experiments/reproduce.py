"""A paper's table on the user's data and models: its settings, models, and missing entries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from torchreid_adv.config import AdvConfig, lookup, plain
from torchreid_adv.config.keys import KEYS
from torchreid_adv.config.torchreid_keys import DEFAULTS
from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.experiments.comparison import (
    Comparison,
    OurCell,
    markdown,
    measured,
    to_json,
)
from torchreid_adv.experiments.reproduction_page import reproduction_page
from torchreid_adv.models.specs import parse_models
from torchreid_adv.registry import REPRODUCTIONS, current_name
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.page import write_page
from torchreid_adv.report.paper_table import PaperTable
from torchreid_adv.report.style import to_png
from torchreid_adv.version import __version__

SCHEMA = 1


def reproduce(cfg: AdvConfig, name: str) -> Reproduction:
    """Run everything that a table needs and return our results with the paper's.

    Args:
        cfg: for the models (``adv.transfer.models``), the data and the folder; it is not changed.
        name: such as ``bai2019.table2``.
    """
    reproduction: Reproduction = REPRODUCTIONS.get(current_name(name))(cfg.clone())
    return reproduction


def write_reproduction(cfg: AdvConfig, name: str) -> str:
    """Reproduce a table, write it with the paper's numbers, and return lines with its paths."""
    reproduction, out = reproduce(cfg, name), Path(cfg.data.save_dir)
    text = markdown(reproduction.comparison)
    print(f"\n{text}")
    content = {"schema": SCHEMA, "version": __version__, **to_json(reproduction.comparison)}
    content["models"] = list(cfg.adv.transfer.models)
    write_text(out / f"{name}.json", json.dumps(content, indent=1) + "\n")
    for end, figure in reproduction.figures.items():
        write_bytes(out / f"{name}_{end}.png", to_png(figure))
    write_text(out / f"{name}.md", f"{text}\n")
    words = f"Table: {out / f'{name}.md'}"
    if cfg.adv.report.page:
        page = reproduction_page(reproduction.comparison, reproduction.figures, plain(cfg))
        words += f"\nReport: {write_page(out / f'{name}.html', page)}"
    return words


_DEFAULTS = {f"adv.{key.name}": key.default for key in KEYS}


@dataclass(frozen=True)
class Reproduction:
    """A reproduced table or figure.

    Args:
        comparison: our results and the paper's.
        figures: end of the file's name -> picture.
    """

    comparison: Comparison
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Models:
    """The models of a table that a config gives.

    Args:
        labels: of the given models, in the table's order.
        notes: sentences on missing and unused models.
    """

    labels: tuple[str, ...]
    notes: tuple[str, ...]


def chosen_models(cfg: AdvConfig, table: PaperTable) -> Models:
    """Keep only the models of a table in ``adv.transfer.models``, and list the missing ones.

    Args:
        cfg: changed in place.
        table: with the labels.

    Raises:
        ConfigError: none of the labels is given; the message shows an example.
    """
    entries = list(cfg.adv.transfer.models)
    entry_of = {
        spec.label: entry for spec, entry in zip(parse_models(entries), entries, strict=True)
    }
    labels = tuple(label for label in table.models if label in entry_of)
    if not labels:
        raise wanting(table)
    cfg.adv.transfer.models = [entry_of[label] for label in labels]
    missing = [label for label in table.models if label not in entry_of]
    notes = [
        *_missing(table, [label for label in missing if label in table.networks]),
        *_unavailable(table, [label for label in missing if label not in table.networks]),
        *_strange([label for label in entry_of if label not in table.models]),
    ]
    return Models(labels, tuple(notes))


def wanting(table: PaperTable, needed: str = "one of them is enough") -> ConfigError:
    """Return the error for a table without any of the given models."""
    entries = [f"{label}={network}:WEIGHTS" for label, network in table.networks.items()]
    return ConfigError(
        f"{table.name} takes models under the paper's labels: adv.transfer.models "
        f'"{entries}"; {needed}'
    )


def settle(cfg: AdvConfig, name: str, settings: Mapping[str, Any]) -> None:
    """Write the settings of a table into a config.

    Args:
        cfg: changed in place.
        name: of the table.
        settings: key -> value.

    Raises:
        ConfigError: a key that the user set to something else.
    """
    for key, value in settings.items():
        default = _DEFAULTS[key] if key in _DEFAULTS else lookup(AdvConfig(DEFAULTS), key)
        present = lookup(cfg, key)
        if present not in (default, value):
            raise ConfigError(
                f"{name} is made with {key} {value!r}, got {present!r}; leave the key out, or use "
                "torchreid-adv transfer, which takes any"
            )
        section, _, leaf = key.rpartition(".")
        lookup(cfg, section)[leaf] = value


def finding(cell: Cell, *, reranked: bool = False, **where: Any) -> OurCell:
    """Return a cell of a transfer table as a finding.

    Args:
        cell: ours.
        reranked: take the measures of the re-ranked lists, which the cell holds.
        where: fields with the paper's names.
    """
    if reranked:
        cell = replace(cell, clean=cell.clean["rerank"], adversarial=cell.adversarial["rerank"])
    place = {
        "target": cell.target,
        "attacked": cell.attacked,
        "attack": cell.attack,
        "metric": cell.metric,
        "ranked": cell.ranked,
        "eps": cell.eps,
        "tested": cell.tested,
    }
    measures = {**measured(cell.adversarial), "map_ratio": cell.ratio}
    clean = measured(cell.clean) if cell.attack else {}
    return OurCell({**place, **where}, measures, cell.kind, clean)


SPACES = {
    "stored": "Our images are attacked at their stored size.",
    "network": "Our images are attacked at the size of the network's input.",
}


def rule_note(cfg: AdvConfig, table: PaperTable) -> str:
    """Return sentences on the rule of average precision and the size of attacked images."""
    rule = Protocol.configured(cfg).ap_rule
    as_paper = "as in the paper" if rule == table.ap_rule else f"the paper's: {table.ap_rule}"
    space = (
        f" {SPACES[cfg.adv.attack.space]} Scores are from the stored 8-bit files. Images are "
        f"resized to the network's input by {cfg.adv.data.interpolation} interpolation."
    )
    attacked = table.values("attack") or table.values("attacked")
    options = plain(cfg.adv.attack.options)
    changed = f" Options of attacks that differ from the paper's: {options}." if options else ""
    return f"Average precision: {rule}, {as_paper}.{space + changed if attacked else ''}"


def _missing(table: PaperTable, labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    named = ", ".join(f"{label} ({table.models[label]})" for label in labels)
    example = f"{labels[0]}={table.networks[labels[0]]}:WEIGHTS"
    return [
        f"Not given in adv.transfer.models, so only in the paper: {named}; for example, add "
        f"'{example}'."
    ]


def _strange(labels: Sequence[str]) -> list[str]:
    return (
        [f"Left out, because the table has no such model: {', '.join(labels)}."] if labels else []
    )


def _unavailable(table: PaperTable, labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    named = ", ".join(f"{label} ({table.models[label]})" for label in labels)
    return [
        f"Only in the paper, because torchreid has no such network: {named}. A plugin may register "
        "the network; use the same label."
    ]
