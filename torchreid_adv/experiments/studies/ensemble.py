"""The worst case in fewer passes: policies of the standard ensemble, replayed on its record."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.evaluation import Protocol
from torchreid_adv.experiments.claims import Claim, Line, Reading, cases_of
from torchreid_adv.experiments.ensemble_policies import (
    ROUNDS,
    SKIP,
    WHOLE,
    Replay,
    policies,
)
from torchreid_adv.experiments.ensemble_record import (
    LONGEST,
    STEPS,
    EnsembleRecord,
    recorded_ensemble,
)
from torchreid_adv.experiments.frontier import FrontierAxes, Point, front, frontier_figure
from torchreid_adv.experiments.studies.cheap_training import PLAIN, check, method_config
from torchreid_adv.experiments.study import Found
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.page import PageFigure
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.standard.scores import interval
from torchreid_adv.standard.versions import STANDARD

RISE, SHARE = 0.005, 0.4  # mAP above the whole ensemble, share of its passes
RESAMPLINGS = 2000
CHOICE, REPORT = "choice", "report"
HALVES = (CHOICE, REPORT)
STEP_TABLE = "Robust mAP of each attack, mean over models"
RISE_TABLE = "mAP above the whole ensemble, points"
SHARE_TABLE = "Passes, share of the whole ensemble"
INTERVAL_TABLE = "mAP above the whole ensemble, points, with 95 % bootstrap over identities"
CHOSEN_TABLE = "The policy chosen on one half of the models, on the other half"
FRONTIER = "Frontier of "
PASSES, MAP = "passes per query", "robust mAP"
RESTS = ("clean",)

FEWER = Claim(
    f"The {ROUNDS} take at most {100 * SHARE:g} % of the passes of the white-box attacks of "
    "standard on a query that none of them breaks",
    (),
    margin=0.0,
)
AS_LOW = Claim(
    f"The {ROUNDS} leave at most {100 * RISE:g} points more mAP than the whole ensemble",
    RESTS,
    margin=0.0,
)
STOP_COSTS = Claim(
    "The whole ensemble leaves less mAP than an ensemble that skips queries at twice chance", RESTS
)
HELD_OUT = Claim(
    f"The policy chosen on half of the models leaves at most {100 * RISE:g} points more mAP than "
    "the whole ensemble on the others",
    RESTS,
    margin=0.0,
)
CLAIMS = (FEWER, AS_LOW, STOP_COSTS, HELD_OUT)


@dataclass(frozen=True, eq=False)
class ModelReplay:
    """All policies on the record of one model.

    Args:
        label: of the model.
        half: ``choice`` = the policy is chosen on it, ``report`` = it is reported on it.
        record: of its ensemble.
        replays: policy -> outcome.
    """

    label: str
    half: str
    record: EnsembleRecord
    replays: Mapping[str, Replay]

    @property
    def name(self) -> str:
        """The label and the half."""
        return f"{self.label} ({self.half})"

    def robust(self, policy: str) -> float:
        """Return the robust mAP under a policy."""
        return self.replays[policy].robust(self.record.valid)

    def rise(self, policy: str) -> float:
        """Return how much mAP a policy leaves above the whole ensemble."""
        return self.robust(policy) - self.robust(WHOLE)

    def share(self, policy: str) -> float:
        """Return the passes of a policy as a share of the whole ensemble's."""
        rows = self.record.valid
        return self.replays[policy].spent(rows) / self.replays[WHOLE].spent(rows)

    def rises(self, policy: str) -> NDArray[np.float64]:
        """Return the same for each query (Q,); NaN without a match."""
        return np.asarray(self.replays[policy].worst - self.replays[WHOLE].worst)


