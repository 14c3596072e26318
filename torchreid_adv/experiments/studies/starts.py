"""Transfer between networks of one architecture, from a common start and from separate starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv.attacks.fgsm import iteration_rule
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.claims import Claim, Line, Reading, cases_of
from torchreid_adv.experiments.study import Found, trained_models
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.matrix import Cell
from torchreid_adv.runs.grid import transfer

TWIN, APART = "-2", "-apart"  # ends of labels: the same start, another start
OTHER_SEED = 1000  # as in the calibration, so both have the same second networks
ATTACKS = {"ifgsm": "I-FGSM", "mifgsm": "MI-FGSM", "difgsm": "M-DI-FGSM"}
COMMON, OWN = "common start", "own starts"
KEPT = "Share of its clean mAP that a network keeps on noise made on another one"
CLEAN = "mAP, clean"
RESTS = ("clean", "gray-box I-FGSM")
MOMENTUM_RESTS = (*RESTS, "gray-box MI-FGSM")
Means = dict[tuple[str, str, str], float]  # (attacked, attack, tested) -> share that is kept

START = Claim("Noise leaves less of a network that shares its start than of another", RESTS)
MOMENTUM = {
    start: Claim(f"MI-FGSM leaves less than I-FGSM: {start}", MOMENTUM_RESTS)
    for start in (COMMON, OWN)
}
DIVERSITY = {
    start: Claim(f"M-DI-FGSM leaves less than MI-FGSM: {start}", MOMENTUM_RESTS)
    for start in (COMMON, OWN)
}
ENSEMBLE = Claim("An ensemble leaves less than the better of its members", RESTS)
CLAIMS = (START, *MOMENTUM.values(), *DIVERSITY.values(), ENSEMBLE)


def _check(cfg: AdvConfig) -> None:
    if not cfg.adv.start.sources:
        raise ConfigError("study starts compares starts; name people in adv.start.sources")


@STUDIES.register("starts", title="Transfer and the start of networks", claims=CLAIMS, check=_check)
def starts(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Attack three networks of an architecture, two of them with a common start, and test all.

    The third is trained like the others, from a start with another ``adv.start.seed``.

    Args:
        cfg: ``adv.attack.*`` gives bound and side.
        seed: of the first network and of the one with another start.
        specs: the first network of each architecture.
    """
    twins = trained_models(cfg, seed + OTHER_SEED)
    apart = trained_models(_other_start(cfg), seed)
    results: list[Found] = []
    for spec, twin, other in zip(specs, twins, apart, strict=True):
        three = [
            spec,
            replace(twin, label=spec.label + TWIN),
            replace(other, label=spec.label + APART),
        ]
        results += _found(cfg, three, seed)
    return results


def _other_start(cfg: AdvConfig) -> AdvConfig:
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.start.seed = cfg.adv.start.seed + 1
    return run_cfg


def _found(cfg: AdvConfig, three: Sequence[ModelSpec], seed: int) -> Iterator[Found]:
    cells = _cells(cfg, three)
    clean = {cell.tested: float(cell.clean["mAP"]) for cell in cells}
    means = {(c.attacked, c.attack, c.tested): c.ratio for c in cells}
    for label, value in clean.items():
        yield Reading(CLEAN, label, "mAP", seed, value)
    for (attacked, attack, tested), value in means.items():
        yield Reading(f"{KEPT}: {attack}", attacked, tested, seed, value)
    yield from cases_of(_lines(means, [spec.label for spec in three]), seed)


def _cells(cfg: AdvConfig, three: Sequence[ModelSpec]) -> list[Cell]:
    run_cfg: AdvConfig = cfg.clone()
    label = three[0].label
    run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / label)
    run_cfg.adv.transfer.models = [spec.entry for spec in three]
    run_cfg.adv.transfer.attacks, run_cfg.adv.transfer.attacked = list(ATTACKS), []
    steps = iteration_rule(from_levels(cfg.adv.attack.eps))  # as many as in the other attacks
    run_cfg.adv.attack.options = AdvConfig({"difgsm": {"steps": steps}}, new_allowed=True)
    single = transfer(run_cfg)
    first, twin, apart = (spec.label for spec in three)
    run_cfg.adv.transfer.attacked = [f"{first}+{apart}", f"{twin}+{apart}", f"{first}+{twin}"]
    run_cfg.adv.transfer.attacks = ["ifgsm"]  # as in the paper's ensembles
    joint = transfer(run_cfg, lambda attacked, tested: tested not in attacked.split("+"))
    return [*single, *(cell for cell in joint if cell.tested != "ensemble")]


def _lines(means: Means, labels: Sequence[str]) -> Iterator[Line]:
    first, twin, apart = labels
    near, far = [(first, twin), (twin, first)], [(apart, first), (apart, twin)]
    for attack, name in ATTACKS.items():
        for (attacked, tested), (other, _) in zip(near, reversed(far), strict=True):
            case = f"{name} on {tested}"
            yield START, case, means[attacked, attack, tested], means[other, attack, tested]
    for start, pairs in ((COMMON, near), (OWN, [*far, (first, apart), (twin, apart)])):
        for attacked, tested in pairs:
            case = f"{attacked} on {tested}"
            plain, momentum, varied = (means[attacked, attack, tested] for attack in ATTACKS)
            yield MOMENTUM[start], case, momentum, plain
            yield DIVERSITY[start], case, varied, momentum
    for (attacked, attack, tested), value in means.items():
        members = attacked.split("+")
        if len(members) > 1:
            better = min(means[member, attack, tested] for member in members)
            yield ENSEMBLE, f"{ATTACKS[attack]}, {attacked} on {tested}", value, better
