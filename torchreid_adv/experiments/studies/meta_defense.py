"""What is claimed of MetaDefense: under the attack it saw, unseen ones, and ones that know it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.experiments.claims import Comparison, Reading
from torchreid_adv.experiments.learned import Learned, UniversalScores, Victim, learned, way
from torchreid_adv.experiments.study import Found
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.runs.attack_dataset import kept_run
from torchreid_adv.runs.inputs import configured_dataset, load_spec

CLEAN, AGAIN, WHITE = "clean", "both, learned again", "I-FGSM, white-box"
KINDS = ("color", "delta", "both")  # each learned with a meta-test against the normal network
# row -> the attack that is trained against, and how
DEFENDED: dict[str, tuple[str, str]] = {
    "AT": ("both", "source"),
    "joined": ("both", "joined"),
    "M(color)": ("color", "meta"),
    "M(delta)": ("delta", "meta"),
    "M(both)": ("both", "meta"),
}
NORMAL, FULL = "N", "M(both)"
# the paper trains on from the network that the attack was learned on, by both losses
TRAINING: dict[str, Any] = {
    "loss.name": "triplet",
    "loss.triplet.margin": 0.5,
    "loss.triplet.weight_t": 1.0,
    "loss.triplet.weight_x": 1.0,
    "sampler.train_sampler": "RandomIdentitySampler",
    "sampler.num_instances": 4,
    "train.lr": 0.0003,
}
COST = 0.05  # of mAP that a defense may cost
Means = dict[tuple[str, str], float]  # (row, column) -> mAP
Line = tuple[str, float, float]  # claim, the figure that should be smaller, the other


@STUDIES.register("meta_defense", title="MetaDefense: what holds")
def meta_defense(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Train each network on against universal attacks, attack the results, also knowing them.

    Args:
        cfg: ``adv.meta.virtual`` is the meta-test set of attacks and defenses.
        seed: of all trainings.
        specs: the normal networks.
    """
    found: list[Found] = []
    for spec in specs:
        means = _means(cfg, seed, spec)
        title = f"mAP of {spec.label}" if len(specs) > 1 else "mAP"
        found += [Reading(title, *place, seed, value) for place, value in means.items()]
        found += [Comparison(claim, spec.label, seed, *pair) for claim, *pair in claims(means)]
    return found


def claims(means: Means) -> Iterator[Line]:
    """Yield what the paper claims, and what has to be asked of a defense besides."""
    for kind in KINDS:
        seen = "the attack it saw" if kind == "both" else f"{kind} alone, which it did not see"
        pair = means[NORMAL, kind], means[FULL, kind]
        yield f"{FULL} holds more than {NORMAL} under {seen}", *pair
    for row, words in (("AT", "adversarial training"), ("joined", "the same on joined data")):
        yield f"{FULL} holds more than {words}", means[row, "both"], means[FULL, "both"]
    for row in ("M(color)", "M(delta)"):
        yield f"{FULL} holds more than {row} under both", means[row, "both"], means[FULL, "both"]
    cost = means[NORMAL, CLEAN] - means[FULL, CLEAN]
    yield f"{FULL} costs no more than 5 points of clean mAP", cost, COST
    half = (means[FULL, "both"] or math.nan) / 2  # of nothing there is no half
    yield f"half of what {FULL} holds outlives an attack learned on it", half, means[FULL, AGAIN]
    white = means[NORMAL, WHITE], means[FULL, WHITE]
    yield f"{FULL} holds more than {NORMAL} under a white-box attack", *white


def _means(cfg: AdvConfig, seed: int, spec: ModelSpec) -> Means:
    out, data = Path(cfg.data.save_dir) / spec.label, cfg.data.sources[0]
    normal = Victim(NORMAL, data, replace(spec, label=f"{NORMAL}-{data}"))
    ways = {kind: way(kind, "meta", float(cfg.adv.attack.eps)) for kind in KINDS}
    attacks = {kind: learned(cfg, normal, one, out) for kind, one in ways.items()}
    known = [normal]
    for row, (kind, learning) in DEFENDED.items():
        weights = _trained(cfg, seed, spec, attacks[kind], learning)
        known.append(Victim(row, data, replace(spec, label=f"{row}-{data}", weights=weights)))
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


def _trained(cfg: AdvConfig, seed: int, spec: ModelSpec, attack: Learned, learning: str) -> str:
    """Train a network on against an attack; return the weights."""
    own: AdvConfig = cfg.clone()
    own.model.name, own.model.load_weights, own.train.seed = spec.name, spec.weights, seed
    if spec.size:
        own.data.height, own.data.width = spec.size
    for key, value in TRAINING.items():
        section, _, leaf = key.rpartition(".")
        lookup(own, section)[leaf] = value
    if learning == "joined":
        own.data.sources = [*own.data.sources, own.adv.meta.virtual]
    own.adv.engine = "meta_defense"
    own.adv.attack.update(name="universal", weights=str(attack.file))
    own.adv.attack.update(step_size=None, steps=None, momentum=None)
    own.adv.meta.learning, own.adv.meta.iterations = learning, 0
    return str(trained_weights(own))


def _white(cfg: AdvConfig, victim: Victim, out: Path) -> float:
    """Return the mAP under I-FGSM on the network itself."""
    own, folder = cfg.clone(), out / "white" / victim.model
    own.data.save_dir, own.adv.attack.name = str(folder), "ifgsm"
    model = load_spec(own, victim.spec)
    facts = {"name": victim.spec.name, "weights": victim.spec.weights, "size": list(model.size)}
    targets = [configured_dataset(own, victim.data)]
    runs = kept_run(own, model, facts, targets, folder, f"{victim.model}: I-FGSM")
    return float(runs[victim.data]["adversarial"]["mAP"])
