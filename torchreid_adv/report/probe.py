"""The probe whose correct match is overtaken by an incorrect one."""

from __future__ import annotations

from dataclasses import dataclass

from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.report.cards import Card, card, found_card
from torchreid_adv.report.choice import choose_probe
from torchreid_adv.report.survey import Survey
from torchreid_adv.report.text import similarity

TIMES = ("before the attack", "after the attack")
TITLES = ("correct match", "incorrect match")


@dataclass(frozen=True)
class Match:
    """A gallery image that is compared with the probe.

    Args:
        title: ``correct match`` or ``incorrect match``.
        card: the image, with its distance to the probe.
        similarity: the cosine similarity that the distance corresponds to, None without one.
        bar: length of its bar in [0, 1].
        nearest: the nearer of the two matches.
    """

    title: str
    card: Card
    similarity: float | None
    bar: float
    nearest: bool


@dataclass(frozen=True)
class Scene:
    """The probe and its two matches at one of the two times."""

    label: str
    probe: Card
    matches: tuple[Match, Match]


@dataclass(frozen=True)
class Probe:
    """A probe, a correct and an incorrect match; ``flipped``: the incorrect one overtakes."""

    before: Scene
    after: Scene
    flipped: bool


def build_probe(target: AttackedData, survey: Survey) -> Probe | None:
    """Return the probe with both matches, None when there is nothing to compare."""
    choice = choose_probe(survey.before, survey.after)
    if choice is None:
        return None
    position, flipped = choice
    row = int(survey.rows[position])
    places = [int(survey.before.match[position]), int(survey.after.rival[position])]
    distances = [target.distances(row, places, after=after) for after in (False, True)]
    longest = max(*distances[0], *distances[1])
    before, after = (
        _scene(target, row, places, distances[time], longest, after=bool(time)) for time in (0, 1)
    )
    return Probe(before, after, flipped)


def _scene(
    target: AttackedData,
    row: int,
    places: list[int],
    distances: list[float],
    longest: float,
    *,
    after: bool,
) -> Scene:
    query = card(target, target.query, row, after=after)
    matches = []
    for title, place, distance in zip(TITLES, places, distances, strict=True):
        match_card = found_card(target, query, place, after=after, distance=distance)
        alike = similarity(target.distance, distance)
        bar = _bar(alike, distance, longest)
        matches.append(Match(title, match_card, alike, bar, distance == min(distances)))
    return Scene(TIMES[after], query, (matches[0], matches[1]))


def _bar(alike: float | None, distance: float, longest: float) -> float:
    """Return a bar's length: the similarity, else the share of the longest distance shown."""
    length = alike if alike is not None else distance / longest if longest > 0 else 0.0
    return min(max(length, 0.0), 1.0)
