"""Claims of the papers on metric attacks about white box, transfer, metrics and references."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.experiments.claims import Claim, Line, Printed, PrintedCells, Reading, cases_of
from torchreid_adv.experiments.study import Found
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.matrix import write_matrix
from torchreid_adv.runs.grid import transfer

METRICS = ("euclidean", "xqda")
BASE = ("B1", "B2", "B3", "B4")  # Bai et al.'s networks
TABLE, SINGLE = "bai2019.table2", "joint_defence.table1"
GALLERY, QUERIES = "white-box I-FGSM, gallery", ("white-box SMA", "white-box LTA", "LTA")
Means = dict[tuple[str, str, str], float]  # (attacked, attack, tested) -> mAP


def _better_member(single: PrintedCells, joint: PrintedCells) -> float:
    """Return how much more mAP an ensemble takes from the held-out network than its best member."""
    gains = []
    for left_out in BASE:
        members = [name for name in BASE if name != left_out]
        alone = min(single(attack="ifgsm", attacked=m, tested=left_out) for m in members)
        gains.append(alone - joint(attack="ifgsm", attacked=f"-{left_out}", tested=left_out))
    return statistics.fmean(gains)


STEPS = Claim(
    "White-box I-FGSM leaves less mAP than FGSM",
    ("clean", GALLERY),
    Printed((TABLE,), lambda mAP: mAP(white=True, attack="fgsm") - mAP(white=True, attack="ifgsm")),
)
WHITE = Claim(
    "I-FGSM leaves less mAP of the network it is made on than of another one",
    ("clean", GALLERY, "black-box I-FGSM"),
    Printed(
        (TABLE,),
        lambda mAP: mAP(white=False, attack="ifgsm", tested=BASE) - mAP(white=True, attack="ifgsm"),
    ),
)
MOMENTUM = Claim(
    "MI-FGSM leaves less mAP of another network than I-FGSM",
    ("clean", "black-box"),
    Printed(
        (TABLE,),
        lambda mAP: mAP(white=False, attack="ifgsm") - mAP(white=False, attack="mifgsm"),
    ),
)
ENSEMBLE = Claim(
    "An ensemble leaves less mAP of a further network than the better of its members",
    ("clean", "black-box I-FGSM", "ensemble, I-FGSM"),
    Printed((TABLE, "bai2019.table4"), _better_member, "ensembles of three"),
)
SAME_METRIC = Claim(
    "Attacking the metric that ranks leaves less mAP than attacking another one",
    ("clean", GALLERY),
)
LTA_SMA = Claim(
    "White-box LTA leaves less mAP than SMA",
    ("clean", *QUERIES),
    Printed((SINGLE,), lambda mAP: mAP(attack="sma") - mAP(attack="lta")),
)
LTA_MINUS = Claim(
    "White-box LTA leaves less mAP than LTA-, which has one fixed reference",
    ("clean", *QUERIES),
    Printed((SINGLE,), lambda mAP: mAP(attack="lta_minus") - mAP(attack="lta")),
)
CLASSES = Claim(
    "White-box I-FGSM leaves less than half the mAP that the attack on classes leaves",
    ("clean", GALLERY),
    Printed(
        ("bai2019.text",),
        lambda mAP: mAP(attack="classification_ifgsm") / 2 - mAP(attack="ifgsm"),
    ),
)
CLAIMS = (STEPS, WHITE, MOMENTUM, ENSEMBLE, SAME_METRIC, LTA_SMA, LTA_MINUS, CLASSES)


@STUDIES.register("attacks", title="Metric attacks", claims=CLAIMS)
def attacks(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Attack models and pairs of them, and compare.

    Args:
        cfg: the gallery is attacked as ``adv.attack.*`` says, the query by LTA and SMA.
        seed: of the models.
        specs: three models or more, two at the least.
    """
    gallery = _means(cfg, specs, "gallery", ["fgsm", "ifgsm", "mifgsm", "classification_ifgsm"])
    query = _means(cfg, specs, "query", ["lta", "lta_minus", "sma"])
    pairs = ["+".join((a.label, b.label)) for a, b in combinations(specs, 2)]
    together = _means(cfg, specs, "gallery", ["ifgsm"], pairs) if len(specs) > 2 else {}
    labels = [spec.label for spec in specs]
    lines = [
        *_strength(gallery, query, labels),
        *_transfer(gallery, labels),
        *_together(gallery | together, pairs, labels),
        *_metrics(cfg, specs),
    ]
    sides = {"gallery": gallery | together, "queries": query}
    return [*_readings(sides, seed), *cases_of(lines, seed)]


