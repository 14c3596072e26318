"""What a leaderboard reads of the cards next to results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torchreid_adv.errors import DataError
from torchreid_adv.experiments.card.content import CARD, read_card
from torchreid_adv.experiments.card.run import standard_facts
from torchreid_adv.experiments.card.verify import check_card
from torchreid_adv.runs.originals import Originals
from torchreid_adv.standard.board_columns import CardMeasure
from torchreid_adv.standard.board_lines import Result
from torchreid_adv.standard.board_sorts import COLUMNS


def read_columns(folder: Path, result: dict[str, Any]) -> dict[str, CardMeasure]:
    """Return the columns of the card in a folder; empty without a card.

    Args:
        folder: of a model.
        result: content of its ``standard.json``.

    Raises:
        DataError: it is not a card, was changed by hand, or was made for another ``standard.json``.
    """
    path = folder / CARD
    if not os.path.lexists(path):
        return {}
    if path.is_symlink():
        raise DataError(f"'{path}' is a symbolic link; put the file itself there")
    card = read_card(path)
    if card["standard"] != standard_facts(result):
        raise DataError(f"'{path}' was not made for the standard.json next to it")
    numbers = card["numbers"]
    parts = (numbers["corrupted"], numbers["grid"]["worst_kind"], numbers["occluded"])
    return {
        name: CardMeasure(part["mAP"], part["interval"])
        for name, part in zip(COLUMNS, parts, strict=True)
    }


def card_faults(folder: Path, result: Result, originals: Originals) -> tuple[str, ...]:
    """Return what does not fit in the card next to a result; empty without a card.

    Raises:
        DataError: the card cannot be read.
    """
    return check_card(folder, result.content, originals).faults if result.card else ()
