"""Whether the networks that studies train behave like real weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.defenses import Defended, Defense, build_defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments import calibration as facts
from torchreid_adv.experiments.claims import Reading
from torchreid_adv.experiments.input_views import ColorShift, Crop, Gray
from torchreid_adv.experiments.studies.defense import scaling
from torchreid_adv.experiments.study import Found, check_one_data_set, trained_models
from torchreid_adv.models import Features, extract
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.matrix import Cell
from torchreid_adv.runs.grid import Grid, clean_cells, transfer

QUERY_ATTACKS = ("ifgsm", "sma", "lta")
OTHER_SEED = 1000  # added to a seed for the second network of an architecture
JPEG, SCALING = "JPEG 75", "circuitous scaling"


def setting(cfg: AdvConfig) -> str:
    """Return sentences on the networks and their training."""
    train, start = cfg.train, cfg.adv.start
    people = f"{cfg.adv.virtual.train_identities} people of {', '.join(cfg.data.sources)}"
    begun = (
        f"a common start ({start.epochs} epochs on {start.identities} people of each of "
        f"{', '.join(start.sources)})"
        if start.sources
        else "random weights, each from its own"
    )
    return (
        f"{', '.join(cfg.adv.study.models)}, two networks of each: trained from {begun}, then "
        f"{train.max_epoch} epochs on {people}, {cfg.adv.schedule.warmup} of them warm-up; "
        f"{cfg.adv.virtual.test_identities} people tested, eps {cfg.adv.attack.eps:g}; seeds "
        f"{', '.join(map(str, cfg.adv.study.seeds))}."
    )


def _check(cfg: AdvConfig) -> None:
    check_one_data_set(cfg)
    labels = [spec.label for spec in parse_models(cfg.adv.study.models, trained=False)]
    unfit = next((label for label in labels if label.endswith(facts.SECOND)), "")
    if unfit:
        raise ConfigError(
            f"adv.study.models calls a network '{unfit}'; labels that end in '{facts.SECOND}' are "
            "reserved for second networks, choose another one"
        )


@STUDIES.register(
    "calibration",
    title="Calibration: do these networks behave as real ones?",
    check=_check,
    setting=setting,
    headline=facts.headline,
    summary=facts.summary,
    figures=facts.figures,
)
def calibration(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Attack two networks of each architecture, test all on the noise and on changed inputs.

    Args:
        cfg: ``adv.attack.*`` gives bound and steps; sides and names are set here.
        seed: of the first network of each architecture.
        specs: the first networks; with a single architecture there are no questions on black-box
            attacks and ensembles.
    """
    second = [
        replace(spec, label=spec.label + facts.SECOND)
        for spec in trained_models(cfg, seed + OTHER_SEED)
    ]
    return [
        *_gallery(cfg, seed, specs, second),
        *_query(cfg, seed, specs),
        *_inputs(cfg, seed, specs),
    ]


def _gallery(
    cfg: AdvConfig, seed: int, specs: Sequence[ModelSpec], second: Sequence[ModelSpec]
) -> Iterator[Reading]:
    """Yield the share of mAP that networks keep on noise made on one network and on two."""
    run_cfg = _table(cfg, [*specs, *second], "gallery", list(facts.GALLERY))
    cells = transfer(run_cfg)
    pairs = _pairs(specs, second)
    run_cfg.adv.transfer.attacked = pairs
    joint = transfer(run_cfg, _not_attacked) if pairs else []
    for cell in cells:
        if cell.attacked == cell.tested and cell.attack == "ifgsm":
            yield Reading(facts.CLEAN, cell.tested, "mAP", seed, float(cell.clean["mAP"]))
    for cell in [*cells, *joint]:
        if cell.tested != "ensemble":
            yield _kept(cell, facts.GALLERY[cell.attack], cell.attacked, cell.tested, seed)


def _not_attacked(attacked: str, tested: str) -> bool:
    return tested not in attacked.split("+")


def _pairs(specs: Sequence[ModelSpec], second: Sequence[ModelSpec]) -> list[str]:
    """Return the ensembles: an architecture's second network with another architecture's first."""
    pairs = zip(second, [*specs[-1:], *specs[:-1]], strict=True)
    return [f"{twin.label}+{other.label}" for twin, other in pairs if twin.name != other.name]


