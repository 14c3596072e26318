"""A card, checked in three steps: its seal, its files, and its model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import AdvError, ConfigError, VerificationError, printable
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.experiments.card.content import CARD, COPIED, read_card, version_in
from torchreid_adv.experiments.card.numbers import floats
from torchreid_adv.experiments.card.progress import Stages
from torchreid_adv.experiments.card.run import standard_facts
from torchreid_adv.experiments.card.scoring import Scoring, chances
from torchreid_adv.models.cuda import repeatable
from torchreid_adv.runs.originals import DataFiles, Originals
from torchreid_adv.standard.identity import environment, listing
from torchreid_adv.standard.relations import ROUNDING
from torchreid_adv.standard.replay import TOLERANCE, Replayed, Scorer, differences
from torchreid_adv.standard.scores import interval
from torchreid_adv.standard.versions import Version

NOT_COMPARED = (
    "Of the card, speed, seconds, versions and the environment are as the run reports them."
)
UNSCORED = (
    "Of the card, the average precision of single queries under corruption, occlusion and attack "
    "was not computed again; that takes the model (give the flags of the run)."
)


@dataclass(frozen=True)
class CheckedCard:
    """What checking a card showed.

    Args:
        content: of ``card.json``.
        faults: all that is wrong, a sentence each.
        unknown: why a data set is not known, "" where all are.
    """

    content: dict[str, Any]
    faults: tuple[str, ...]
    unknown: str = ""


def check_card(folder: Path, result: dict[str, Any], originals: Originals) -> CheckedCard:
    """Compare a card with the ``standard.json`` next to it and with the data sets.

    Args:
        folder: of the model.
        result: content of its ``standard.json``, whose files are checked elsewhere.
        originals: the data sets.

    Raises:
        DataError: ``card.json`` is none, or was changed by hand.
    """
    card = read_card(folder / CARD)
    faults, unknown = [*_standard_faults(card, result)], ""
    names = [card["data"]["name"], *card["queries"]["cross"]]
    for name in names:
        files = originals.files(name)
        if not isinstance(files, DataFiles):
            unknown = unknown or str(files)
        elif name == card["data"]["name"]:
            faults += _label_faults(card, files.data)
        else:
            faults += _cross_faults(name, card["queries"]["cross"][name], files.data)
    return CheckedCard(card, tuple(faults), unknown)


def _standard_faults(card: dict[str, Any], result: dict[str, Any]) -> Iterator[str]:
    """Yield where a card is not of the ``standard.json`` next to it."""
    yield from (
        f"its {name} is not that of standard.json" for name in COPIED if card[name] != result[name]
    )
    if card["standard"] != standard_facts(result):
        yield "its robust numbers do not come from the standard.json next to it"
    for name in ("parameters", "size"):
        if card["cost"][name] != result["model"][name]:
            yield f"its cost names other {name} than standard.json"
    expected = version_in(card).standard
    definition = Version.of(result["standard"]["definition"])
    if definition.name != expected:
        yield f"its robust numbers were made by version '{definition.name}', not by '{expected}'"
    places = {
        f"{track}-eps{eps}": facts
        for track, bounds in result["tracks"].items()
        for eps, facts in bounds.items()
    }
    if list(places) != list(card["queries"]["robust"]):
        yield "it has other tracks or bounds than standard.json"
        return
    pids = np.array(card["queries"]["pids"], np.int64)
    for name, facts in places.items():
        scores = card["queries"]["robust"][name]
        yield from _place_faults(name, scores, facts, pids, definition.bootstrap)
        if not _fits(card["queries"]["clean"], facts["clean"]):
            yield f"{name}: its clean queries do not give the clean mAP and Rank-1 of standard.json"


def _place_faults(
    name: str, scores: dict[str, Any], facts: dict[str, Any], pids: np.ndarray, bootstrap: int
) -> Iterator[str]:
    """Yield where the queries of a track and bound do not give its numbers in standard.json."""
    if not _fits(scores, facts["robust"]):
        yield f"{name}: its queries do not give the robust mAP and Rank-1 of standard.json"
    pairs = {"interval": "ap", "rank1_interval": "first"}
    for measure, part in pairs.items():
        ends = interval(floats(scores[part]), pids, bootstrap)
        if any(abs(a - b) > ROUNDING for a, b in zip(ends, facts[measure], strict=True)):
            yield f"{name}: its queries do not give the {measure} of standard.json"


def _fits(scores: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Tell whether queries give the mAP and the Rank-1 of a part of standard.json."""
    pairs = ((scores["ap"], facts["mAP"]), (scores["first"], facts["cmc"]["1"]))
    return all(abs(np.nanmean(floats(values)) - value) <= ROUNDING for values, value in pairs)


