"""What ``standard.json`` says of a run: figures, flags, and whether they are called standard."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from torchreid_adv.evaluation import Protocol
from torchreid_adv.standard.flags import RED, Check, Looks
from torchreid_adv.standard.identity import environment, metric_facts
from torchreid_adv.standard.reading import SCHEMA, manifest_hash
from torchreid_adv.standard.stages import Setting
from torchreid_adv.standard.tables import Scores, Table, interval, summary
from torchreid_adv.standard.tracks import GalleryTrack, QueryTrack
from torchreid_adv.standard.versions import VERSIONS, Version
from torchreid_adv.version import __version__

BLACK_BOX = "black-box"
SURROGATES = 2  # other models that a run called standard needs

THREAT = {
    "bound": "L-infinity on the stored 8-bit images; the resize belongs to the model",
    "goal": "no right match near the top of the list",
    "Q": "each query is attacked by itself, the gallery is clean",
    "G": "the gallery images of all queries' identities are attacked, the queries are clean",
    "knowledge": "weights, metric, defense and the clean features of the other side",
    "scored": "stored PNG files, through the test transform",
}


def query_facts(setting: Setting, track: QueryTrack) -> dict[str, Any]:
    """Return the figures of queries attacked one by one."""
    facts = summary(track.table, setting.version.bootstrap)
    return {**facts, "manifest": track.root, "defense": defense_rows(setting, track)}


def defense_rows(setting: Setting, track: QueryTrack) -> dict[str, Any] | None:
    """Return mAP undefended, under the oblivious attack and adaptive; None without a defense."""
    judge = setting.twin_judge
    if judge is None or "oblivious" not in track.stored:
        return None
    stored, table = track.stored["oblivious"], track.table
    twin = setting.scored(
        f"Q-eps{track.eps:g}-undefended", stored.root, lambda: judge.score("query", stored.records)
    )
    clean = setting.scored("clean-undefended", judge.name, lambda: judge.score("query"))
    undefended = Table(table.pids, clean, {"oblivious": twin})
    draws = [min(found.draws) for found in table.scores.values() if found.draws]
    return {
        "undefended_clean": undefended.mean_precision(()),
        "undefended": undefended.mean_precision(),
        "oblivious": table.mean_precision(["oblivious"]),
        "adaptive": table.mean_precision(),
        "worst_draw": min(draws, default=None),
    }


def gallery_facts(setting: Setting, track: GalleryTrack) -> dict[str, Any]:
    """Return the figures of one gallery that serves all queries, scored end to end."""
    table, (name, scores) = track.table, track.robust()
    held, chosen = table.valid, list(track.chosen.values())
    attacked = {r.image_id for stored in track.stored.values() for r in stored.records}
    clean, robust = table.mean_precision(()), float(scores.ap[held].mean())
    return {
        "clean": {"mAP": clean, "cmc": table.survival(())},
        "robust": {"mAP": robust, "cmc": _cmc(scores, held)},
        "interval": list(interval(scores.ap, table.pids, setting.version.bootstrap)),
        "rank1_interval": list(interval(scores.hits[:, 0], table.pids, setting.version.bootstrap)),
        "map_ratio": robust / clean if clean else None,
        "queries": int(held.sum()),
        "skipped": int((~held).sum()),
        "gallery": name,
        "galleries": {
            one: {
                "mAP": float(found.ap[held].mean()),
                "cmc": _cmc(found, held),
                "draws": list(found.draws),
            }
            for one, found in table.scores.items()
        },
        "identities": {one: chosen.count(one) for one in dict.fromkeys(chosen)},
        "attacked": len(attacked) / len(setting.data.gallery),
        "manifest": track.root,
    }


def result(
    setting: Setting,
    identity: dict[str, Any],
    version: Version,
    tracks: dict[str, dict[str, Any]],
    looks: Looks,
    trials: dict[str, Any],
    checks: Sequence[Check],
) -> dict[str, Any]:
    """Return all that is written.

    Args:
        setting: of the run; its version is what was run in the end.
        identity: of the run.
        version: that was asked for.
        tracks: facts by track and bound.
        looks: what was seen of the model.
        trials: facts of the attacks on the sample.
        checks: all that were made; those that were raised are the flags.
    """
    flags = [check for check in checks if check.raised]
    others = {one["sha256"] for one in identity["surrogates"]} - {identity["model"]["sha256"]}
    protocol = setting.judge.protocol
    reasons = why_not(version, len(others), flags, looks.black_box, protocol)
    kind = f"-{BLACK_BOX}" if looks.black_box else ""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": identity["model"],
        "data": identity["data"],
        "standard": {
            "name": f"SRR-{version.name}{kind}",
            "headline": headline(looks.black_box),
            "called_standard": not reasons,
            "reasons": reasons,
            "escalated": setting.version.name if setting.version != version else "",
            "definition": setting.version.facts(),
        },
        "threat": THREAT,
        "metric": metric_facts(setting.distance),
        "protocol": protocol.facts(),
        "surrogates": identity["surrogates"],
        "tracks": tracks,
        "curve": trials,
        "looks": dataclasses.asdict(looks),
        "flags": [flag.to_dict() for flag in flags],
        "checks": [check.to_dict() for check in checks],
        "manifest": manifest_hash(tracks),
        "environment": environment(),
    }


def headline(black_box: str) -> str:
    """Return what has to be known before any figure is read, "" for nothing."""
    if not black_box:
        return ""
    return (
        f"The model is {black_box}, which has no gradient: only attacks that ask for answers and "
        "transferred ones were made. Who holds the network itself can do more."
    )


def why_not(
    version: Version,
    surrogates: int,
    flags: Sequence[Check],
    black_box: str = "",
    protocol: Protocol | None = None,
) -> list[str]:
    """Return why a result is not called standard; nothing where it is.

    Args:
        version: that was run.
        surrogates: how many there were, the model itself and repeated ones not counted.
        flags: that were raised.
        black_box: why attacks by gradients were not made; "" where they were.
        protocol: rules of the scores.
    """
    found = [f"attacks by gradients are missing, because the model is {black_box}"] * bool(
        black_box
    )
    if VERSIONS.get(version.name) != version:
        found.append(f"its budgets are those of none of {', '.join(VERSIONS)}")
    if surrogates < SURROGATES:
        found.append(
            f"transferred attacks need {SURROGATES} other models, and there were {surrogates}"
        )
    if protocol is not None and protocol.ap_rule != "standard":
        found.append(f"average precision is by the rule '{protocol.ap_rule}', not by torchreid's")
    red = dict.fromkeys(flag.name for flag in flags if flag.level == RED)
    if red:
        found.append(f"red flags: {', '.join(red)}")
    return found


def _cmc(scores: Scores, held: np.ndarray) -> dict[str, float]:
    one = Scores(scores.ap[held], scores.hits[held])
    return Table(np.zeros(len(one.ap), np.int64), one).survival()
