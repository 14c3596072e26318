"""Robust training at about the price of normal training: what each method costs and keeps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.evaluation import RetrievalResult
from torchreid_adv.evaluation.result import Scores
from torchreid_adv.experiments.claims import Claim, Line, Reading, cases_of
from torchreid_adv.experiments.frontier import Point, frontier_figure
from torchreid_adv.experiments.study import Found, check_one_data_set
from torchreid_adv.experiments.training_cost import update_seconds, updates_of
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.page import PageFigure
from torchreid_adv.runs.folder import machinery
from torchreid_adv.runs.grid import Grid
from torchreid_adv.runs.grid_attack import grid_attacks

PLAIN, PGD = "plain", "pgd"
FEW = 2  # steps of the defenses of metric learning, at the cheap end
TRIPLETS = ("act", "hm")  # which add a triplet loss
TRIPLET_LOSS = ["loss.triplet.margin", 0.2, "loss.triplet.weight_t", 1.0]
TRIPLET_LOSS += ["loss.triplet.weight_x", 1.0]
METHODS: dict[str, dict[str, Any]] = {  # method -> keys of adv.training
    PLAIN: {},
    "universal_free": {},
    "free": {},
    "fgsm_rs": {},
    "n_fgsm": {},
    "atas": {},
    "gradalign": {},
    "est": {"steps": FEW, "objective": "self"},
    "act": {"steps": FEW, "objective": "self"},
    "hm": {"steps": FEW, "objective": "self"},
    PGD: {"steps": 7},
}
NAMES = {
    PLAIN: "plain",
    "universal_free": "fast universal",
    "free": "Free-AT",
    "fgsm_rs": "FGSM-RS",
    "n_fgsm": "N-FGSM",
    "atas": "ATAS",
    "gradalign": "GradAlign",
    "est": f"EST-{FEW}",
    "act": f"ACT-{FEW}",
    "hm": f"HM-{FEW}",
    PGD: "PGD-7",
}
CLEAN_START, RANDOM_START = "from a clean network", "from random weights"
MAP, COST = "mAP", "Cost of a weight update"
SPREAD = "Standard deviation of identities' average precision"
MEASURES = {"ifgsm": "I-FGSM", "pgd": "PGD-20"}
STEPS_COLUMN = "plain steps"

RESTS = ("clean", "white-box I-FGSM")
SHARE, PRICE, LOSS = 0.9, 2.0, 0.03
CHEAP_SHARE, CHEAP_PRICE = 0.6, 1.2
GOALS = {  # method -> share of PGD-7's robust mAP, plain steps
    "fgsm_rs": (SHARE, PRICE),
    "n_fgsm": (SHARE, PRICE),
    "atas": (SHARE, PRICE),
    "free": (CHEAP_SHARE, CHEAP_PRICE),
}
ROBUST = {
    method: Claim(
        f"{NAMES[method]} from a clean network keeps at least {100 * share:g} % of PGD-7's mAP "
        "under PGD-20",
        RESTS,
    )
    for method, (share, _) in GOALS.items()
}
ACCURATE = {
    method: Claim(
        f"{NAMES[method]} from a clean network has at most {100 * LOSS:g} points less clean mAP "
        "than PGD-7",
        ("clean",),
    )
    for method in GOALS
}
CHEAP = {
    method: Claim(
        f"A weight update of {NAMES[method]} costs at most {price:g} plain steps (difference in "
        "steps times 100)",
        (),
        margin=0.05,
    )
    for method, (_, price) in GOALS.items()
}
START = Claim(
    "FGSM-RS keeps more mAP under PGD-20 from a clean network than from random weights", RESTS
)
UNIVERSAL = Claim("Fast universal training keeps more mAP under PGD-20 than plain training", RESTS)
CLAIMS = (*ROBUST.values(), *ACCURATE.values(), *CHEAP.values(), START, UNIVERSAL)
Values = Mapping[tuple[str, str], Mapping[str, float]]  # (start, method) -> measure -> value


def setting(cfg: AdvConfig) -> str:
    """Say how networks are trained and attacked."""
    study, train = cfg.adv.study, cfg.train
    random = f"; from random weights {_random_epochs(cfg)} with a rising bound" * study.from_random
    return (
        f"{', '.join(cfg.data.targets)}, {cfg.adv.virtual.train_identities} people trained on; "
        f"{', '.join(study.models)}; {train.max_epoch} plain epochs, then {study.robust_epochs} of "
        f"each method{random}; eps {cfg.adv.training.eps:g} in training and "
        f"{cfg.adv.attack.eps:g} in the test; the {cfg.adv.attack.side} is attacked through the "
        f"network that is tested; seeds {', '.join(map(str, study.seeds))}."
    )


def figures(readings: Sequence[Reading]) -> dict[str, PageFigure]:
    """Return the frontier: robust mAP against cost."""
    costs = {(r.row, r.seed): r.value for r in readings if r.column == STEPS_COLUMN}
    robust = [r for r in readings if (r.table, r.column) == (MAP, MEASURES["pgd"])]
    groups: dict[str, dict[str, list[Point]]] = {}
    for reading in robust:
        name, _, start = reading.row.partition(", ")
        if (name, reading.seed) in costs:
            points = groups.setdefault(start, {}).setdefault(name, [])
            points.append((costs[name, reading.seed], reading.value))
    if not groups:
        return {}
    pgd = [r.value for r in robust if r.row == f"{NAMES[PGD]}, {CLEAN_START}"]
    shares = ((PRICE, SHARE), (CHEAP_PRICE, CHEAP_SHARE))
    goals = [(price, share * statistics.fmean(pgd)) for price, share in shares] if pgd else []
    drawn = frontier_figure(groups, goals)
    caption = (
        "Each dot is a method, mean over runs. The line joins the methods that no other method "
        "beats at their cost; dashed corners are the goals of the claims."
    )
    alt = "Robust mAP against the cost of a weight update"
    return {"frontier": PageFigure(drawn, alt, caption, wide=True)}


def check(cfg: AdvConfig) -> None:
    """Refuse methods that are not trained here, and several data sets.

    Raises:
        ConfigError: one of them.
    """
    for name in cfg.adv.study.methods:
        if name not in METHODS:
            raise ConfigError(
                f"adv.study.methods names '{name}', which the study does not train"
                f"{suggest(name, METHODS)}"
            )
    check_one_data_set(cfg)


@STUDIES.register(
    "cheap_training",
    title="Robust training at about the price of normal training",
    check=check,
    claims=CLAIMS,
    setting=setting,
    figures=figures,
)
def cheap_training(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Train a network robustly by each method, attack each through itself, and time a step.

    Args:
        cfg: ``adv.study.methods`` names the methods, ``adv.training.*`` what they share,
            ``adv.attack.*`` bound and side of the test.
        seed: of all trainings.
        specs: the clean models.
    """
    outcomes: list[Found] = []
    for spec in specs:
        values = dict(_measured(cfg, spec, seed))
        costs = _costs(cfg, spec)
        prefix = f"{spec.label}: " if len(specs) > 1 else ""
        outcomes += _readings(values, costs, seed, prefix)
        outcomes += cases_of(lines(values, costs), seed, prefix)
    return outcomes


