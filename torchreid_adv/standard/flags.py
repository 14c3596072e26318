"""Flags: what makes a robust figure one that should not be believed, with its threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from torchreid_adv.standard.ensemble import BLACK_BOX, WHITE_BOX
from torchreid_adv.standard.tables import Table, rising

RED, AMBER = "RED", "AMBER"


@dataclass(frozen=True)
class Flag:
    """A flag that is raised.

    Args:
        name: of the rule.
        level: ``RED``, which voids the word standard, or ``AMBER``, which asks for a look.
        value: what was measured.
        threshold: beyond which it is raised.
        meaning: what it says of the figure, in a sentence.
        where: track and bound, "" for the model.
    """

    name: str
    level: str
    value: float
    threshold: float
    meaning: str
    where: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Looks:
    """What was measured of a model before the attacks.

    Args:
        repeats: largest difference of unit features over five passes.
        autograd: gradients are computed in a forward pass.
        alone: largest difference of unit features between alone and in a batch.
        no_gradient: share of images without a gradient at a random start, [0, 1].
        cosine: mean cosine between features of different images.
        clean: clean mAP.
        chance: mean expected average precision of a random order.
        same_metric: the attacked metric is that of the evaluation.
        averaged: attacks average over draws (EOT).
        declared: the defense, if there is one, says what it is.
        black_box: why attacks by gradients are not made; "" where they are.
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
    """What was measured by attacks on the sample of queries.

    Args:
        curve: bound in gray levels -> mAP under push and margin.
        single: mAP under one step at the first main bound.
        iterative: mAP under all steps of the same attack there.
        converged: mAP under push and margin there.
        doubled: mAP under twice as many steps of both.
        moving: share of the loss range that the last ten steps added.
        silent: images of which an earlier point was better than the returned one.
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


def of_model(looks: Looks) -> Iterator[Flag]:
    """Yield the flags that a model raises before it is attacked."""
    if looks.repeats > 1e-4 and not looks.averaged:
        meaning = "features change from pass to pass, and no attack averages over draws"
        yield Flag("RAND", RED, looks.repeats, 1e-4, meaning)
    if looks.autograd:
        meaning = "the forward pass computes gradients: what it optimizes is not attacked"
        yield Flag("DYN", RED, 1.0, 0.0, meaning)
    if looks.alone > max(1e-3, 2 * looks.repeats):  # more than it changes by itself
        meaning = "an image's feature depends on the batch it is in"
        yield Flag("BATCH", RED, looks.alone, 1e-3, meaning)
    if looks.no_gradient > 0.02 and not looks.black_box:
        meaning = "images have no gradient at a random start, so that attacks cannot move them"
        yield Flag("ZERO", RED, looks.no_gradient, 0.02, meaning)
    least = min(3 * looks.chance, (1 + looks.chance) / 2)
    if looks.clean < least:
        meaning = "the clean model hardly ranks better than chance"
        yield Flag("COLLAPSE", RED, looks.clean, least, meaning)
    elif looks.cosine > 0.99:
        meaning = "all features point the same way"
        yield Flag("COLLAPSE", RED, looks.cosine, 0.99, meaning)
    if not looks.same_metric:
        meaning = "another metric is attacked than the one that ranks"
        yield Flag("METRIC", RED, 1.0, 0.0, meaning)
    if not looks.declared:
        meaning = "the defense does not declare what it is, so that attacks may miss what it does"
        yield Flag("STAGE", AMBER, 1.0, 0.0, meaning)


def of_trials(trials: Trials) -> Iterator[Flag]:
    """Yield the flags that attacks on the sample raise."""
    widest = trials.curve[max(trials.curve)]
    most = max(0.10, 2 * trials.chance)
    if widest > most:
        meaning = "without a bound, attacks leave more than chance: they do not work here"
        yield Flag("UNB", RED, widest, most, meaning)
    if trials.iterative - trials.single > 0.005:
        meaning = "one step is better than many: the gradient leads astray"
        yield Flag("ITER", RED, trials.iterative - trials.single, 0.005, meaning)
    rise = rising(trials.curve)
    if rise > 0.005:
        meaning = "a larger bound leaves more: the gradient leads astray"
        yield Flag("MONO", RED, rise, 0.005, meaning)
    if trials.silent:
        meaning = "an attack gave back less than it had found"
        yield Flag("SILENT", RED, float(trials.silent), 0.0, meaning)
    yield from _convergence(trials)


def _convergence(trials: Trials) -> Iterator[Flag]:
    won = trials.converged - trials.doubled
    if won > 0.02:
        meaning = "twice as many steps leave less: the budget is too small for this model"
        yield Flag("CONV", AMBER, won, 0.02, meaning)
    elif trials.moving > 0.05:
        meaning = "losses still rise in the last steps: the budget is too small for this model"
        yield Flag("CONV", AMBER, trials.moving, 0.05, meaning)


def of_table(table: Table, chance: float, where: str) -> Iterator[Flag]:
    """Yield the flags that comparing attacks with each other raises.

    A model that attacks by gradients bring to twice chance has nothing to hide from others; one
    that nothing moves, noise no more than they, is held to the attacks without a bound (UNB).

    Args:
        table: scores of queries.
        chance: mean expected average precision of a random order.
        where: track and bound.
    """
    white = table.worst(WHITE_BOX)
    held = table.valid
    left = float(white[held].mean())
    found = {name: table.worst([*WHITE_BOX, name]) for name in BLACK_BOX if name in table.scores}
    won = {name: left - float(one[held].mean()) for name, one in found.items()}
    if won and max(won.values()) > 0.02:
        name = max(won, key=lambda one: won[one])
        meaning = f"{name}, which knows less, leaves less than all attacks by gradients"
        yield Flag("BB", RED, won[name], 0.02, meaning, where)
    if "noise" in table.scores and left > 2 * chance:
        noise = table.mean_precision(["noise"])
        if noise <= left and noise < table.mean_precision(()):
            meaning = "random noise leaves no more than attacks by gradients"
            yield Flag("NOISE", RED, left - noise, 0.0, meaning, where)
    better = [np.asarray(white - one)[held] > 0.05 for one in found.values()]
    share = float(np.any(better, axis=0).mean()) if better else 0.0
    if share > 0.05:
        meaning = "on some queries an attack that knows less leaves less than those by gradients"
        yield Flag("PERQ", AMBER, share, 0.05, meaning, where)
