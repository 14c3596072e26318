"""LTA against SMA, factor by factor: momentum, patches, and the color of the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.experiments.claims import Claim, Line, Printed, Reading, cases_of
from torchreid_adv.experiments.study import Found
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.runs.grid import transfer

LEFT = "mAP left by white-box attacks on the queries"
CLEAN = "clean"


@dataclass(frozen=True)
class Variant:
    """An attack with one factor changed.

    Args:
        attack: registered name.
        options: that differ from the paper's.
    """

    attack: str
    options: dict[str, Any] = field(default_factory=dict)


VARIANTS = {
    "SMA": Variant("sma"),
    "SMA, momentum": Variant("sma", {"momentum": 1.0}),
    "LTA": Variant("lta"),
    "LTA, no momentum": Variant("lta", {"momentum": 0.0}),
    "LTA, released patches": Variant("lta", {"legacy": True}),
    "LTA, released patches, no momentum": Variant("lta", {"legacy": True, "momentum": 0.0}),
    "LTA, small patches": Variant("lta", {"area_max": 0.05}),
    "LTA, small patches, no momentum": Variant("lta", {"area_max": 0.05, "momentum": 0.0}),
    "LTA, shifted color": Variant("lta", {"patch": "shift"}),
    "LTA, shifted color, no momentum": Variant("lta", {"patch": "shift", "momentum": 0.0}),
}
RESTS = ("clean", "white-box SMA", "white-box LTA", "LTA")
PAPER = Printed(("joint_defence.table1",), lambda mAP: mAP(attack="sma") - mAP(attack="lta"))
PAIRS = {  # claim -> pairs of the variant that leaves less and the other one
    Claim("LTA leaves less mAP than SMA", RESTS, PAPER): (("LTA", "SMA"),),
    Claim("SMA leaves less mAP without momentum", RESTS): (("SMA", "SMA, momentum"),),
    Claim("LTA leaves less mAP without momentum", RESTS): (
        ("LTA, no momentum", "LTA"),
        ("LTA, released patches, no momentum", "LTA, released patches"),
        ("LTA, small patches, no momentum", "LTA, small patches"),
        ("LTA, shifted color, no momentum", "LTA, shifted color"),
    ),
    Claim("LTA leaves less mAP with the released code's patches", RESTS): (
        ("LTA, released patches", "LTA"),
        ("LTA, released patches, no momentum", "LTA, no momentum"),
    ),
    Claim("LTA leaves less mAP with patches of at most 5 % of the image", RESTS): (
        ("LTA, small patches", "LTA"),
        ("LTA, small patches, no momentum", "LTA, no momentum"),
    ),
    Claim("LTA leaves less mAP with patches of shifted color than with gray ones", RESTS): (
        ("LTA, shifted color", "LTA"),
        ("LTA, shifted color, no momentum", "LTA, no momentum"),
    ),
    Claim("Gray patches alone, without momentum, leave less mAP than SMA", RESTS): (
        ("LTA, no momentum", "SMA"),
        ("LTA, released patches, no momentum", "SMA"),
        ("LTA, small patches, no momentum", "SMA"),
    ),
}


@STUDIES.register("references", title="LTA against SMA, factor by factor", claims=tuple(PAIRS))
def references(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Attack the queries of each network by SMA and LTA, changing one factor at a time.

    Args:
        cfg: ``adv.attack.*`` gives the bound; steps and momentum are those of each attack.
        seed: of the networks.
        specs: the networks.
    """
    means: dict[tuple[str, str], float] = {}
    for name, variant in VARIANTS.items():
        run_cfg = _table(cfg, specs, name, variant)
        for cell in transfer(run_cfg, lambda attacked, tested: attacked == tested):
            means[cell.tested, CLEAN] = float(cell.clean["mAP"])
            means[cell.tested, name] = float(cell.adversarial["mAP"])
    rows = (CLEAN, *VARIANTS)
    readings: list[Found] = [
        Reading(LEFT, row, spec.label, seed, means[spec.label, row])
        for row in rows
        for spec in specs
    ]
    return [*readings, *cases_of(_lines(means, [spec.label for spec in specs]), seed)]


def _lines(means: dict[tuple[str, str], float], labels: list[str]) -> Iterator[Line]:
    for claim, pairs in PAIRS.items():
        for less, more in pairs:
            for label in labels:
                name = f"{label}: {less} against {more}"
                yield claim, name, means[label, less], means[label, more]


def _table(cfg: AdvConfig, specs: list[ModelSpec], name: str, variant: Variant) -> AdvConfig:
    run_cfg: AdvConfig = cfg.clone()
    folder = name.lower().replace(", ", "-").replace(" ", "_")
    run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / folder)
    run_cfg.adv.attack.side = "query"
    run_cfg.adv.attack.options = AdvConfig({variant.attack: variant.options}, new_allowed=True)
    run_cfg.adv.transfer.models = [spec.entry for spec in specs]
    run_cfg.adv.transfer.attacks, run_cfg.adv.transfer.attacked = [variant.attack], []
    return run_cfg
