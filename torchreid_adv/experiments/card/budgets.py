"""What the versions of the robustness card consist of: data, and nothing to tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torchreid_adv.corruptions import SEVERITIES, published_kinds
from torchreid_adv.corruptions.draws import TAG
from torchreid_adv.corruptions.occlusion import SHARES
from torchreid_adv.errors import ConfigError, suggest

OCCLUSIONS = ("occlusion_gray", "occlusion_scene", "occlusion_person")


@dataclass(frozen=True)
class CardVersion:
    """The budgets of a card.

    Args:
        name: of the version.
        standard: version of the standard evaluation that its robust numbers are of.
        draws: of kind and severity for each image, both sides corrupted; their mean counts.
        severities: at which the queries get each published kind.
        occlusions: severities of the occlusion sweep.
        middle: severity at which kinds are compared query by query.
        bootstrap: resamplings of identities for an interval.
    """

    name: str
    standard: str
    draws: int
    severities: tuple[int, ...] = SEVERITIES
    occlusions: tuple[int, ...] = SEVERITIES
    middle: int = 3
    bootstrap: int = 2000

    @property
    def grid(self) -> list[tuple[str, int]]:
        """Kinds and severities of corrupted queries."""
        return [(kind, severity) for kind in published_kinds() for severity in self.severities]

    @property
    def sweep(self) -> list[tuple[str, int]]:
        """Kinds and severities of occluded queries."""
        return [(kind, severity) for kind in OCCLUSIONS for severity in self.occlusions]

    def facts(self) -> dict[str, Any]:
        """Return the whole definition as plain values, for results."""
        return {
            "name": self.name,
            "standard": self.standard,
            "draws": self.draws,
            "severities": list(self.severities),
            "occlusions": list(self.occlusions),
            "middle": self.middle,
            "bootstrap": self.bootstrap,
            "corruptions": TAG,
            "scale": "published",
        }


def hidden(severity: int) -> int:
    """Return how many percent of an image an occlusion of a severity hides."""
    return SHARES[severity - 1]


FULL = CardVersion("full", "standard-2", 10)
LITE = CardVersion("lite", "lite-2", 3, severities=(1, 3, 5), occlusions=(1, 3, 5))
CARDS = {version.name: version for version in (FULL, LITE)}


def card_version(name: str) -> CardVersion:
    """Return a version of the card.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in CARDS:
        raise ConfigError(f"unknown version of the card '{name}'{suggest(name, CARDS)}")
    return CARDS[name]