def setting(cfg: AdvConfig) -> str:
    """Say how networks are trained and attacked."""
    virtual = cfg.adv.virtual
    return (
        f"{', '.join(cfg.data.targets)}, {virtual.test_identities} people in the test; "
        f"{', '.join(cfg.adv.study.models)}, each {', '.join(cfg.adv.study.methods)}; "
        f"{cfg.train.max_epoch} plain epochs and {cfg.adv.study.robust_epochs} robust ones; "
        f"{cfg.data.height} x {cfg.data.width} pixels; eps {cfg.adv.attack.eps:g}; "
        f"seeds {', '.join(map(str, cfg.adv.study.seeds))}. The whole ensemble is every attack for "
        f"{LONGEST} steps on every query."
    )


def figures(readings: Sequence[Reading]) -> dict[str, PageFigure]:
    """Return the frontier on the models that no policy was chosen on."""
    names = dict.fromkeys(r.column for r in readings if r.table == RISE_TABLE)
    groups: dict[str, dict[str, list[Point]]] = {}
    for name in names:
        shares = {r.row: r.value for r in readings if (r.table, r.column) == (SHARE_TABLE, name)}
        rises = {r.row: r.value for r in readings if (r.table, r.column) == (RISE_TABLE, name)}
        half = name.rpartition("(")[2].rstrip(")")
        group = groups.setdefault(f"models for the {half}", {})
        for policy, rise in rises.items():
            group.setdefault(policy, []).append((shares[policy], rise / 100))
    if not groups:
        return {}
    axes = FrontierAxes(
        "passes, share of the whole ensemble",
        "mAP above the whole ensemble [points]",
        lower=True,
        all_names=False,
    )
    caption = (
        "Each dot is a policy, on one model. The line joins the policies that no other one beats "
        "at their number of passes; the dashed corner is the goal of the claims."
    )
    alt = "mAP above the whole ensemble against the share of its passes"
    drawn = frontier_figure(groups, [(SHARE, RISE)], axes)
    return {"frontier": PageFigure(drawn, alt, caption, wide=True)}


