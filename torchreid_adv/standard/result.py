"""What ``standard.json`` says of a run: figures, flags, and whether they are called standard."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from torchreid_adv.standard.called import THREAT, headline, name_of, other_models, why_not
from torchreid_adv.standard.flags import Check, Looks
from torchreid_adv.standard.identity import environment, metric_facts
from torchreid_adv.standard.reading import SCHEMA, manifest_hash
from torchreid_adv.standard.stages import Setting
from torchreid_adv.standard.tables import Scores, Table, interval, summary
from torchreid_adv.standard.tracks import GalleryTrack, QueryTrack
from torchreid_adv.standard.versions import Version
from torchreid_adv.version import __version__


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
    """Return the figures of one gallery that serves all queries, scored end to end.

    An attacker may leave the gallery as it is, so that no Rank-k is above the clean one.
    """
    table, (name, scores) = track.table, track.robust()
    held, chosen = table.valid, list(track.chosen.values())
    attacked = {r.image_id for stored in track.stored.values() for r in stored.records}
    clean, robust = table.mean_precision(()), float(scores.ap[held].mean())
    clean_cmc, cmc = table.survival(()), _cmc(scores, held)
    first = table.clean if clean_cmc["1"] < cmc["1"] else scores
    return {
        "clean": {"mAP": clean, "cmc": clean_cmc},
        "robust": {"mAP": robust, "cmc": {k: min(cmc[k], clean_cmc[k]) for k in cmc}},
        "interval": list(interval(scores.ap, table.pids, setting.version.bootstrap)),
        "rank1_interval": list(interval(first.hits[:, 0], table.pids, setting.version.bootstrap)),
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
    others = other_models(identity["surrogates"], identity["model"])
    protocol = setting.judge.protocol
    reasons = why_not(version, others, flags, looks.black_box, tracks, protocol.ap_rule)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": identity["model"],
        "data": identity["data"],
        "standard": {
            "name": name_of(version, looks.black_box),
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


def _cmc(scores: Scores, held: np.ndarray) -> dict[str, float]:
    one = Scores(scores.ap[held], scores.hits[held])
    return Table(np.zeros(len(one.ap), np.int64), one).survival()
