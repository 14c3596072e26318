"""What the papers on metric attacks claim of white box, transfer, metrics and references."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.experiments.claims import Comparison
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.matrix import write_matrix
from torchreid_adv.runs.grid import transfer

METRICS = ("euclidean", "xqda")
Means = dict[tuple[str, str, str], float]  # (attacked, attack, tested) -> mAP


@STUDIES.register("attacks", title="Metric attacks: what holds")
def attacks(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Comparison]:
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
    found = [
        *_strength(gallery, query, labels),
        *_transfer(gallery, labels),
        *_together(gallery | together, pairs, labels),
        *_metrics(cfg, specs),
    ]
    return [Comparison(claim, case, seed, *figures) for claim, case, *figures in found]


def _means(
    cfg: AdvConfig,
    specs: Sequence[ModelSpec],
    side: str,
    names: list[str],
    attacked: Sequence[str] = (),
) -> Means:
    own = _table(cfg, specs, "pairs" if attacked else side, names)
    own.adv.attack.side, own.adv.transfer.attacked = side, list(attacked)
    cells = transfer(own)
    write_matrix(Path(own.data.save_dir), cells)
    return {(c.attacked, c.attack, c.tested): float(c.adversarial["mAP"]) for c in cells}


def _table(cfg: AdvConfig, specs: Sequence[ModelSpec], name: str, attacks: list[str]) -> AdvConfig:
    """Return the config of a transfer table in a folder of its own."""
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / name)
    run_cfg.adv.transfer.models = [spec.entry for spec in specs]
    run_cfg.adv.transfer.attacks = attacks
    return run_cfg


Line = tuple[str, str, float, float]  # claim, case, the figure that should be smaller, the other


def _strength(gallery: Means, query: Means, labels: Sequence[str]) -> list[Line]:
    """White-box attacks on each model."""
    half = "the metric attack leaves less than half of what the attack on classes leaves"
    pairs = (
        ("white-box I-FGSM leaves no more than FGSM", gallery, "ifgsm", "fgsm", 1.0),
        ("LTA leaves no more than SMA", query, "lta", "sma", 1.0),
        ("LTA leaves no more than LTA-, its one fixed reference", query, "lta", "lta_minus", 1.0),
        (half, gallery, "ifgsm", "classification_ifgsm", 0.5),
    )
    return [
        (claim, label, means[label, smaller, label], share * means[label, larger, label])
        for claim, means, smaller, larger, share in pairs
        for label in labels
    ]


def _transfer(means: Means, labels: Sequence[str]) -> list[Line]:
    """One model attacked, another one tested."""
    white = "a white-box attack leaves less than one made on another model"
    momentum = "MI-FGSM transfers better than I-FGSM"
    lines = []
    for a, b in permutations(labels, 2):
        black = means[a, "ifgsm", b]
        lines.append((white, f"{a} on {b}", means[b, "ifgsm", b], black))
        lines.append((momentum, f"{a} on {b}", means[a, "mifgsm", b], black))
    return sorted(lines)


def _together(means: Means, pairs: Sequence[str], labels: Sequence[str]) -> list[Line]:
    """Two models attacked, a third one tested."""
    claim = "an ensemble of two transfers to the third better than the better one of them"
    return [
        (
            claim,
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
        own = _table(cfg, specs, "metrics", ["ifgsm"])
        own.test.dist_metric, own.adv.transfer.metrics = ranked, list(METRICS)
        cells = transfer(own, lambda attacked, tested: attacked == tested)
        means |= {(c.tested, c.metric, ranked): float(c.adversarial["mAP"]) for c in cells}
    claim = "attacking the metric that ranks leaves no more than attacking another one"
    return [
        (claim, f"{s.label}: {own}", means[s.label, own, own], means[s.label, other, own])
        for s in specs
        for other, own in permutations(METRICS, 2)
    ]
