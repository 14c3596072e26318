"""A model zoo: models of one config, trained, attacked and scored, with and without defenses."""

from __future__ import annotations

import json
from pathlib import Path

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.files import write_text
from torchreid_adv.engines.start import start_clean
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.experiments.zoo_models import ROBUST, defense_of
from torchreid_adv.experiments.zoo_table import Described, Row, page, zoo_page
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.page import write_page
from torchreid_adv.runs.attack_dataset import run_or_read
from torchreid_adv.runs.grid import transfer
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.version import __version__

SCHEMA = 1


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
    specs = trained_zoo(models)
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


def trained_zoo(models: dict[str, AdvConfig]) -> dict[str, ModelSpec]:
    """Return each model of a zoo with its weights, trained unless they are given or cached.

    Args:
        models: label -> config of its training; the first is the clean network.
    """
    specs: dict[str, ModelSpec] = {}
    for number, (label, model_cfg) in enumerate(models.items(), start=1):
        print(f"\n##### {label} ({number} of {len(models)}) #####")
        specs[label] = _trained(model_cfg, label, next(iter(specs.values()), None))
    return specs


def _trained(run_cfg: AdvConfig, label: str, clean: ModelSpec | None) -> ModelSpec:
    """Return a model with its weights, trained unless they are given or cached."""
    offline = run_cfg.adv.engine == ROBUST and run_cfg.adv.training.mode == "offline"
    if offline and not run_cfg.adv.training.weights and clean is not None:
        run_cfg.adv.training.weights = clean.weights
        run_cfg.adv.training.folder = str(Path(run_cfg.data.save_dir) / "training_sets" / label)
    weights = run_cfg.model.load_weights
    if not weights:
        start_clean(run_cfg)
        weights = str(trained_weights(run_cfg))
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
        defense=defense_of(run_cfg),
        weights=spec.weights,
    )


def _loss(run_cfg: AdvConfig) -> str:
    both = run_cfg.loss.name == "triplet" and run_cfg.loss.triplet.weight_x > 0
    return "softmax + triplet" if both else str(run_cfg.loss.name)


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