def _label_faults(card: dict[str, Any], data: ReIDData) -> Iterator[str]:
    """Yield where queries, identities, cameras or chance are not those of the data set."""
    queries = card["queries"]
    fields = {"image_ids": "image_id", "pids": "pid", "camids": "camid"}
    for name, field in fields.items():
        if queries[name] != [getattr(record, field) for record in data.query]:
            yield f"its {name} are not those of the queries of '{data.name}'"
            return
    protocol, distance = card["protocol"], build_distance("euclidean")
    try:
        rules = Protocol(distance=distance, name=protocol["name"], ap_rule=protocol["ap_rule"])
    except AdvError as error:
        yield f"its protocol cannot be used: {error}"
        return
    stated, chance = floats(queries["chance"]), floats(chances(data, rules))
    if not np.allclose(stated, chance, rtol=0, atol=ROUNDING, equal_nan=True):
        yield "its chances are not those of a random order"


def _cross_faults(name: str, facts: dict[str, Any], data: ReIDData) -> Iterator[str]:
    if facts["listing"] != listing(data, Contents()):
        yield f"'{name}' as it is loaded here has other images, identities or cameras"
    if facts["image_ids"] != [record.image_id for record in data.query] or facts["pids"] != [
        record.pid for record in data.query
    ]:
        yield f"its queries of '{name}' are not those of the data set"


def verify_card(folder: Path, result: dict[str, Any], originals: Originals) -> CheckedCard:
    """Check the files of a card.

    Raises:
        DataError: ``card.json`` is none, or was changed by hand.
        VerificationError: something does not fit; all faults are named.
    """
    checked = check_card(folder, result, originals)
    if checked.faults:
        raise _failed(folder, checked.faults)
    return checked


def said_of(checked: CheckedCard) -> str:
    """Return sentences on the files of a card that were checked."""
    lines = [
        "Card: its numbers follow from its queries, and these fit standard.json"
        + (" and the data set." if not checked.unknown else ".")
    ]
    if checked.unknown:
        lines.append(f"Queries, identities and cameras were not checked: {checked.unknown}")
    return "\n".join(lines)


def score_card_again(
    folder: Path,
    card: dict[str, Any],
    cfg: AdvConfig,
    scorer: Scorer,
    replayed: Replayed,
    originals: Originals,
) -> str:
    """Score every condition of a card again and return a sentence on it.

    Args:
        folder: of the model.
        card: its content, whose files were checked.
        cfg: of the run.
        scorer: model, data set and rules.
        replayed: its standard evaluation, scored again.
        originals: further data sets.

    Raises:
        ConfigError: a further data set is not known.
        VerificationError: the model gives other numbers.
    """
    exact = card["environment"] == json.loads(json.dumps(environment()))
    tolerance = 0.0 if exact else TOLERANCE
    others = [_loaded(name, originals) for name in card["queries"]["cross"]]
    with repeatable(), tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        scoring = Scoring(cfg, scorer.model, scorer.data, others, version_in(card), place)
        stages = Stages(scoring.total, Cache(place), Key.of(card="verified"))
        computed = scoring.queries(replayed.worst, stages)
        feature = scoring.speed(Key.of(card="verified"))["feature"]
    stated = {"feature": card["cost"]["feature"], **card["queries"]}
    count = len(card["queries"]["pids"])
    plain = json.loads(json.dumps({"feature": feature, **computed}))
    faults = [*differences(stated, plain, tolerance, count)]
    if faults:
        raise _failed(folder, [f"queries.{fault}" for fault in faults[:20]])
    how = "exactly" if exact else f"to {TOLERANCE} (another machine or version wrote it)"
    return (
        f"Card scored again: the model gives the average precision of every query in all "
        f"conditions {how}."
    )


def _loaded(name: str, originals: Originals) -> ReIDData:
    files = originals.files(name)
    if not isinstance(files, DataFiles):
        raise ConfigError(files)
    return files.data


def _failed(folder: Path, faults: Any) -> VerificationError:
    listed = "\n  ".join(["", *(printable(fault) for fault in faults)])
    return VerificationError(f"'{folder / CARD}' does not fit: {listed}")