def _query(cfg: AdvConfig, seed: int, specs: Sequence[ModelSpec]) -> Iterator[Reading]:
    """Yield the mAP under white-box attacks on queries, and the share that defenses recover."""
    run_cfg = _table(cfg, specs, "query", list(QUERY_ATTACKS))
    run_cfg.adv.attack.side = "query"
    white = transfer(run_cfg, lambda attacked, tested: attacked == tested)
    for cell in white:
        yield _kept(cell, facts.QUERY, cell.tested, cell.attack, seed)
    for name, defense in _defenses(cfg).items():
        behind = transfer(run_cfg, lambda attacked, tested: attacked == tested, behind=defense)
        for cell, other in zip(white, behind, strict=True):
            lost = float(cell.clean["mAP"]) - float(cell.adversarial["mAP"])
            won = float(other.adversarial["mAP"]) - float(cell.adversarial["mAP"])
            if lost > 0:
                row = f"{cell.tested}, {name}"
                yield Reading(facts.WON, row, cell.attack, seed, won / lost)


def _inputs(cfg: AdvConfig, seed: int, specs: Sequence[ModelSpec]) -> Iterator[Reading]:
    """Yield the share of mAP that networks keep on changed inputs."""
    run_cfg = _table(cfg, specs, "inputs", [])
    run_cfg.adv.attack.side = "query"
    clean = clean_cells(run_cfg)
    views: dict[str, list[Cell]] = {
        "queries shifted by (-8, +8, +8)": _shifted(run_cfg, specs, _QueryShift()),
        "gray": clean_cells(run_cfg, behind=Gray()),
        "body only": clean_cells(run_cfg, behind=Crop(body=True)),
        "background only": clean_cells(run_cfg, behind=Crop(body=False)),
    }
    views |= {name: clean_cells(run_cfg, behind=d) for name, d in _defenses(cfg).items()}
    for name, cells in views.items():
        for cell, before in zip(cells, clean, strict=True):
            share = float(cell.clean["mAP"]) / max(float(before.clean["mAP"]), 1e-12)
            yield Reading(facts.INPUTS, cell.tested, name, seed, share)


class _OneSide(Grid):
    """Cells in which only the queries pass a view."""

    def _clean(self, specs: tuple[ModelSpec, ...], name: str) -> dict[str, Features]:
        plain, data, workers = self.model(specs[0]), self.data(name), self.cfg.data.workers
        assert self.behind is not None
        return {
            "query": extract(Defended(self.behind, plain), data.query, workers=workers),
            "gallery": extract(plain, data.gallery, workers=workers),
        }


class _QueryShift(ColorShift):
    """The shift of queries only; its class distinguishes it in the cells' key."""


def _shifted(cfg: AdvConfig, specs: Sequence[ModelSpec], view: Defense) -> list[Cell]:
    table, out = _OneSide(cfg, view), Path(cfg.data.save_dir)
    sets: list[ReIDData] = [table.data(name) for name in dict.fromkeys(cfg.data.targets)]
    plain_specs = parse_models([spec.entry for spec in specs])
    return [table.clean_cell(spec, data, out) for data in sets for spec in plain_specs]


def _defenses(cfg: AdvConfig) -> dict[str, Defense]:
    size = (cfg.data.height, cfg.data.width)
    preset = scaling(size)
    return {
        JPEG: build_defense("jpeg", quality=75),
        SCALING: build_defense(preset["name"], **preset["options"], final=list(size)),
    }


def _table(
    cfg: AdvConfig, specs: Sequence[ModelSpec], name: str, attacks: Sequence[str]
) -> AdvConfig:
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / name)
    run_cfg.adv.attack.side = "gallery"
    run_cfg.adv.transfer.models = [spec.entry for spec in specs]
    run_cfg.adv.transfer.attacks = list(attacks)
    run_cfg.adv.transfer.attacked = []
    return run_cfg


def _kept(cell: Cell, table: str, row: str, column: str, seed: int) -> Reading:
    return Reading(table, row, column, seed, cell.ratio)
