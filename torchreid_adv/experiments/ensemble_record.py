"""The record of an ensemble: what each white-box attack leaves of each query after how many steps.

Every attack of the standard evaluation runs once with each schedule of :data:`SCHEDULES`. At the
steps of :data:`STEPS`, the point that it would return is rounded and scored like a stored image.
Policies are then replayed on the record, see :mod:`.ensemble_policies`, without attacking again.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchreid_adv.attacks import Attack, GradientAttack, References
from torchreid_adv.attacks.apgd import PullToNearest
from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
from torchreid_adv.core import pixels
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.defenses.defended import eot_samples
from torchreid_adv.evaluation import Protocol
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.models.prepare import prepared
from torchreid_adv.standard.identity import run_identity
from torchreid_adv.standard.passes import PassCounter, Passes, counted
from torchreid_adv.standard.run import averaged_model, make_setting
from torchreid_adv.standard.sample import batches
from torchreid_adv.standard.session import Session
from torchreid_adv.standard.versions import STANDARD_2, Version

SCHEDULES = tuple(steps for steps, _ in STANDARD_2.rounds)  # numbers of steps that attacks plan for
STEPS = (1, 3, 5, 8, 10, 15, 20, 25, 30, 40, 50)
LONGEST = max(SCHEDULES)
Floats = NDArray[np.float64]
Place = tuple[int, int]  # planned steps, steps done
FORMAT = 1  # of a record


@dataclass(frozen=True, eq=False)
class EnsembleRecord:
    """What the attacks of an ensemble leave of Q queries.

    Args:
        pids: (Q,) identities.
        clean: (Q,) average precision without an attack; NaN without a match.
        chance: (Q,) expected average precision of a random order.
        ap: attack -> (planned steps, steps done) -> (Q,) average precision of its point.
        passes: attack -> the same -> forward and backward passes of an image until then.
        scored: forward passes of an image to score it once.
    """

    pids: NDArray[np.int64]
    clean: Floats
    chance: Floats
    ap: dict[str, dict[Place, Floats]]
    passes: dict[str, dict[Place, Passes]]
    scored: int = 1

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(Q,) the queries that have a match."""
        return ~np.isnan(self.clean)

    def cost(self, attack: str, place: Place) -> float:
        """Return all passes of an image until a place of the record."""
        return float(self.passes[attack][place].total)

    def facts(self) -> dict[str, Any]:
        """Return plain values."""
        places = [(attack, *place) for attack, values in self.ap.items() for place in values]
        return {
            **{name: _plain(getattr(self, name)) for name in ("pids", "clean", "chance")},
            "scored": self.scored,
            "points": [
                {
                    "attack": attack,
                    "planned": planned,
                    "steps": steps,
                    "ap": _plain(self.ap[attack][planned, steps]),
                    "forward": self.passes[attack][planned, steps].forward,
                    "backward": self.passes[attack][planned, steps].backward,
                }
                for attack, planned, steps in places
            ],
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> EnsembleRecord:
        """Return the record from the values of :meth:`facts`."""
        ap: dict[str, dict[Place, Floats]] = {}
        passes: dict[str, dict[Place, Passes]] = {}
        for point in facts["points"]:
            place = (int(point["planned"]), int(point["steps"]))
            ap.setdefault(point["attack"], {})[place] = np.array(point["ap"], dtype=np.float64)
            counts = Passes(point["forward"], point["backward"])
            passes.setdefault(point["attack"], {})[place] = counts
        clean, chance = (np.array(facts[name], dtype=np.float64) for name in ("clean", "chance"))
        return cls(np.array(facts["pids"]), clean, chance, ap, passes, facts["scored"])


def _plain(values: NDArray[Any]) -> list[Any]:
    return [None if np.isnan(value) else value for value in values.tolist()]


class Recorded(Objective):
    """An objective that keeps the points an attack would return after some steps.

    Args:
        objective: of the attack.
        places: steps at which the point is kept.
        keep: ``best`` or ``last``, as the attack has it.
        samples: draws that the attack averages its gradient over.
        counter: of the passes.
    """

    def __init__(
        self,
        objective: Objective,
        places: Sequence[int],
        *,
        keep: str,
        samples: int,
        counter: PassCounter,
    ) -> None:
        self.objective, self.places, self.keep = objective, tuple(places), keep
        self.samples, self.counter = samples, counter
        self.scope = objective.scope
        self.begin()

    def begin(self) -> None:
        """Forget the points of an earlier batch, and count passes from now on."""
        self.before = self.counter.passes
        self.points: dict[int, Tensor] = {}
        self.passes: dict[int, Passes] = {}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return the objective's losses, which keep points from now on."""
        losses_of, best = self.objective.bind(embed, batch, references), _Best(self.keep)
        draws: list[Tensor] = []
        step, begun = 0, self.before

        def losses(images: Tensor) -> Tensor:
            nonlocal step, begun
            begun = begun if draws else self.counter.passes
            values = losses_of(images)
            draws.append(values.detach())
            if len(draws) == self.samples or step == max(self.places):
                best.see(torch.stack(draws).mean(0), images.detach())
                if step in self.places:
                    self.points[step] = best.images.clone()
                    seen = Passes(self.counter.passes.forward, begun.backward)
                    self.passes[step] = seen - self.before
                step += 1
                draws.clear()
            return values

        return losses


class _Best:
    """The images that had the largest loss so far, or the last ones."""

    def __init__(self, keep: str) -> None:
        self.keep, self.losses = keep, torch.empty(0)

    def see(self, losses: Tensor, images: Tensor) -> None:
        if self.keep == "last" or not len(self.losses):
            self.images, self.losses = images.clone(), losses
            return
        better = losses > self.losses
        self.images[better], self.losses[better] = images[better], losses[better]


def recorded(
    attack: Attack, places: Sequence[int], counter: PassCounter, samples: int
) -> tuple[Attack, Recorded]:
    """Return an attack of the ensemble that keeps its points, and what keeps them."""
    inner = attack.attack if isinstance(attack, PullToNearest) else attack
    assert isinstance(inner, GradientAttack)
    objective = Recorded(inner.objective, places, keep=inner.keep, samples=samples, counter=counter)
    watched = copy.copy(inner)
    watched.objective = objective
    if not isinstance(attack, PullToNearest):
        return watched, objective
    outer = copy.copy(attack)
    outer.attack = watched
    return outer, objective


def recorded_ensemble(
    model: ImageModel, data: ReIDData, protocol: Protocol, *, eps: float, folder: Path
) -> EnsembleRecord:
    """Attack all queries by every white-box attack of the ensemble and record them, once.

    Args:
        model: in eval mode, maybe behind a defense, which is then attacked through its draws.
        data: the data set.
        protocol: rules of the scores.
        eps: bound in gray levels.
        folder: where records and clean features are cached.
    """
    version, contents = record_version(), Contents(folder / "contents")
    model = averaged_model(model, version)
    run = run_identity(model, data, version, (), protocol, protocol.distance, "record", contents)
    key = Key.of(record=FORMAT, steps=list(STEPS), eps=eps, run=dict(run.facts))
    session = make_setting(
        model, data, folder, version, (), protocol, 0, job=folder / key.digest[:16]
    )
    facts = Cache(folder).json("record", key, lambda: _record(session, eps).facts())
    return EnsembleRecord.of(facts)


def record_version() -> Version:
    """Return a version whose rounds run all attacks with every schedule."""
    schedules = tuple((steps, 0) for steps in SCHEDULES)
    return dataclasses.replace(STANDARD_2, name="record", rounds=schedules, audit=0)


def _record(session: Session, eps: float) -> EnsembleRecord:
    clean = session.clean()
    ap: dict[str, dict[Place, Floats]] = {}
    passes: dict[str, dict[Place, Passes]] = {}
    for member in session.members():
        if not member.arm:
            continue
        print(f"=> Recording {member.name}", flush=True)
        for steps, (precision, counts) in _curve(session, member.name, member.steps, eps).items():
            ap.setdefault(member.arm, {})[member.steps, steps] = precision
            passes.setdefault(member.arm, {})[member.steps, steps] = counts
    return EnsembleRecord(
        session.judge.query.pids.numpy(),
        clean.ap,
        session.judge.chances(),
        ap,
        passes,
        len(session.judge.models),
    )


def _curve(
    session: Session, name: str, planned: int, eps: float
) -> dict[int, tuple[Floats, Passes]]:
    """Return steps -> average precision (Q,) and passes of an image, for one attack."""
    places = [steps for steps in STEPS if steps <= planned]
    references, parts = session.references("Q"), batches(session, session.data.query)
    images: dict[int, list[NDArray[np.uint8]]] = {steps: [] for steps in places}
    with counted(session.model) as counter, prepared(session.model, parts[0][0].images) as ready:
        samples = eot_samples(ready)
        attack, points = recorded(session.attack(name, "Q", eps), places, counter, samples)
        for batch, originals in parts:
            points.begin()
            attack(ready, batch, references)
            for steps in places:
                images[steps] += _stored(points.points[steps], batch, originals, attack.linf)
    count = len(parts[0][0])
    counts = {
        steps: Passes(seen.forward // count, seen.backward // count)
        for steps, seen in points.passes.items()
    }
    return {
        steps: (session.judge.score_pixels(images[steps], session.data.query).ap, counts[steps])
        for steps in places
    }


def _stored(
    points: Tensor, batch: Batch, originals: Sequence[NDArray[np.uint8]], linf: float | None
) -> list[NDArray[np.uint8]]:
    """Return points as the images that would be stored: whole levels, each at its own size."""
    clean = batch.images.cpu()
    levels = pixels.to_uint8(pixels.quantize(points.cpu(), clean, linf)[: len(originals)])
    return [
        level[: original.shape[0], : original.shape[1]]
        for level, original in zip(levels, originals, strict=True)
    ]
