"""What each query keeps under the worst of the ensemble: for results that need more than a mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.errors import DataError
from torchreid_adv.standard.scores import CLEAN, QueryScores
from torchreid_adv.standard.tracks import GalleryTrack, QueryTrack


def worst_scores(track: QueryTrack | GalleryTrack) -> QueryScores:
    """Return what each of Q queries keeps in a track that was run; NaN without a match.

    Of the gallery these are the scores of the gallery with the lowest mAP. Its hits are those of
    the clean gallery where that one has the lower Rank-1, as in the results.
    """
    table = track.table
    if isinstance(track, QueryTrack):
        return QueryScores(table.worst(), table.held())
    _, scores = track.robust()
    held = table.valid
    lower = table.clean.hits[held, 0].mean() < scores.hits[held, 0].mean()
    return QueryScores(scores.ap, table.clean.hits if lower else scores.hits)


def keep_scores(track: QueryTrack | GalleryTrack, name: str, eps: int) -> None:
    """Keep :func:`worst_scores` of a track in the folder of its run.

    Args:
        track: that was run.
        name: ``Q`` or ``G``.
        eps: its bound, gray levels.
    """
    session, place = track.session, _name(name, str(eps))
    session.team.first(
        lambda: session.kept(place, track.root, lambda: worst_scores(track).to_dict())
    )


def kept_scores(
    job: Path, identity: Mapping[str, Any], result: dict[str, Any]
) -> dict[str, QueryScores]:
    """Return what a finished run kept: ``clean``, and the worst by track and bound, ``Q-eps8``.

    Args:
        job: folder of what it kept.
        identity: of its session.
        result: content of its ``standard.json``.

    Raises:
        DataError: a file of it is gone.
    """
    cache, scores = Cache(job), {}
    parts = {CLEAN: (CLEAN, "model")} | {
        f"{track}-eps{eps}": (_name(track, eps), facts["manifest"])
        for track, bounds in result["tracks"].items()
        for eps, facts in bounds.items()
    }
    for place, (name, stored) in parts.items():
        facts = cache.find(name, Key.of(**identity, stored=stored))
        if facts is None:
            raise DataError(
                f"'{job}' lacks the scores of single queries; run the same command again"
            )
        scores[place] = QueryScores.of(facts)
    return scores


def first_hits(scores: QueryScores) -> list[float | None]:
    """Return of each query the share of draws whose first image is right; None without a match."""
    return [None if np.isnan(value) else float(value) for value in scores.hits[:, 0]]


def _name(track: str, eps: str) -> str:
    return f"worst/{track}-eps{eps}"
