"""The versions of the standard evaluation: fixed data without tuning options."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import ConfigError, suggest

EPS = (8, 5)  # main bounds, gray levels
CURVE = (0, 1, 2, 4, 5, 8, 12, 16, 32, 64, LEVELS)  # bounds of the curve, gray levels
TRACKS = ("Q", "G")
SIDES = {"Q": "query", "G": "gallery"}


_OPTIONAL = ("rounds", "audit")  # of version 2 alone


@dataclass(frozen=True)
class Version:
    """The budgets of the ensemble.

    Args:
        name: of the version.
        steps: of the attacks on margin, push and pull.
        self_steps: of each attack without references (SMA, LTA, ODFA).
        pulls: number of nearest incorrect identities that an image is pulled to.
        restarts: starts of margin, push and self: the clean image (self: noise), then noise.
        square: queries to the model by Square for each image.
        noise: number of random signs tried.
        transfer_steps: of the momentum attack on surrogates.
        epochs: over the training images, of the universal perturbation.
        eot: draws of a random defense that gradients and a judge are averaged over.
        draws: of a random defense that score stored images.
        sample: queries of the curve and of the flags' trials, spread over all queries.
        chunk: images attacked together.
        bootstrap: resamplings of identities for an interval.
        eps: main bounds, gray levels; flags' trials are at the first one.
        curve: bounds of the curve, gray levels.
        rounds: steps of the white-box attacks in each round, and how many attacks each query has
            in it (0 = all); () = each attack is run once, see :mod:`.rounds`.
        audit: percent of the queries that also get the whole ensemble of version 1.
    """

    name: str
    steps: int
    self_steps: int
    pulls: int
    restarts: int
    square: int
    noise: int
    transfer_steps: int = 30
    epochs: int = 10
    eot: int = 20
    draws: int = 10
    sample: int = 256
    chunk: int = 16
    bootstrap: int = 2000
    eps: tuple[int, ...] = EPS
    curve: tuple[int, ...] = CURVE
    rounds: tuple[tuple[int, int], ...] = ()
    audit: int = 0

    def facts(self) -> dict[str, Any]:
        """Return the whole definition, for results; rounds and audit only if set."""
        facts = {**asdict(self), "eps": list(self.eps), "curve": list(self.curve)}
        facts["rounds"] = [list(pair) for pair in self.rounds]
        return {key: value for key, value in facts.items() if value or key not in _OPTIONAL}

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Version:
        """Return the version from the values of :meth:`facts`."""
        lists = {name: tuple(facts[name]) for name in ("eps", "curve")}
        rounds = tuple((steps, survivors) for steps, survivors in facts.get("rounds", ()))
        return cls(**{**facts, **lists, "rounds": rounds})


STANDARD = Version("standard", 100, 100, 9, 1, 5000, 100)
LITE = Version("lite", 50, 30, 3, 1, 1000, 20, eot=8, sample=64)
PLUS = Version("plus", 100, 100, 9, 5, 5000, 100)
STANDARD_2 = replace(STANDARD, name="standard-2", rounds=((10, 0), (25, 2), (50, 1)), audit=5)
LITE_2 = replace(LITE, name="lite-2", rounds=((5, 0), (15, 2), (30, 1)), audit=5)
VERSIONS = {version.name: version for version in (STANDARD, LITE, PLUS, STANDARD_2, LITE_2)}


def version_of(name: str) -> Version:
    """Return a version.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in VERSIONS:
        raise ConfigError(
            f"unknown version of the standard evaluation '{name}'{suggest(name, VERSIONS)}"
        )
    return VERSIONS[name]