def _readings(sides: Mapping[str, Means], seed: int) -> Iterator[Reading]:
    """Yield the mAP under each attack: rows are attacked networks, columns tested ones."""
    for side, means in sides.items():
        for (attacked, attack, tested), value in means.items():
            table = f"mAP left by {attack} on the {side}"
            yield Reading(table, attacked, tested, seed, value)


def _means(
    cfg: AdvConfig,
    specs: Sequence[ModelSpec],
    side: str,
    names: list[str],
    attacked: Sequence[str] = (),
) -> Means:
    run_cfg = _table(cfg, specs, "pairs" if attacked else side, names)
    run_cfg.adv.attack.side, run_cfg.adv.transfer.attacked = side, list(attacked)
    cells = transfer(run_cfg)
    write_matrix(Path(run_cfg.data.save_dir), cells)
    return {(c.attacked, c.attack, c.tested): float(c.adversarial["mAP"]) for c in cells}


def _table(cfg: AdvConfig, specs: Sequence[ModelSpec], name: str, attacks: list[str]) -> AdvConfig:
    """Return the config of a transfer table in a separate folder."""
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / name)
    run_cfg.adv.transfer.models = [spec.entry for spec in specs]
    run_cfg.adv.transfer.attacks = attacks
    return run_cfg


def _strength(gallery: Means, query: Means, labels: Sequence[str]) -> list[Line]:
    """White-box attacks on each model."""
    pairs = (
        (STEPS, gallery, "ifgsm", "fgsm", 1.0),
        (LTA_SMA, query, "lta", "sma", 1.0),
        (LTA_MINUS, query, "lta", "lta_minus", 1.0),
        (CLASSES, gallery, "ifgsm", "classification_ifgsm", 0.5),
    )
    return [
        (claim, label, means[label, smaller, label], share * means[label, larger, label])
        for claim, means, smaller, larger, share in pairs
        for label in labels
    ]


def _transfer(means: Means, labels: Sequence[str]) -> list[Line]:
    """One model attacked, another one tested."""
    lines = []
    for a, b in permutations(labels, 2):
        black = means[a, "ifgsm", b]
        lines.append((WHITE, f"{a} on {b}", means[b, "ifgsm", b], black))
        lines.append((MOMENTUM, f"{a} on {b}", means[a, "mifgsm", b], black))
    return lines


def _together(means: Means, pairs: Sequence[str], labels: Sequence[str]) -> list[Line]:
    """Two models attacked, a third one tested."""
    return [
        (
            ENSEMBLE,
            f"{pair} on {third}",
            means[pair, "ifgsm", third],
            min(means[label, "ifgsm", third] for label in pair.split("+")),
        )
        for pair in pairs
        for third in labels
        if third not in pair.split("+") and (pair, "ifgsm", third) in means
    ]


def _metrics(cfg: AdvConfig, specs: Sequence[ModelSpec]) -> list[Line]:
    """One metric attacked, ranked by the same and by another one."""
    means: dict[tuple[str, str, str], float] = {}
    for ranked in METRICS:
        run_cfg = _table(cfg, specs, "metrics", ["ifgsm"])
        run_cfg.test.dist_metric, run_cfg.adv.transfer.metrics = ranked, list(METRICS)
        cells = transfer(run_cfg, lambda attacked, tested: attacked == tested)
        means |= {(c.tested, c.metric, ranked): float(c.adversarial["mAP"]) for c in cells}
    return [
        (
            SAME_METRIC,
            f"{s.label}: {metric}",
            means[s.label, metric, metric],
            means[s.label, other, metric],
        )
        for s in specs
        for other, metric in permutations(METRICS, 2)
    ]
