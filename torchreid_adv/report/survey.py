"""A data set's queries ranked before and after the attack."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from torchreid_adv.jobs.progress import progress_bar
from torchreid_adv.report.ranking import Ranking, choose_rows, rank, take
from torchreid_adv.report.target import TargetReport


@dataclass(frozen=True)
class Survey:
    """The queries looked at, ranked before and after the attack.

    Args:
        rows: (n,) query rows; all of them, or a sample.
        complete: all of them.
        before: ranking of the clean gallery by the clean queries.
        after: ranking after the attack.
    """

    rows: Tensor
    complete: bool
    before: Ranking
    after: Ranking


def survey_target(target: TargetReport) -> Survey:
    """Rank the target's queries, or a seeded sample of very many, before and after the attack."""
    rows = choose_rows(len(target.query), len(target.gallery))
    sides = (target.query, target.gallery), (target.query_after, target.gallery_after)
    with progress_bar("Report", total=2 * len(rows), unit="query") as bar:
        before, after = (
            rank(take(query, rows), gallery, target.protocol, bar=bar) for query, gallery in sides
        )
    return Survey(rows, len(rows) == len(target.query), before, after)
