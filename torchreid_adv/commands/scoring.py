"""How a run scores features: the ranking, the re-ranked one, and what a targeted attack reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torchreid_adv.commands.target_results import Scores
from torchreid_adv.distances import Distance
from torchreid_adv.evaluation import Reranking, RetrievalResult, evaluate
from torchreid_adv.evaluation.targeted import success, target_ranks
from torchreid_adv.jobs.team import ALONE, Team
from torchreid_adv.models import Features

Sides = dict[str, Features]  # "query" and "gallery"


@dataclass(frozen=True)
class Scoring:
    """The rules of a run's evaluation, and who shares its work.

    Args:
        distance: by which the gallery is ranked.
        ap_rule: average precision rule.
        protocol: ``market1501`` or ``cuhk03``.
        block: gallery images whose distances are held at a time.
        rerank: score after k-reciprocal re-ranking, too.
        neighbors: its neighbor search, ``torch`` or ``faiss``.
        team: this process and those it shares the work with.
    """

    distance: Distance
    ap_rule: str
    protocol: str
    block: int
    rerank: bool = False
    neighbors: str = "torch"
    team: Team = ALONE

    def score(self, sides: Sides, title: str = "") -> Scores:
        """Score the ranking and, where it is wanted and shown, the re-ranked one.

        Args:
            sides: features of ``query`` and ``gallery``.
            title: what is printed above the scores; "" = nothing is printed.
        """
        if self.rerank and title:
            return self.both(sides, title)
        return Scores(self._rank(sides, None, title))

    def both(self, sides: Sides, title: str = "") -> Scores:
        """Score the ranking and, where it is wanted, the re-ranked one; see :meth:`score`."""
        plain = self._rank(sides, None, title)
        if not self.rerank:
            return Scores(plain)
        reranking = Reranking(backend=self.neighbors)
        return Scores(plain, self._rank(sides, reranking, title and f"{title}, re-ranked"))

    def pulled(self, targets: Mapping[str, int], clean: Sides, after: Sides) -> dict[str, Any]:
        """Return how often pulled images come up for their targets, before and after; print it.

        Args:
            targets: image_id -> the identity it was pulled to.
            clean: features before the attack.
            after: features after it.
        """
        found = {
            name: success(
                target_ranks(
                    sides["query"], sides["gallery"], targets, self.distance, block=self.block
                ),
                len(targets),
            )
            for name, sides in (("clean", clean), ("adversarial", after))
        }
        print("** Pulled images among the first k of a list of their target **")
        for name, facts in found.items():
            shares = ", ".join(f"{k}: {share:.1%}" for k, share in facts["success"].items())
            print(f"{name:<12}{shares}")
        return found

    def _rank(self, sides: Sides, rerank: Reranking | None, title: str) -> RetrievalResult:
        result = evaluate(
            sides["query"],
            sides["gallery"],
            distance=self.distance,
            ap_rule=self.ap_rule,
            protocol=self.protocol,
            block=self.block,
            rerank=rerank,
            team=self.team,
        )
        if title:
            print(f"** {title} **", *result.lines([1, 5, 10, 20]), sep="\n")
        return result
