"""Checks and their flags: signs that a robustness number should not be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from torchreid_adv.standard.ensemble import BLACK_BOX
from torchreid_adv.standard.rounds import AUDIT, white_box
from torchreid_adv.standard.scores import Table, rising

RED, AMBER = "RED", "AMBER"


@dataclass(frozen=True)
class Check:
    """The measurement of one rule; a raised check is a flag.

    Args:
        name: of the rule.
        level: ``RED``, which voids the word standard, or ``AMBER``, which should be looked into.
        raised: whether it is a flag.
        value: the measurement.
        threshold: limit of the value.
        meaning: of a raised check for the number, as a sentence.
        where: track and bound, "" for the model.
    """

    name: str
    level: str
    raised: bool
    value: float
    threshold: float
    meaning: str
    where: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Inspection:
    """Measurements of a model before the attacks.

    Args:
        repeats: largest difference of unit features over five passes.
        autograd: gradients are computed in a forward pass.
        alone: largest difference of unit features between an image alone and in a batch.
        no_gradient: share of images without a gradient at a random start, [0, 1].
        cosine: mean cosine between features of different images.
        clean: clean mAP.
        chance: mean expected average precision of a random order.
        same_metric: the attacked metric is that of the evaluation.
        averaged: attacks average over draws (EOT).
        declared: the defense, if there is one, declares its properties.
        black_box: why there are no gradient attacks; "" if there are.
    """

    repeats: float
    autograd: bool
    alone: float
    no_gradient: float
    cosine: float
    clean: float
    chance: float
    same_metric: bool = True
    averaged: bool = False
    declared: bool = True
    black_box: str = ""


@dataclass(frozen=True)
class Trials:
    """Measurements by attacks on the sample of queries.

    Args:
        curve: bound in gray levels -> mAP under push and margin.
        single: mAP under one step at the first main bound.
        iterative: mAP under all steps of the same attack at that bound.
        converged: mAP under push and margin at that bound.
        doubled: mAP under twice as many steps of both.
        moving: share of the loss range that the last ten steps added.
        silent: images with an earlier point that was better than the returned one.
        chance: mean expected average precision of a random order, of the sample.
    """

    curve: dict[int, float]
    single: float
    iterative: float
    converged: float
    doubled: float
    moving: float
    silent: int
    chance: float

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Trials:
        """Return the trials from the entry ``curve`` of a result."""
        names = [field.name for field in fields(cls) if field.name != "curve"]
        curve = {int(bound): value for bound, value in facts["curve"].items()}
        return cls(curve=curve, **{name: facts[name] for name in names})


def of_model(inspection: Inspection) -> Iterator[Check]:
    """Yield the checks of a model before it is attacked."""
    meaning = "features change from pass to pass, and no attack averages over draws"
    changes = inspection.repeats > 1e-4 and not inspection.averaged
    yield Check("RAND", RED, changes, inspection.repeats, 1e-4, meaning)
    meaning = "the forward pass computes gradients: what it optimizes is not attacked"
    yield Check("DYN", RED, inspection.autograd, float(inspection.autograd), 0.0, meaning)
    meaning = "an image's feature depends on the batch it is in"
    limit = max(1e-3, 2 * inspection.repeats)  # above the change between repeats
    yield Check("BATCH", RED, inspection.alone > limit, inspection.alone, limit, meaning)
    meaning = "images have no gradient at a random start, so that attacks cannot move them"
    if not inspection.black_box:
        yield Check(
            "ZERO", RED, inspection.no_gradient > 0.02, inspection.no_gradient, 0.02, meaning
        )
    yield _collapse(inspection)
    meaning = "another metric is attacked than the one that ranks"
    other = not inspection.same_metric
    yield Check("METRIC", RED, other, float(other), 0.0, meaning)
    meaning = "the defense does not declare what it is, so that attacks may miss what it does"
    silent = not inspection.declared
    yield Check("STAGE", AMBER, silent, float(silent), 0.0, meaning)


def _collapse(inspection: Inspection) -> Check:
    least = min(3 * inspection.chance, (1 + inspection.chance) / 2)
    if inspection.clean < least:
        meaning = "the clean model hardly ranks better than chance"
        return Check("COLLAPSE", RED, True, inspection.clean, least, meaning)
    meaning = "all features point the same way"
    return Check("COLLAPSE", RED, inspection.cosine > 0.99, inspection.cosine, 0.99, meaning)


def of_trials(trials: Trials) -> Iterator[Check]:
    """Yield the checks of attacks on the sample."""
    widest = trials.curve[max(trials.curve)]
    most = max(0.10, 2 * trials.chance)
    meaning = "without a bound, attacks leave more than chance: they do not work here"
    yield Check("UNB", RED, widest > most, widest, most, meaning)
    meaning = "one step is better than many: the gradient leads astray"
    lost = trials.iterative - trials.single
    yield Check("ITER", RED, lost > 0.005, lost, 0.005, meaning)
    meaning = "a larger bound leaves more: the gradient leads astray"
    rise = rising(trials.curve)
    yield Check("MONO", RED, rise > 0.005, rise, 0.005, meaning)
    meaning = "an attack gave back less than it had found"
    yield Check("SILENT", RED, bool(trials.silent), float(trials.silent), 0.0, meaning)
    yield _convergence(trials)


def _convergence(trials: Trials) -> Check:
    won = trials.converged - trials.doubled
    if won <= 0.02 and trials.moving > 0.05:
        meaning = "losses still rise in the last steps: the budget is too small for this model"
        return Check("CONV", AMBER, True, trials.moving, 0.05, meaning)
    meaning = "twice as many steps leave less: the budget is too small for this model"
    return Check("CONV", AMBER, won > 0.02, won, 0.02, meaning)


def of_table(table: Table, chance: float, where: str) -> Iterator[Check]:
    """Yield the checks that compare attacks with each other, if those attacks were run.

    If gradient attacks bring a model to twice chance, other attacks have nothing left to find. If
    neither they nor noise have an effect, the check without a bound (UNB) decides.

    Args:
        table: scores of queries.
        chance: mean expected average precision of a random order.
        where: track and bound.
    """
    gradients = white_box(list(table.scores))
    white = table.worst(gradients)
    held = table.valid
    remaining = float(white[held].mean())
    rivals = {name: table.worst([*gradients, name]) for name in BLACK_BOX if name in table.scores}
    if rivals:
        won = {name: remaining - float(worst[held].mean()) for name, worst in rivals.items()}
        name = max(won, key=lambda rival: won[rival])
        meaning = f"{name}, which knows less, leaves less than all attacks by gradients"
        yield Check("BB", RED, won[name] > 0.02, won[name], 0.02, meaning, where)
    if "noise" in table.scores:
        noise = table.mean_precision(["noise"])
        as_good = remaining > 2 * chance and noise <= remaining and noise < table.mean_precision(())
        meaning = "random noise leaves no more than attacks by gradients"
        yield Check("NOISE", RED, as_good, remaining - noise, 0.0, meaning, where)
    if rivals:
        better = [np.asarray(white - worst)[held] > 0.05 for worst in rivals.values()]
        share = float(np.any(better, axis=0).mean())
        meaning = "on some queries an attack that knows less leaves less than those by gradients"
        yield Check("PERQ", AMBER, share > 0.05, share, 0.05, meaning, where)
    if AUDIT in table.scores:
        yield _audit(table, where)


def _audit(table: Table, where: str) -> Check:
    """Return the check that compares the whole ensemble with the rounds on some queries."""
    rows = table.valid & ~np.isnan(table.scores[AUDIT].ap)
    gain = table.worst([name for name in table.scores if name != AUDIT]) - table.worst()
    value = float(gain[rows].mean())
    meaning = "the whole ensemble leaves less than the rounds: run version 1"
    return Check("AUDIT", AMBER, value > 0.005, value, 0.005, meaning, where)
