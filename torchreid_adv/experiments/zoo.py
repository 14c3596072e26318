"""The table of a model zoo, in torchreid's columns, with each model's scores under an attack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.files import write_text
from torchreid_adv.core.provenance import provenance
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.page import Page, Section, write_page
from torchreid_adv.report.table import ResultTable, TableRow, rate
from torchreid_adv.report.text import levels, percent
from torchreid_adv.report.units import DASH
from torchreid_adv.runs.attack_dataset import run_or_read
from torchreid_adv.runs.grid import transfer
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.runs.torchreid_checks import check, check_names
from torchreid_adv.version import __version__

COLUMNS = ("", "model", "params (M)", "GFLOPs", "loss", "input", "transforms", "defense")
FIGURES = ("attack", "eps", "clean", "oblivious", "adaptive")
NOTE = (
    "Rank-1 (mAP), percent, of queries against the stored gallery; eps in gray levels; GFLOPs are "
    "multiply-adds. Oblivious: the attack does not know the defense; it is made on the same "
    "network without it, for adversarial training on the model '{first}'. Adaptive: the attack is "
    "made through the whole tested system, including the defense. A model without a defense has "
    "only this number, and only adaptive numbers show how robust a model is."
)


@dataclass(frozen=True)
class Described:
    """One model as torchreid's zoo describes it.

    Args:
        label: in the table.
        network: in torchreid's model factory.
        params: number of weights that features depend on.
        flops: multiply-adds of one image.
        loss: of its training.
        size: height and width of its input.
        transforms: of its training.
        defense: training or test-time wrapper; "" = none.
        weights: checkpoint.
    """

    label: str
    network: str
    params: int
    flops: int
    loss: str
    size: tuple[int, int]
    transforms: tuple[str, ...]
    defense: str
    weights: str

    def cells(self) -> list[str]:
        """Return it in the order of the columns."""
        complexity = [f"{self.params / 1e6:.2f}", f"{self.flops / 1e9:.3f}"]
        size, transforms = f"{self.size[0]}x{self.size[1]}", ", ".join(self.transforms)
        about = [self.loss, size, transforms, self.defense or DASH]
        return [self.label, self.network, *complexity, *about]


@dataclass(frozen=True)
class Row:
    """One model on one data set; measures as in results.json.

    Args:
        model: the model.
        target: data set.
        attack: registered name.
        eps: gray levels.
        clean: measures without an attack.
        oblivious: under an attack that does not know the defense; None without a defense.
        adaptive: under an attack through the whole system; None if there is none.
        reason: why there is none.
    """

    model: Described
    target: str
    attack: str
    eps: float
    clean: dict[str, Any]
    oblivious: dict[str, Any] | None
    adaptive: dict[str, Any] | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    def markdown(self) -> str:
        """Return the line of the table."""
        figures = [_figures(measures) for measures in (self.clean, self.oblivious, self.adaptive)]
        cells = [*self.model.cells(), self.attack, f"{self.eps:g}", *figures]
        return f"| {' | '.join(cells)} |"


def _figures(measures: dict[str, Any] | None) -> str:
    if measures is None:
        return DASH
    first, mean = (percent(v).removesuffix("%") for v in (measures["cmc"]["1"], measures["mAP"]))
    return f"{first} ({mean})"


def page(rows: Sequence[Row]) -> str:
    """Return a table for each data set, and an explanation of its numbers."""
    heads = (*COLUMNS, *FIGURES)
    parts = []
    for target in dict.fromkeys(row.target for row in rows):
        target_rows = [row for row in rows if row.target == target]
        lines = [f"**{target}**", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        parts.append("\n".join([*lines, *(row.markdown() for row in target_rows)]))
    reasons = dict.fromkeys(f"No adaptive attack: {row.reason}." for row in rows if row.reason)
    return "\n\n".join([*parts, NOTE.format(first=rows[0].model.label), *reasons]) + "\n"


def zoo_page(cfg: AdvConfig, rows: Sequence[Row]) -> Page:
    """Return the page of a zoo.

    Args:
        cfg: of the run.
        rows: one or more.
    """
    reasons = [f"No adaptive attack: {row.reason}." for row in rows if row.reason]
    targets = list(dict.fromkeys(row.target for row in rows))
    return Page(
        title="Model zoo: clean, oblivious, adaptive",
        kicker=f"{', '.join(targets)} · {rows[0].attack}, {levels(rows[0].eps)}",
        lead=["Only the adaptive numbers show how robust a model is."],
        sections=[
            Section(target, tables=[_page_table([row for row in rows if row.target == target])])
            for target in targets
        ]
        + [
            Section(
                "What the columns mean",
                [_note(rows), *dict.fromkeys(reasons)],
            )
        ],
        config=config.plain(cfg),
        provenance=provenance().facts(),
    )


def _note(rows: Sequence[Row]) -> str:
    """Return the explanation of the columns, without the part for Markdown."""
    return NOTE.format(first=rows[0].model.label).partition("eps in gray levels; ")[2]


def _page_table(rows: Sequence[Row]) -> ResultTable:
    """Return the rows of a data set: mAP and Rank-1 of each condition, then facts on the model."""
    lines = []
    for row in rows:
        model = row.model
        conditions = (row.clean, row.oblivious, row.adaptive)
        size = f"{model.params / 1e6:.2f} M weights, {model.flops / 1e9:.3f} GFLOPs"
        lines.append(
            TableRow(
                model.label,
                [
                    *(
                        rate(scores["mAP"] if scores else None, strong=scores is row.adaptive)
                        for scores in conditions
                    ),
                    *(rate(scores["cmc"]["1"] if scores else None) for scores in conditions),
                    model.defense or DASH,
                ],
                f"{model.network}, {size}, {model.loss}",
            )
        )
    return ResultTable(
        f"Models on {rows[0].target}",
        (*("clean", "oblivious", "adaptive") * 2, "Defense"),
        lines,
        head="Model",
        bands=(("", 1), ("mAP", 3), ("Rank-1", 3), ("", 1)),
        sortable=True,
    )


SCHEMA = 1
ROBUST = "adversarial_training"
OF_A_MODEL = (
    *("model", "train", "loss", "sampler", "sgd", "adam", "rmsprop"),
    *(f"data.{name}" for name in ("sources", "height", "width", "transforms", "combineall")),
    *(f"adv.{name}" for name in ("engine", "training", "defense", "transforms", "loss")),
    "adv.selection",
)


def configured_zoo(cfg: AdvConfig) -> dict[str, AdvConfig]:
    """Return the config of each model of ``adv.zoo``, checked before anything is trained.

    Raises:
        ConfigError: no model, a key that a model may not set, or a defense of the first model.
    """
    if not cfg.adv.zoo:
        raise ConfigError(
            "adv.zoo names no model; write {normal: {}, triplet: {loss.name: triplet}, ...}, each "
            "with the keys in which it differs, or take configs/zoo.yaml"
        )
    if cfg.adv.defense.name or cfg.adv.engine:
        raise ConfigError("each model of a zoo has its own defense: set it in adv.zoo.<name>")
    models = {label: _own(cfg, label) for label in cfg.adv.zoo}
    first, *_ = models
    if _defense(models[first]):
        raise ConfigError(
            f"the first model of adv.zoo, '{first}', is what adversarial training is compared "
            "with; put one without adv.engine and adv.defense.name there"
        )
    return models


def _own(cfg: AdvConfig, label: str) -> AdvConfig:
    """Return the config of one model."""
    parse_models([f"{label}={cfg.model.name}"], trained=False)  # a label names a folder
    differs = cfg.adv.zoo[label]
    if not isinstance(differs, dict):
        raise ConfigError(f"adv.zoo.{label} is a section of keys, got {differs!r}")
    for key, _ in config.leaves(differs):
        if not any(f"{key}.".startswith(f"{allowed}.") for allowed in OF_A_MODEL):
            raise ConfigError(
                f"adv.zoo.{label} sets '{key}', but all models of a zoo are attacked and tested in "
                f"the same way; set it for all. A model may set: {', '.join(OF_A_MODEL)}"
            )
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.zoo.clear()
    run_cfg.merge_from_list([part for pair in differs.items() for part in pair])
    check(run_cfg)
    if run_cfg.adv.engine not in ("", ROBUST):
        raise ConfigError(
            f"adv.zoo.{label}: adv.engine is '' or '{ROBUST}', got {run_cfg.adv.engine}"
        )
    config.setup(run_cfg)
    check_names(run_cfg)
    return run_cfg


def zoo(cfg: AdvConfig, models: dict[str, AdvConfig]) -> Path:
    """Train and attack the models, unless the results are cached; write zoo.json, .md and .html.

    Args:
        cfg: for the attack and the evaluation.
        models: label -> config of its training; the first is the clean network.

    Returns:
        the page.
    """
    with_page = cfg.adv.report.page
    cfg.adv.report.page = cfg.adv.job.copies = False
    specs: dict[str, ModelSpec] = {}
    for number, (label, model_cfg) in enumerate(models.items(), start=1):
        print(f"\n##### {label} ({number} of {len(models)}) #####")
        specs[label] = _trained(model_cfg, label, next(iter(specs.values()), None))
    described = {label: _described(model_cfg, specs[label]) for label, model_cfg in models.items()}
    rows = _undefended(cfg, models, specs, described)
    for label, model_cfg in models.items():
        if model_cfg.adv.defense.name:
            rows += _behind(cfg, model_cfg, specs[label], described[label])
    order = list(models)
    rows.sort(key=lambda row: order.index(row.model.label))
    out = Path(cfg.data.save_dir)
    facts = {"schema": SCHEMA, "version": __version__, "config": config.plain(cfg)}
    facts["rows"] = [row.to_dict() for row in rows]
    write_text(out / "zoo.json", json.dumps(facts, indent=1) + "\n")
    write_text(out / "zoo.md", page(rows))
    if with_page:
        write_page(out / "zoo.html", zoo_page(cfg, rows))
    return out / "zoo.md"


def _trained(run_cfg: AdvConfig, label: str, clean: ModelSpec | None) -> ModelSpec:
    """Return a model with its weights, trained unless they are given or cached."""
    offline = run_cfg.adv.engine == ROBUST and run_cfg.adv.training.mode == "offline"
    if offline and not run_cfg.adv.training.weights and clean is not None:
        run_cfg.adv.training.weights = clean.weights
        run_cfg.adv.training.folder = str(Path(run_cfg.data.save_dir) / "training_sets" / label)
    weights = run_cfg.model.load_weights or str(trained_weights(run_cfg))
    return ModelSpec(label, run_cfg.model.name, weights, (run_cfg.data.height, run_cfg.data.width))


def _described(run_cfg: AdvConfig, spec: ModelSpec) -> Described:
    size = (run_cfg.data.height, run_cfg.data.width)
    network = build_network(spec.name).cpu()
    count = torchreid_module("utils").compute_model_complexity
    params, flops = count(network, (1, 3, *size))
    return Described(
        label=spec.label,
        network=spec.name,
        params=int(params),
        flops=int(flops),
        loss=_loss(run_cfg),
        size=size,
        transforms=tuple(run_cfg.data.transforms),
        defense=_defense(run_cfg),
        weights=spec.weights,
    )


def _loss(run_cfg: AdvConfig) -> str:
    both = run_cfg.loss.name == "triplet" and run_cfg.loss.triplet.weight_x > 0
    return "softmax + triplet" if both else str(run_cfg.loss.name)


def _defense(run_cfg: AdvConfig) -> str:
    """Return the name of a model's defense, "" without one."""
    training = f"{run_cfg.adv.training.mode} adversarial training" if run_cfg.adv.engine else ""
    return " + ".join(filter(None, (training, str(run_cfg.adv.defense.name))))


