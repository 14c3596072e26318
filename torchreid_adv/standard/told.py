"""A result of the standard evaluation as read from its file, before it is verified."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torchreid_adv.core.manifest import sha256
from torchreid_adv.standard.flags import Check, Inspection, Trials, of_model, of_trials
from torchreid_adv.standard.scores import CLEAN
from torchreid_adv.standard.versions import STANDARD, Version


@dataclass(frozen=True)
class Told:
    """An unverified result from a file.

    Args:
        content: parsed JSON.
    """

    content: dict[str, Any]

    @cached_property
    def run(self) -> Version:
        """The version whose budgets were used."""
        return Version.of(self.content["standard"]["definition"])

    @property
    def asked(self) -> Version:
        """The version that the user requested."""
        return STANDARD if self.content["standard"]["escalated"] else self.run

    @cached_property
    def inspection(self) -> Inspection:
        """The measurements of the model before the attacks."""
        return Inspection(**self.content["looks"])

    @cached_property
    def checks(self) -> list[Check]:
        """All checks in the result."""
        return [Check(**row) for row in self.content["checks"]]

    @property
    def flags(self) -> list[Check]:
        """The checks that are raised."""
        return [check for check in self.checks if check.raised]

    @cached_property
    def given(self) -> list[Check]:
        """The checks that follow from the measurements of the model and the trials."""
        trials = [] if self.inspection.black_box else of_trials(Trials.of(self.content["curve"]))
        return [*of_model(self.inspection), *trials]

    @property
    def places(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Track, bound and facts."""
        tracks = self.content["tracks"]
        return [(track, eps, tracks[track][eps]) for track in tracks for eps in tracks[track]]

    @property
    def clean(self) -> dict[str, Any]:
        """Measures without an attack."""
        clean: dict[str, Any] = self.places[0][2]["clean"]
        return clean


@dataclass(frozen=True)
class Place:
    """The part of an unverified result on one track at one bound.

    Args:
        told: the result.
        track: ``Q`` or ``G``.
        eps: bound, as written in the result.
        facts: of the place.
    """

    told: Told
    track: str
    eps: str
    facts: dict[str, Any]

    @property
    def clean(self) -> dict[str, Any]:
        """Measures without an attack."""
        return {"mAP": self.facts["clean"]["mAP"], "cmc": self.facts["clean"]["cmc"]}

    @property
    def robust(self) -> dict[str, Any]:
        """Measures under the worst attack."""
        return {"mAP": self.facts["robust"]["mAP"], "cmc": self.facts["robust"]["cmc"]}

    @property
    def count(self) -> int:
        """Queries that have a match."""
        return int(self.facts["queries"])

    @property
    def attacks(self) -> dict[str, dict[str, Any]]:
        """Attacks on queries, or galleries, in order."""
        rows: dict[str, dict[str, Any]] = self.facts[
            "attacks" if self.track == "Q" else "galleries"
        ]
        return rows

    @property
    def worst_gallery(self) -> dict[str, Any]:
        """Measures of the gallery that the result calls the worst."""
        galleries = {CLEAN: self.clean, **self.attacks}
        worst: dict[str, Any] = galleries[self.facts["gallery"]]
        return worst

    @property
    def chain(self) -> list[float]:
        """The remaining mAP after each attack on queries, clean first."""
        return [self.clean["mAP"], *(row["left"] for row in self.attacks.values())]


def manifest_hash(tracks: dict[str, dict[str, Any]]) -> str:
    """Return the hash over the manifests of all tracks and bounds."""
    roots = [f"{t}-eps{e} {facts['manifest']}" for t in tracks for e, facts in tracks[t].items()]
    return sha256("\n".join(roots).encode("utf-8", "surrogatepass"))
