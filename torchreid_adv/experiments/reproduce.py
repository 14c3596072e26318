"""A paper's table on the user's data and models: its settings, its models, what is missing."""

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
from torchreid_adv.experiments.comparison import Comparison, Finding, markdown, measured, to_json
from torchreid_adv.models.specs import parse_models
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper_table import PaperTable
from torchreid_adv.report.style import to_png
from torchreid_adv.version import __version__

SCHEMA = 1


def reproduce(cfg: AdvConfig, name: str) -> Reproduction:
    """Run what a table needs and return ours beside the paper's.

    Args:
        cfg: for the models (``adv.transfer.models``), the data and the folder; left as it is.
        name: such as ``bai2019.table2``.
    """
    done: Reproduction = REPRODUCTIONS.get(name)(cfg.clone())
    return done


def write_reproduction(cfg: AdvConfig, name: str) -> str:
    """Do a table again, write it beside the paper's, and return where it is."""
    done, out = reproduce(cfg, name), Path(cfg.data.save_dir)
    text = markdown(done.comparison)
    print(f"\n{text}")
    content = {"schema": SCHEMA, "version": __version__, **to_json(done.comparison)}
    content["models"] = list(cfg.adv.transfer.models)
    write_text(out / f"{name}.json", json.dumps(content, indent=1) + "\n")
    for end, figure in done.figures.items():
        write_bytes(out / f"{name}_{end}.png", to_png(figure))
    write_text(out / f"{name}.md", f"{text}\n")
    return f"Table: {out / f'{name}.md'}"


_DEFAULTS = {f"adv.{key.name}": key.default for key in KEYS}


@dataclass(frozen=True)
class Reproduction:
    """A table or figure, done again.

    Args:
        comparison: ours beside the paper's.
        figures: what is drawn: end of the file's name -> picture.
    """

    comparison: Comparison
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Models:
    """The models of a table that a config gives.

    Args:
        labels: of those that are given, in the table's order.
        notes: sentences on what is missing and what is left out.
    """

    labels: tuple[str, ...]
    notes: tuple[str, ...]


def chosen_models(cfg: AdvConfig, table: PaperTable) -> Models:
    """Keep the models of a table in ``adv.transfer.models``, and say what is missing.

    Args:
        cfg: changed in place.
        table: whose labels count.

    Raises:
        ConfigError: none of the labels is given; the message shows what to write.
    """
    entries = list(cfg.adv.transfer.models)
    given = {spec.label: entry for spec, entry in zip(parse_models(entries), entries, strict=True)}
    labels = tuple(label for label in table.models if label in given)
    if not labels:
        raise wanting(table)
    cfg.adv.transfer.models = [given[label] for label in labels]
    missing = [label for label in table.models if label not in given]
    notes = [
        *_missing(table, [label for label in missing if label in table.networks]),
        *_unavailable(table, [label for label in missing if label not in table.networks]),
        *_strange([label for label in given if label not in table.models]),
    ]
    return Models(labels, tuple(notes))


def wanting(table: PaperTable, needed: str = "one of them is enough") -> ConfigError:
    """Return the error for a table that none of the given models fill."""
    entries = [f"{label}={network}:WEIGHTS" for label, network in table.networks.items()]
    return ConfigError(
        f"{table.name} takes models under the paper's labels: adv.transfer.models "
        f'"{entries}"; {needed}'
    )


def settle(cfg: AdvConfig, name: str, settings: Mapping[str, Any]) -> None:
    """Set what a table is made with.

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


def finding(cell: Cell, *, reranked: bool = False, **where: Any) -> Finding:
    """Return a cell of a transfer table as a finding.

    Args:
        cell: ours.
        reranked: take the measures of the re-ranked lists, which the cell holds.
        where: fields that the paper calls otherwise.
    """
    if reranked:
        cell = replace(cell, clean=cell.clean["rerank"], adversarial=cell.adversarial["rerank"])
    own = {
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
    return Finding({**own, **where}, measures, cell.kind, clean)


SPACES = {
    "stored": "Ours is attacked at the size that images are stored in.",
    "network": "Ours is attacked at the size of the network's input.",
}


def rule_note(cfg: AdvConfig, table: PaperTable) -> str:
    """Say how precisions were averaged, and at which size images were attacked."""
    own = Protocol.configured(cfg).ap_rule
    as_paper = "as the paper's" if own == table.ap_rule else f"the paper's: {table.ap_rule}"
    space = (
        f" {SPACES[cfg.adv.attack.space]} It is scored from the stored 8-bit files. Images are "
        f"resized to the network's input by {cfg.adv.data.interpolation} interpolation."
    )
    attacked = table.values("attack") or table.values("attacked")
    options = plain(cfg.adv.attack.options)
    changed = f" Options of attacks that are not the paper's: {options}." if options else ""
    return f"Average precision: {own}, {as_paper}.{space + changed if attacked else ''}"


def _missing(table: PaperTable, labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    named = ", ".join(f"{label} ({table.models[label]})" for label in labels)
    example = f"{labels[0]}={table.networks[labels[0]]}:WEIGHTS"
    return [
        f"Not given in adv.transfer.models, so the paper's alone: {named}; add '{example}' for one."
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
        f"The paper's alone, because torchreid has no such network: {named}. A network registered "
        "by a plugin fills its place under the same label."
    ]