def _undefended(
    cfg: AdvConfig,
    models: dict[str, AdvConfig],
    specs: dict[str, ModelSpec],
    described: dict[str, Described],
) -> list[Row]:
    """Attack each network itself; robust networks are also tested under attacks on the first."""
    first = next(iter(models))
    plain = [label for label, run_cfg in models.items() if not run_cfg.adv.defense.name]
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.transfer.update(models=[specs[label].entry for label in plain])
    run_cfg.adv.transfer.update(attacks=[cfg.adv.attack.name], attacked=[], tested=[], eps=[])
    run_cfg.adv.transfer.update(metrics=[], paper="")
    cells = transfer(
        run_cfg,
        lambda attacked, tested: (
            attacked == tested or (attacked == first and bool(models[tested].adv.engine))
        ),
    )
    cell_at = {(cell.target, cell.attacked, cell.tested): cell for cell in cells}

    def row(target: str, label: str) -> Row:
        cell: Cell = cell_at[target, label, label]
        oblivious = cell_at.get((target, first, label)) if label != first else None
        return Row(
            described[label],
            target,
            cell.attack,
            cell.eps,
            cell.clean,
            oblivious.adversarial if oblivious else None,
            cell.adversarial,
        )

    targets = dict.fromkeys(cell.target for cell in cells)
    return [row(target, label) for target in targets for label in plain]


def _behind(cfg: AdvConfig, model: AdvConfig, spec: ModelSpec, described: Described) -> list[Row]:
    """Attack a network without and through its defense."""
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.data.height, run_cfg.data.width = described.size
    run_cfg.adv.defense = model.adv.defense.clone()
    folder = Path(cfg.data.save_dir) / "defended" / spec.label
    loaded = load_spec(run_cfg, spec)
    facts = {"name": spec.name, "weights": spec.weights, "size": list(loaded.size)}
    targets = [configured_dataset(run_cfg, name) for name in dict.fromkeys(run_cfg.data.targets)]
    runs = run_or_read(
        run_cfg, loaded, facts, targets, folder, f"{spec.label}: {described.defense}"
    )
    return [
        Row(
            described,
            target,
            run_cfg.adv.attack.name,
            run_cfg.adv.attack.eps,
            run["defense"]["clean"],
            run["defense"]["oblivious"],
            run["defense"]["adaptive"],
            run["defense"]["adaptive_reason"] or "",
        )
        for target, run in runs.items()
    ]
