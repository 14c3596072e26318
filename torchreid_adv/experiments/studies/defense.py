"""The mAP that the joint defense recovers, part by part, also under an attack through it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.defenses.circuitous_scaling import PRESETS, in_proportion
from torchreid_adv.experiments.claims import Claim, Line, Printed, PrintedCells, Reading, cases_of
from torchreid_adv.experiments.study import Found, trained_models
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.runs.attack_dataset import run_or_read
from torchreid_adv.runs.inputs import configured_dataset, load_spec

ATTACKS = ("ifgsm", "sma", "lta")
RECIPES = {"N": [], "CF": ["color"], "DL": ["diversity"]}  # transforms added to the config's
BEHIND = {"N": "CS", "DL": "JAD"}  # network -> its name behind circuitous scaling
CLEAN = "clean"
COST = 0.03  # mAP that a defense may cost and still count as free
Means = dict[tuple[str, str], float]  # (row, "clean" or attack) -> mAP

PARTS = "joint_defence.table5"
GROUPS = {  # claims on attacks rest on their own questions of the calibration
    "I-FGSM and SMA": ("ifgsm", "sma"),
    "LTA": ("lta",),
}
RESTS = {
    "I-FGSM and SMA": ("clean", "white-box I-FGSM, queries", "white-box SMA"),
    "LTA": ("clean", "white-box LTA"),
}


def _won(better: str, worse: str, attacks: Sequence[str]) -> Printed:
    """Return how much more mAP one row of table 5 keeps than another."""
    return Printed(
        (PARTS,),
        lambda mAP: mAP(tested=better, attack=attacks) - mAP(tested=worse, attack=attacks),
        "re-ranked",
    )


def _half(row: str, attacks: Sequence[str]) -> Printed:
    """Return how much mAP a row of table 5 recovers beyond half of N's loss."""

    def over(mAP: PrintedCells) -> float:
        under = mAP(tested="N", attack=attacks)
        return mAP(tested=row, attack=attacks) - (mAP(tested="N", attack="") + under) / 2

    return Printed((PARTS,), over, "re-ranked")


COSTS = Claim(
    "JAD costs at most 3 points of clean mAP",
    ("clean",),
    Printed(
        ("joint_defence.table3",),
        lambda mAP: COST - mAP(tested="N", rerank=False) + mAP(tested="JAD", rerank=False),
    ),
)
PRINTED = (("CF", "N"), ("DL", "CF"), ("JAD", "DL"))  # pairs of rows that the paper prints


@dataclass(frozen=True)
class Claims:
    """What is claimed under a group of attacks.

    Args:
        attacks: the group.
        keeps: (better row, worse row) -> claim.
        half: row -> that it recovers more than half of what N loses.
        through: that attacks through JAD are stronger.
        outlives: that JAD still helps under them.
    """

    attacks: tuple[str, ...]
    keeps: Mapping[tuple[str, str], Claim]
    half: Mapping[str, Claim]
    through: Claim
    outlives: Claim

    @classmethod
    def under(cls, group: str) -> Claims:
        """Return the claims of a group of attacks."""
        attacks, rests = GROUPS[group], RESTS[group]

        def claim(sentence: str, printed: Printed | None = None) -> Claim:
            return Claim(f"{group}: {sentence}", rests, printed)

        keeps = {
            pair: claim(f"{pair[0]} keeps more mAP than {pair[1]}", _won(*pair, attacks))
            for pair in PRINTED
        }
        recovers = "recovers more than half of what N loses"
        return cls(
            attacks,
            keeps | {("JAD", "CS"): claim("JAD keeps more mAP than CS")},
            {
                "CS": claim(f"CS {recovers}"),
                "JAD": claim(f"JAD {recovers}", _half("JAD", attacks)),
            },
            claim("an attack through JAD leaves less mAP than one that ignores it"),
            claim("more than half of what JAD recovers remains under an attack through it"),
        )

    def all(self) -> tuple[Claim, ...]:
        """Return them in the order of the page."""
        return (*self.keeps.values(), *self.half.values(), self.through, self.outlives)


UNDER = tuple(map(Claims.under, GROUPS))
CLAIMS = (COSTS, *(claim for group in UNDER for claim in group.all()))


