"""Several cards side by side: differences between models, and whether their order is stable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.card.content import label_of, version_in
from torchreid_adv.experiments.card.measures import query_values
from torchreid_adv.experiments.card.numbers import floats
from torchreid_adv.experiments.card.people import People, agreement

Content = Mapping[str, Any]
_SAME = {
    "version of the card": lambda card: card["card"],
    "data set": lambda card: card["data"],
    "protocol": lambda card: card["protocol"],
}


def check_comparable(card: Content, reference: Content) -> None:
    """Refuse two cards whose numbers do not belong in one table.

    Raises:
        ConfigError: they differ in the version, the data set or the rules of the scores.
    """
    for aspect, part in _SAME.items():
        if part(card) != part(reference):
            raise ConfigError(
                f"the cards of '{label_of(card)}' and '{label_of(reference)}' differ in their "
                f"{aspect}, so their numbers do not belong in one table; make both by the same "
                "torchreid-adv card command"
            )


def differences_between(first: Content, second: Content) -> dict[str, dict[str, Any]]:
    """Return measure -> mAP of the second card minus that of the first, and its interval.

    The same identities are drawn for both, so that what is hard for both does not widen it.

    Args:
        first: a card.
        second: another one on the same queries.
    """
    pids = np.array(first["queries"]["pids"], np.int64)
    held = ~np.isnan(floats(first["queries"]["clean"]["ap"]))
    people = People(pids, held, version_in(first).bootstrap)
    rows, others = query_values(first["queries"]), query_values(second["queries"])
    return {name: people.mean(others[name] - rows[name]) for name in rows if name in others}


def draw_agreement(cards: Sequence[Content]) -> float | None:
    """Return how well the draws of corruptions agree on the order of models (Kendall's tau)."""
    rows = np.array([card["numbers"]["corrupted"]["draws"] for card in cards])
    return agreement(rows.T)
