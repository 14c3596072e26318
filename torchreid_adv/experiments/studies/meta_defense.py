"""Claims about MetaDefense: under its training attack, unseen attacks, and adaptive ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.experiments.claims import Case, Claim, Printed, Reading
from torchreid_adv.experiments.learned import (
    LearnedAttack,
    SourceModel,
    learned,
    way,
)
from torchreid_adv.experiments.study import Found
from torchreid_adv.experiments.universal_scores import UniversalScores
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.runs.attack_dataset import run_or_read
from torchreid_adv.runs.inputs import configured_dataset, load_spec

CLEAN, AGAIN, WHITE = "clean", "both, learned again", "I-FGSM, white-box"
KINDS = ("color", "delta", "both")  # each learned with a meta-test against the normal network
# row -> the attack of the training, and the way of training
DEFENDED: dict[str, tuple[str, str]] = {
    "AT": ("both", "source"),
    "joined": ("both", "joined"),
    "M(color)": ("color", "meta"),
    "M(delta)": ("delta", "meta"),
    "M(both)": ("both", "meta"),
}
NORMAL, FULL = "N", "M(both)"
# the paper continues training the network that the attack was learned on, with both losses
TRAINING: dict[str, Any] = {
    "loss.name": "triplet",
    "loss.triplet.margin": 0.5,
    "loss.triplet.weight_t": 1.0,
    "loss.triplet.weight_x": 1.0,
    "sampler.train_sampler": "RandomIdentitySampler",
    "sampler.num_instances": 4,
    "train.lr": 0.0003,
}
COST = 0.05  # mAP that a defense may cost
Means = dict[tuple[str, str], float]  # (row, column) -> mAP
Line = tuple[Claim, float, float]  # claim, the value that should be smaller, the other

OTHER = ("clean", "gray-box I-FGSM")  # attacks are learned on N, from which all rows start
FROM_N, LEARNING = "meta.table13", "meta.table17"


def _more(table: str, row: str, better: str, attack: str = "meta both") -> Printed:
    """Return how much more mAP one network keeps than another, under an attack on IDE."""
    return Printed(
        (table,), lambda mAP: mAP(tested=better, attack=attack) - mAP(tested=row, attack=attack)
    )


SEEN = {
    kind: Claim(
        f"{FULL} keeps more mAP than {NORMAL} under {words}",
        OTHER,
        _more(FROM_N, "IDE", "M_CD", f"meta {kind}"),
    )
    for kind, words in {
        "color": "the color alone, which it did not see",
        "delta": "the delta alone, which it did not see",
        "both": "the attack it saw",
    }.items()
}
BETTER = {
    "AT": Claim(
        f"{FULL} keeps more mAP than adversarial training",
        OTHER,
        _more(LEARNING, "M_adv", "M_CD"),
    ),
    "joined": Claim(
        f"{FULL} keeps more mAP than adversarial training on joined data",
        OTHER,
        _more(LEARNING, "M_joint", "M_CD"),
    ),
    "M(color)": Claim(
        f"{FULL} keeps more mAP than M(color) under both", OTHER, _more(FROM_N, "M_C", "M_CD")
    ),
    "M(delta)": Claim(
        f"{FULL} keeps more mAP than M(delta) under both", OTHER, _more(FROM_N, "M_D", "M_CD")
    ),
}
COSTS = Claim(
    f"{FULL} costs at most 5 points of clean mAP",
    ("clean",),
    Printed(
        (FROM_N,),
        lambda mAP: COST - mAP(tested="IDE", attack="") + mAP(tested="M_CD", attack=""),
    ),
)
OUTLIVES = Claim(
    f"More than half of what {FULL} keeps remains under an attack learned on it",
    ("clean", "white-box I-FGSM, queries"),
)
IMAGE = Claim(
    f"{FULL} keeps more mAP than {NORMAL} under white-box I-FGSM",
    ("clean", "white-box I-FGSM, queries"),
)
CLAIMS = (*SEEN.values(), *BETTER.values(), COSTS, OUTLIVES, IMAGE)


@STUDIES.register("meta_defense", title="MetaDefense", claims=CLAIMS, orders=True)
def meta_defense(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Continue training each network against universal attacks, and attack the results.

    Args:
        cfg: ``adv.meta.virtual`` is the meta-test set of attacks and defenses.
        seed: of all trainings.
        specs: the normal networks.
    """
    results: list[Found] = []
    for spec in specs:
        means = _means(cfg, spec)
        title = f"mAP of {spec.label}" if len(specs) > 1 else "mAP"
        results += [Reading(title, *place, seed, value) for place, value in means.items()]
        results += [
            Case(claim, spec.label, seed, less, more) for claim, less, more in claims(means)
        ]
    return results