@STUDIES.register("defense", title="The joint defense", claims=CLAIMS)
def defense(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Attack queries of N, CF and DL on the weights, and of N and DL also through the scaling.

    CF and DL are trained from N's start ``adv.study.longer`` times as long (twice in the paper).

    Args:
        cfg: its ``data.transforms`` are N's; ``adv.attack.*`` gives bound and steps.
        seed: of the training.
        specs: the networks, trained like N.
    """
    trained = {recipe: _trained(cfg, seed, specs, extra) for recipe, extra in RECIPES.items()}
    results: list[Found] = []
    for place, spec in enumerate(specs):
        means: Means = {}
        for recipe, networks in trained.items():
            means |= _measured(cfg, recipe, networks[place])
        prefix = f"{spec.label}: " if len(specs) > 1 else ""
        results += readings(means, seed, prefix)
        results += cases_of(claims(means), seed, prefix)
    return results


def _trained(
    cfg: AdvConfig, seed: int, specs: list[ModelSpec], extra: list[str]
) -> list[ModelSpec]:
    if not extra:
        return specs
    run_cfg = cfg.clone()
    run_cfg.data.transforms = [*cfg.data.transforms, *extra]
    run_cfg.train.max_epoch = round(cfg.adv.study.longer * cfg.train.max_epoch)
    return trained_models(run_cfg, seed, start=cfg)


def scaling(size: tuple[int, int]) -> dict[str, Any]:
    """Return the options of the scaling: JAD's sizes in proportion to a network's input.

    The paper's sizes are for inputs of 256 x 128, the size that it attacks.

    Args:
        size: height and width of the network's input.
    """
    sizes = [list(step) for step in in_proportion(PRESETS["jad"], size)]
    return {"name": "circuitous_scaling", "options": {"sizes": sizes}}


def _measured(cfg: AdvConfig, recipe: str, spec: ModelSpec) -> Means:
    """Return the mAP of a network, undefended and behind the scaling, for each attack."""
    size = spec.size or (cfg.data.height, cfg.data.width)
    preset = scaling(size) if recipe in BEHIND else {}
    means: Means = {}
    for attack in ATTACKS:
        runs = _run(cfg, recipe, spec, attack, preset)
        means[recipe, CLEAN] = _mean(runs, "clean")
        means[recipe, attack] = _mean(runs, "adversarial")
        if recipe in BEHIND:
            row = BEHIND[recipe]
            means[row, CLEAN] = _mean(runs, "defense", "clean")
            means[row, attack] = _mean(runs, "defense", "oblivious")
            means[f"{row}, adaptive", attack] = _mean(runs, "defense", "adaptive")
    return means


def _run(
    cfg: AdvConfig, recipe: str, spec: ModelSpec, attack: str, preset: dict[str, Any]
) -> dict[str, Any]:
    run_cfg = cfg.clone()
    run_cfg.adv.attack.name, run_cfg.adv.attack.side = attack, "query"
    if preset:
        run_cfg.merge_from_list(["adv.defense", preset])
    folder = Path(cfg.data.save_dir) / spec.label / recipe / attack
    run_cfg.data.save_dir = str(folder)
    model = load_spec(run_cfg, spec)
    facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
    targets = [configured_dataset(run_cfg, name) for name in dict.fromkeys(run_cfg.data.targets)]
    title = f"{spec.label}, {recipe}{', scaled' if preset else ''}: {attack}"
    return run_or_read(run_cfg, model, facts, targets, folder, title)


def _mean(runs: Mapping[str, Any], *keys: str) -> float:
    """Return a run's mAP, the mean over data sets."""
    values = []
    for results in runs.values():
        for key in keys:
            results = results[key]
        values.append(float(results["mAP"]))
    return statistics.fmean(values)


def readings(means: Means, seed: int, prefix: str = "") -> list[Found]:
    """Return the tables of mAP and of recovered shares.

    A share is a row's mAP minus N's under the attack, over N's loss to the attack.

    Args:
        means: of one network.
        seed: of the training.
        prefix: of the tables' titles.
    """
    mean, share = f"{prefix}mAP", f"{prefix}share of the mAP lost by N that is recovered"
    results: list[Found] = [Reading(mean, *place, seed, value) for place, value in means.items()]
    for (row, attack), value in means.items():
        lost = means["N", CLEAN] - means["N", attack]
        if row != "N" and attack != CLEAN and lost > 0:
            results.append(Reading(share, row, attack, seed, (value - means["N", attack]) / lost))
    return results


def claims(means: Means) -> Iterator[Line]:
    """Yield the paper's claims about the parts, and further claims about any defense."""
    cost = means["N", CLEAN] - means["JAD", CLEAN]
    yield COSTS, "JAD", cost, COST
    for group in UNDER:
        for attack in (name for name in ATTACKS if name in group.attacks):
            for (better, worse), claim in group.keeps.items():
                yield claim, attack, means[worse, attack], means[better, attack]
            yield from _defended(means, group, attack)


def _defended(means: Means, group: Claims, attack: str) -> Iterator[Line]:
    under = means["N", attack]
    oblivious, adaptive = means["JAD", attack], means["JAD, adaptive", attack]
    lost = _gain(means["N", CLEAN] - under)
    for row, claim in group.half.items():
        yield claim, attack, lost / 2, means[row, attack] - under
    yield group.through, attack, adaptive, oblivious
    yield group.outlives, attack, _gain(oblivious - under) / 2, adaptive - under


def _gain(difference: float) -> float:
    """Return a share of mAP, NaN if nothing was lost or recovered."""
    return difference if difference > 0 else math.nan