def method_config(
    cfg: AdvConfig, spec: ModelSpec, method: str, *, random: bool = False
) -> AdvConfig:
    """Return the config of one training.

    Args:
        cfg: of the study.
        spec: the clean network.
        method: a key of :data:`METHODS`.
        random: train from random weights, for all epochs, under a rising bound.
    """
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.model.name = spec.name
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    run_cfg.model.load_weights = "" if random else spec.weights
    epochs = _random_epochs(cfg) if random else cfg.adv.study.robust_epochs
    run_cfg.train.lr = cfg.train.lr if random else cfg.adv.study.robust_lr
    run_cfg.adv.engine = "" if method == PLAIN else "adversarial_training"
    run_cfg.adv.training.method = PGD if method == PLAIN else method
    for key, value in METHODS[method].items():
        run_cfg.adv.training[key] = value
    if method in TRIPLETS:
        run_cfg.loss.name, run_cfg.sampler.train_sampler = "triplet", "RandomIdentitySampler"
        run_cfg.merge_from_list(TRIPLET_LOSS)
    if METHODS[method].get("steps") == FEW:
        run_cfg.adv.training.step_size = cfg.adv.training.eps / FEW
    run_cfg.train.max_epoch = max(1, math.ceil(epochs / updates_of(run_cfg)))
    run_cfg.adv.schedule.warmup = 0  # of the clean network's rate
    if random:
        run_cfg.adv.training.warmup = max(1, run_cfg.train.max_epoch // 3)
    return run_cfg


def _random_epochs(cfg: AdvConfig) -> int:
    return int(cfg.train.max_epoch + cfg.adv.study.robust_epochs)


def _measured(
    cfg: AdvConfig, spec: ModelSpec, seed: int
) -> Iterator[tuple[tuple[str, str], dict[str, float]]]:
    starts = {CLEAN_START: False} | ({RANDOM_START: True} if cfg.adv.study.from_random else {})
    for start, random in starts.items():
        for method in cfg.adv.study.methods:
            run_cfg = method_config(cfg, spec, method, random=random)
            run_cfg.train.seed = seed
            weights = str(trained_weights(run_cfg))
            trained = replace(spec, label=f"{method}{'_random' * random}", weights=weights)
            yield (start, method), _attacked(cfg, spec.label, trained)


def _attacked(cfg: AdvConfig, folder: str, spec: ModelSpec) -> dict[str, float]:
    """Return mAP and spread of a network, clean and attacked through itself."""
    test_cfg: AdvConfig = cfg.clone()
    out = Path(cfg.data.save_dir) / folder
    test_cfg.data.save_dir = str(out)
    if spec.size:
        test_cfg.data.height, test_cfg.data.width = spec.size
    test_cfg.adv.transfer.models, test_cfg.adv.transfer.attacked = [spec.entry], []
    test_cfg.adv.transfer.attacks = list(MEASURES)
    table, values = _IdentityGrid(test_cfg), {}
    data = table.data(test_cfg.data.targets[0])
    for grid_attack in grid_attacks(test_cfg, [spec]):
        table.attack(grid_attack, [data], out)
        cell = table.cell(grid_attack, spec, data, out)
        for name, scores in (
            ("clean", cell.clean),
            (MEASURES[grid_attack.attack], cell.adversarial),
        ):
            values[name] = float(scores["mAP"])
            values[f"{name}, spread"] = float(scores["identity_spread"])
    return values


class _IdentityGrid(Grid):
    """Cells that also hold the spread over identities."""

    further = ("identity_spread",)

    def measures(self, scores: Scores) -> dict[str, Any]:
        """Return the measures and the spread over identities."""
        return {**scores.to_dict(), "identity_spread": identity_spread(scores.plain)}


def identity_spread(result: RetrievalResult) -> float:
    """Return the standard deviation over identities of their mean average precision, [0, 1]."""
    valid = result.valid
    pids, precision = result.pids[valid], result.average_precision[valid]
    means = [float(precision[pids == pid].mean()) for pid in np.unique(pids)]
    return statistics.stdev(means) if len(means) > 1 else 0.0


def _costs(cfg: AdvConfig, spec: ModelSpec) -> dict[str, float]:
    """Return the processor seconds of a weight update of each method, measured once and kept."""
    configs = {
        method: method_config(cfg, spec, method) for method in (PLAIN, *cfg.adv.study.methods)
    }
    facts = {method: config.plain(run_cfg.adv.training) for method, run_cfg in configs.items()}
    key = Key.of(
        machinery=machinery(),
        network=[spec.name, cfg.data.height, cfg.data.width, cfg.train.batch_size],
        loss=config.plain(cfg.loss),
        instances=cfg.sampler.num_instances,
        configs=facts,
    )
    cache = Cache(Path(cfg.data.save_dir) / "cost")
    return {
        method: float(v)
        for method, v in cache.json("", key, lambda: update_seconds(configs)).items()
    }


def _readings(
    values: Values, costs: Mapping[str, float], seed: int, prefix: str
) -> Iterator[Reading]:
    for (start, method), measures in values.items():
        row = f"{prefix}{NAMES[method]}, {start}"
        for column in ("clean", *MEASURES.values()):
            yield Reading(MAP, row, column, seed, measures[column])
            yield Reading(SPREAD, row, column, seed, measures[f"{column}, spread"])
    for method, seconds in costs.items():
        row = f"{prefix}{NAMES[method]}"
        yield Reading(COST, row, "processor seconds", seed, seconds, "number")
        yield Reading(COST, row, STEPS_COLUMN, seed, seconds / costs[PLAIN], "number")


def lines(values: Values, costs: Mapping[str, float]) -> Iterator[Line]:
    """Yield the claims with the value that should be smaller and the other one.

    Args:
        values: (start, method) -> ``clean``, ``I-FGSM`` and ``PGD-20`` mAP, in [0, 1].
        costs: method -> seconds of a weight update.
    """
    searched, pgd = MEASURES["pgd"], values.get((CLEAN_START, PGD))
    for method, (share, price) in GOALS.items():
        tested = values.get((CLEAN_START, method))
        if tested and pgd:
            yield ROBUST[method], NAMES[method], share * pgd[searched], tested[searched]
            yield ACCURATE[method], NAMES[method], pgd["clean"] - LOSS, tested["clean"]
        if method in costs:
            yield CHEAP[method], NAMES[method], costs[method] / costs[PLAIN], price
    pairs = (
        (START, (RANDOM_START, "fgsm_rs"), (CLEAN_START, "fgsm_rs")),
        (UNIVERSAL, (CLEAN_START, PLAIN), (CLEAN_START, "universal_free")),
    )
    for claim, smaller, larger in pairs:
        if smaller in values and larger in values:
            yield claim, NAMES[larger[1]], values[smaller][searched], values[larger][searched]
