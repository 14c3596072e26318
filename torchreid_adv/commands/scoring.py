"""How a run scores features: by its protocol, and what a targeted attack reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torchreid_adv.evaluation import RetrievalResult
from torchreid_adv.evaluation.protocol import Protocol, Sides
from torchreid_adv.evaluation.results import Scores
from torchreid_adv.evaluation.targeted import success, target_ranks
from torchreid_adv.jobs.team import ALONE, Team


@dataclass(frozen=True)
class Scoring:
    """Scores by a protocol, printed where they have a title.

    Args:
        protocol: the rules, of the data set that is scored.
        team: this process and those it shares the work with.
    """

    protocol: Protocol
    team: Team = ALONE

    def score(self, sides: Sides, title: str = "") -> Scores:
        """Score the ranking and, where it is asked for and shown, the re-ranked one.

        Args:
            sides: features of ``query`` and ``gallery``.
            title: what is printed above the scores; "" = nothing is printed.
        """
        protocol = self.protocol if title else self.protocol.plain
        scores = protocol.score(sides, team=self.team)
        _print(title, scores.plain)
        if scores.reranked is not None:
            _print(f"{title}, re-ranked", scores.reranked)
        return scores

    def pulled(self, targets: Mapping[str, int], clean: Sides, after: Sides) -> dict[str, Any]:
        """Return how often pulled images come up for their targets, before and after; print it.

        Args:
            targets: image_id -> the identity it was pulled to.
            clean: features before the attack.
            after: features after it.
        """
        found = {
            name: success(
                target_ranks(sides["query"], sides["gallery"], targets, self.protocol),
                len(targets),
            )
            for name, sides in (("clean", clean), ("adversarial", after))
        }
        print("** Pulled images among the first k of a list of their target **")
        for name, facts in found.items():
            shares = ", ".join(f"{k}: {share:.1%}" for k, share in facts["success"].items())
            print(f"{name:<12}{shares}")
        return found


def _print(title: str, result: RetrievalResult) -> None:
    if title:
        print(f"** {title} **", *result.lines(), sep="\n")
