"""A person as a list of parts: body and clothes hung on the joints of a pose."""

from __future__ import annotations

from dataclasses import dataclass

from torchreid_adv.data.virtual.arms import arms
from torchreid_adv.data.virtual.bags import bags
from torchreid_adv.data.virtual.body import Body, Gait, Moment, pose
from torchreid_adv.data.virtual.head import head
from torchreid_adv.data.virtual.legs import legs
from torchreid_adv.data.virtual.solids import Part
from torchreid_adv.data.virtual.trunk import trunk
from torchreid_adv.data.virtual.view import Seen, View
from torchreid_adv.data.virtual.wardrobe import Outfit


@dataclass(frozen=True)
class Person:
    """Who is drawn: everything that two images of one person share."""

    body: Body
    gait: Gait
    outfit: Outfit


def figure(person: Person, moment: Moment, view: View) -> list[Part]:
    """Return the parts of a person in painting order, farthest first."""
    body, outfit = person.body, person.outfit
    seen = Seen(view, pose(body, person.gait, moment))
    parts = [
        *legs(body, outfit, seen),
        *trunk(body, outfit, seen),
        *arms(body, outfit, seen),
        *bags(outfit.bag, seen),
        *head(body, outfit, seen),
    ]
    return sorted(parts, key=lambda part: part.depth)