def claims(means: Means) -> Iterator[Line]:
    """Yield the paper's claims, and further claims about any defense."""
    for kind, claim in SEEN.items():
        yield claim, means[NORMAL, kind], means[FULL, kind]
    for row, claim in BETTER.items():
        yield claim, means[row, "both"], means[FULL, "both"]
    yield COSTS, means[NORMAL, CLEAN] - means[FULL, CLEAN], COST
    half = (means[FULL, "both"] or math.nan) / 2  # undefined for a value of 0
    yield OUTLIVES, half, means[FULL, AGAIN]
    yield IMAGE, means[NORMAL, WHITE], means[FULL, WHITE]


def _means(cfg: AdvConfig, spec: ModelSpec) -> Means:
    out, data = Path(cfg.data.save_dir) / spec.label, cfg.data.sources[0]
    normal = SourceModel(NORMAL, data, replace(spec, label=f"{NORMAL}-{data}"))
    ways = {kind: way(kind, "meta", float(cfg.adv.attack.eps)) for kind in KINDS}
    attacks = {kind: learned(cfg, normal, recipe, out) for kind, recipe in ways.items()}
    known = [normal]
    for row, (kind, learning) in DEFENDED.items():
        weights = _trained(cfg, spec, attacks[kind], learning)
        known.append(SourceModel(row, data, replace(spec, label=f"{row}-{data}", weights=weights)))
    scores = UniversalScores(cfg, known, out)
    means: Means = {}
    for victim in known:
        cells = {kind: scores.attacked(attack, victim) for kind, attack in attacks.items()}
        means[victim.model, CLEAN] = float(cells["both"].clean["mAP"])
        again = attacks["both"] if victim == normal else learned(cfg, victim, ways["both"], out)
        cells[AGAIN] = scores.attacked(again, victim)
        for column, cell in cells.items():
            means[victim.model, column] = float(cell.adversarial["mAP"])
        means[victim.model, WHITE] = _white(cfg, victim, out)
    return means


def _trained(cfg: AdvConfig, spec: ModelSpec, attack: LearnedAttack, learning: str) -> str:
    """Continue training a network against an attack, in the run's batch order."""
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.model.name, run_cfg.model.load_weights = spec.name, spec.weights
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    for key, value in TRAINING.items():
        section, _, leaf = key.rpartition(".")
        lookup(run_cfg, section)[leaf] = value
    if learning == "joined":
        run_cfg.data.sources = [*run_cfg.data.sources, run_cfg.adv.meta.virtual]
    run_cfg.adv.engine = "meta_defense"
    run_cfg.adv.attack.update(name="universal", weights=str(attack.file))
    run_cfg.adv.attack.update(step_size=None, steps=None, momentum=None)
    run_cfg.adv.meta.learning, run_cfg.adv.meta.iterations = learning, 0
    return str(trained_weights(run_cfg))


def _white(cfg: AdvConfig, victim: SourceModel, out: Path) -> float:
    """Return the mAP under I-FGSM on the network itself."""
    run_cfg, folder = cfg.clone(), out / "white" / victim.model
    run_cfg.data.save_dir, run_cfg.adv.attack.name = str(folder), "ifgsm"
    model = load_spec(run_cfg, victim.spec)
    facts = {"name": victim.spec.name, "weights": victim.spec.weights, "size": list(model.size)}
    targets = [configured_dataset(run_cfg, victim.data)]
    runs = run_or_read(run_cfg, model, facts, targets, folder, f"{victim.model}: I-FGSM")
    return float(runs[victim.data]["adversarial"]["mAP"])