@STUDIES.register(
    "ensemble",
    title="The same worst case in fewer passes",
    check=check,
    claims=CLAIMS,
    setting=setting,
    figures=figures,
)
def ensemble(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Record the ensemble on each model, replay policies, choose one, and test it on other models.

    Args:
        cfg: ``adv.study.methods`` trains each network further; ``adv.standard.models`` names
            further models; ``adv.attack.eps`` is the bound.
        seed: of all trainings.
        specs: the clean networks.
    """
    models = list(_replayed(cfg, seed, specs))
    policy_chosen = choose([model for model in models if model.half == CHOICE])
    return [
        *_step_readings(models, seed),
        *_policy_readings(models, seed),
        *_frontier_readings(models, seed),
        *_chosen_readings(models, policy_chosen, seed),
        *cases_of(lines(models, policy_chosen), seed),
    ]


def _replayed(cfg: AdvConfig, seed: int, specs: Sequence[ModelSpec]) -> Iterator[ModelReplay]:
    data = configured_dataset(cfg, cfg.data.targets[0])
    protocol = Protocol.configured(cfg, data)
    for spec, half in _models(cfg, seed, specs):
        print(f"\n##### {spec.label}, a model for the {half} #####")
        record = recorded_ensemble(
            load_spec(cfg, spec),
            data,
            protocol,
            eps=cfg.adv.attack.eps,
            folder=Path(cfg.data.save_dir) / spec.label,
        )
        replays = {name: policy(record) for name, policy in policies(record.ap).items()}
        yield ModelReplay(spec.label, half, record, replays)


def _models(
    cfg: AdvConfig, seed: int, specs: Sequence[ModelSpec]
) -> Iterator[tuple[ModelSpec, str]]:
    """Yield the models, each with its half: networks and methods alternate, as on a chessboard."""
    for row, spec in enumerate(specs):
        for column, method in enumerate(cfg.adv.study.methods):
            yield _trained(cfg, seed, spec, method), HALVES[(row + column) % 2]
    yield from zip(parse_models(cfg.adv.standard.models), itertools.cycle(HALVES), strict=False)


def _trained(cfg: AdvConfig, seed: int, spec: ModelSpec, method: str) -> ModelSpec:
    if method == PLAIN:
        return replace(spec, label=f"{spec.label}-{method}")
    run_cfg = method_config(cfg, spec, method)
    run_cfg.train.seed = seed
    weights = str(trained_weights(run_cfg))
    return replace(spec, label=f"{spec.label}-{method}", weights=weights)


def passes_of_standard(record: EnsembleRecord) -> float:
    """Return the passes of an image under all white-box attacks of ``standard``, from a record.

    ``standard`` plans for more steps and has more pulls; a pass of a step costs the same.
    """
    pulls = [attack for attack in record.ap if attack.startswith("pull")]
    costs = {attack: record.cost(attack, (LONGEST, LONGEST)) / LONGEST for attack in record.ap}
    others = sum(cost for attack, cost in costs.items() if attack not in pulls)
    pulled = statistics.fmean(costs[attack] for attack in pulls) * STANDARD.pulls
    return STANDARD.steps * (others + pulled)


def choose(models: Sequence[ModelReplay]) -> str:
    """Return the policy with the fewest passes whose mean rise of mAP on models is small enough.

    Args:
        models: one or more.
    """
    allowed = {
        policy: statistics.fmean(model.share(policy) for model in models)
        for policy in models[0].replays
        if statistics.fmean(model.rise(policy) for model in models) <= RISE
    }
    return min(allowed, key=lambda policy: allowed[policy])


def _step_readings(models: Sequence[ModelReplay], seed: int) -> Iterator[Reading]:
    for model, steps in itertools.product(models, STEPS):
        valid = model.record.valid
        for attack, curve in model.record.ap.items():
            value = float(np.fmin(curve[LONGEST, steps], model.record.clean)[valid].mean())
            yield Reading(STEP_TABLE, attack, f"{steps}", seed, value)


def _policy_readings(models: Sequence[ModelReplay], seed: int) -> Iterator[Reading]:
    for model in models:
        for policy in model.replays:
            rise, share = 100 * model.rise(policy), model.share(policy)
            yield Reading(RISE_TABLE, policy, model.name, seed, rise, "number")
            yield Reading(SHARE_TABLE, policy, model.name, seed, share, "number")


def _frontier_readings(models: Sequence[ModelReplay], seed: int) -> Iterator[Reading]:
    for model in models:
        points = {
            policy: (replayed.spent(model.record.valid), -model.robust(policy))
            for policy, replayed in model.replays.items()
        }
        for policy in front(points):
            passes, robust = points[policy]
            table = f"{FRONTIER}{model.name}"
            yield Reading(table, policy, PASSES, seed, passes, "number")
            yield Reading(table, policy, f"{MAP} [%]", seed, -100 * robust, "number")


def _chosen_readings(
    models: Sequence[ModelReplay], policy_chosen: str, seed: int
) -> Iterator[Reading]:
    for model in models:
        for policy in dict.fromkeys((ROUNDS, policy_chosen)):
            row = f"{policy}: {model.name}"
            low, high = interval(model.rises(policy), model.record.pids, RESAMPLINGS)
            values = {
                "passes [%]": model.share(policy),
                "rise": model.rise(policy),
                "from": low,
                "to": high,
                "largest, a query": float(np.nanmax(model.rises(policy))),
            }
            for column, value in values.items():
                yield Reading(CHOSEN_TABLE, row, column, seed, 100 * value, "number")


def lines(models: Sequence[ModelReplay], policy_chosen: str) -> Iterator[Line]:
    """Yield the claims with the value that should be smaller and the other one.

    Args:
        models: of one seed.
        policy_chosen: the policy chosen on one half.
    """
    for model in models:
        whole = model.robust(WHOLE)
        spent = model.replays[ROUNDS].spent(model.record.valid)
        yield FEWER, model.label, spent / passes_of_standard(model.record), SHARE
        yield AS_LOW, model.label, model.robust(ROUNDS), whole + RISE
        yield STOP_COSTS, model.label, whole, model.robust(SKIP)
        if model.half == REPORT:
            yield HELD_OUT, model.label, model.robust(policy_chosen), whole + RISE
