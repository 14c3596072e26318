"""One track of the standard evaluation in pictures: worst queries, attention, distances, t-SNE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.models import Features
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.report import curves, style, text
from torchreid_adv.report.attention import Attended, attended
from torchreid_adv.report.choice import choose_worst
from torchreid_adv.report.embedding import Person, people_figure
from torchreid_adv.report.noise import Triple, triple
from torchreid_adv.report.page import PageFigure
from torchreid_adv.report.ranking_lists import RankingLists, lists_of
from torchreid_adv.report.survey import Survey, survey_target

WORST = {"query": 5, "gallery": 3}  # queries that are shown
_POINTS = 4  # t-SNE of fewer points means nothing


@dataclass(frozen=True)
class Worst:
    """A query with one of the largest losses.

    Args:
        lists: its lists before and after the attack.
        triple: noise of the attack on the query or on its nearest correct match; None if that
            image is clean.
        attack: that made that image; "" if it is clean.
    """

    lists: RankingLists
    triple: Triple | None
    attack: str

    @property
    def loss(self) -> float:
        """Lost average precision."""
        return self.lists.precision[0] - self.lists.precision[1]


@dataclass(frozen=True)
class View:
    """The pictures of one track at one bound.

    Args:
        track: ``Q`` or ``G``.
        eps: bound in gray levels, as a key of the result.
        target: features and files, clean and attacked.
        survey: queries ranked before and after.
        worst: queries that lose most.
        attention: maps of the attacked images of these.
    """

    track: str
    eps: str
    target: AttackedData
    survey: Survey
    worst: Sequence[Worst]
    attention: Attended

    @property
    def metric(self) -> str:
        """Name of the distance."""
        return text.describe_distance(self.target.distance)

    @cached_property
    def figures(self) -> dict[str, PageFigure]:
        """``distances`` and, if there are enough features, ``features``."""
        return self._draw()

    def _draw(self) -> dict[str, PageFigure]:
        sample = "All queries." if self.survey.complete else "A random sample of the queries."
        drawn = {
            "distances": PageFigure(
                curves.distances_figure(self.survey, self.metric),
                "Histograms of distances before and after the attack",
                f"How far queries are ({self.metric}) from their correct matches by other cameras "
                f"(filled; dashed: mean) and from the nearest incorrect match (outline). {sample}",
            )
        }
        people = people_of(self.target)
        if sum(person.points for person in people) > _POINTS:
            drawn["features"] = PageFigure(
                people_figure(people, "query", "its matches in the gallery"),
                "t-SNE of the features of some people, with arrows from clean to attacked images",
                "t-SNE of the features of some people, a color each; arrows lead from clean images "
                f"to attacked ones. Attacked images move by {text.fixed(self.moved)} in cosine "
                "distance on average, over all of them.",
            )
        return drawn

    @property
    def moved(self) -> float:
        """Mean cosine distance between attacked images' features before and after."""
        side = self.target.side
        before, after = getattr(self.target, side), getattr(self.target, f"{side}_after")
        rows = [i for i, n in enumerate(before.image_ids) if n in self.target.attacked]
        if not rows:
            return 0.0
        alike = F.cosine_similarity(before.values[rows].double(), after.values[rows].double())
        return 1 - float(alike.mean())


def build_view(
    track: str,
    eps: str,
    target: AttackedData,
    model: ImageModel,
    made_by: Mapping[str, str],
    *,
    gradient: bool = True,
) -> View:
    """Rank the queries before and after the attack, and make pictures of those that lose most.

    Args:
        track: ``Q`` or ``G``.
        eps: bound in gray levels, as a key of the result.
        target: features and files.
        model: that was attacked, with its defense if it has one.
        made_by: image_id -> the attack that made it.
        gradient: the model has a gradient.

    Raises:
        DataError: an image is missing or cannot be read.
    """
    survey = survey_target(target)
    pids = target.query.pids[survey.rows].tolist()
    places = choose_worst(survey.before, survey.after, pids, count=WORST[target.side])
    names = [_shown(target, survey, place) for place in places]
    worst = [
        Worst(lists, triple(target, name) if name in made_by else None, made_by.get(name, ""))
        for lists, name in zip(lists_of(target, survey, places), names, strict=True)
    ]
    looked_at = [name for name in names if name in made_by]
    return View(
        track, eps, target, survey, worst, attended(model, target, looked_at, gradient=gradient)
    )


def _shown(target: AttackedData, survey: Survey, place: int) -> str:
    """Return the image whose change is shown: the query, or its nearest correct match."""
    if target.side == "query":
        return target.query.image_ids[int(survey.rows[place])]
    return target.gallery.image_ids[int(survey.before.match[place])]


def people_of(target: AttackedData) -> list[Person]:
    """Return the features of one person per color, at even steps through all people."""
    known = sorted(set(target.query.pids.tolist()) & set(target.gallery.pids.tolist()))
    count = min(len(style.SERIES), len(known))
    shown_pids = [known[place * len(known) // count] for place in range(count)]
    return [_person(target, pid) for pid in shown_pids]


def _person(target: AttackedData, pid: int) -> Person:
    query, gallery = target.query.pids == pid, target.gallery.pids == pid
    first = query & (query.cumsum(0) == 1)
    hit, side = (target.query_after, first) if target.side == "query" else (
        target.gallery_after, gallery
    )  # fmt: skip
    attacked = torch.tensor([name in target.attacked for name in hit.image_ids])
    around = gallery.nonzero()[:, 0]
    moved = (side & attacked).nonzero()[:, 0]
    start = torch.zeros(len(moved), dtype=torch.int64)  # the query is the only image
    if target.side == "gallery":
        start = int(first.sum()) + torch.searchsorted(around, moved)
    return Person(
        _unit(target.query, first),
        _unit(hit, side & attacked),
        _unit(target.gallery, gallery),
        start,
    )


def _unit(features: Features, rows: Tensor) -> Tensor:
    return F.normalize(features.values[rows].float(), dim=1)
