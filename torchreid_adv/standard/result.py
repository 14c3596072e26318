"""The content of ``standard.json``: numbers, flags, and whether the result is called standard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from torchreid_adv.standard.called import THREAT, headline, name_of, other_models, why_not
from torchreid_adv.standard.flags import Check, Inspection
from torchreid_adv.standard.identity import environment, metric_facts
from torchreid_adv.standard.reading import SCHEMA, manifest_hash
from torchreid_adv.standard.scores import QueryScores, Table, interval, summary
from torchreid_adv.standard.session import Session
from torchreid_adv.standard.tracks import GalleryTrack, QueryTrack
from torchreid_adv.standard.versions import Version
from torchreid_adv.version import __version__


def query_facts(session: Session, track: QueryTrack) -> dict[str, Any]:
    """Return the results of separately attacked queries."""
    facts = summary(track.table, session.version.bootstrap)
    return {**facts, "manifest": track.root, "defense": defense_rows(session, track)}


def defense_rows(session: Session, track: QueryTrack) -> dict[str, Any] | None:
    """Return mAP undefended, under the oblivious attack and adaptive; None without a defense."""
    judge = session.twin_judge
    if judge is None or "oblivious" not in track.stored:
        return None
    stored, table = track.stored["oblivious"], track.table
    twin = session.scored(
        f"Q-eps{track.eps:g}-undefended", stored.root, lambda: judge.score("query", stored.records)
    )
    clean = session.scored("clean-undefended", judge.name, lambda: judge.score("query"))
    undefended = Table(table.pids, clean, {"oblivious": twin})
    draws = [min(scores.draws) for scores in table.scores.values() if scores.draws]
    return {
        "undefended_clean": undefended.mean_precision(()),
        "undefended": undefended.mean_precision(),
        "oblivious": table.mean_precision(["oblivious"]),
        "adaptive": table.mean_precision(),
        "worst_draw": min(draws, default=None),
    }


def gallery_facts(session: Session, track: GalleryTrack) -> dict[str, Any]:
    """Return the results of one gallery that serves all queries, scored end to end.

    An attacker may leave the gallery unchanged, so no Rank-k is above the clean one.
    """
    table, (name, scores) = track.table, track.robust()
    held, attacks = table.valid, list(track.chosen.values())
    attacked = {r.image_id for stored in track.stored.values() for r in stored.records}
    clean, robust = table.mean_precision(()), float(scores.ap[held].mean())
    clean_cmc, cmc = table.survival(()), _cmc(scores, held)
    first = table.clean if clean_cmc["1"] < cmc["1"] else scores
    return {
        "clean": {"mAP": clean, "cmc": clean_cmc},
        "robust": {"mAP": robust, "cmc": {k: min(cmc[k], clean_cmc[k]) for k in cmc}},
        "interval": list(interval(scores.ap, table.pids, session.version.bootstrap)),
        "rank1_interval": list(interval(first.hits[:, 0], table.pids, session.version.bootstrap)),
        "map_ratio": robust / clean if clean else None,
        "queries": int(held.sum()),
        "skipped": int((~held).sum()),
        "gallery": name,
        "galleries": {
            gallery: {
                "mAP": float(gallery_scores.ap[held].mean()),
                "cmc": _cmc(gallery_scores, held),
                "draws": list(gallery_scores.draws),
            }
            for gallery, gallery_scores in table.scores.items()
        },
        "identities": {attack: attacks.count(attack) for attack in dict.fromkeys(attacks)},
        "attacked": len(attacked) / len(session.data.gallery),
        "manifest": track.root,
    }


def result(
    session: Session,
    identity: dict[str, Any],
    version: Version,
    tracks: dict[str, dict[str, Any]],
    inspection: Inspection,
    trials: dict[str, Any],
    checks: Sequence[Check],
) -> dict[str, Any]:
    """Return the content of ``standard.json``.

    Args:
        session: of the run, with the final version.
        identity: of the run.
        version: requested by the user.
        tracks: facts by track and bound.
        inspection: measurements of the model.
        trials: facts of the attacks on the sample.
        checks: all checks; the raised ones are the flags.
    """
    flags = [check for check in checks if check.raised]
    others = other_models(identity["surrogates"], identity["model"])
    protocol = session.judge.protocol
    reasons = why_not(version, others, flags, inspection.black_box, tracks, protocol.ap_rule)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": identity["model"],
        "data": identity["data"],
        "standard": {
            "name": name_of(version, inspection.black_box),
            "headline": headline(inspection.black_box),
            "called_standard": not reasons,
            "reasons": reasons,
            "escalated": session.version.name if session.version != version else "",
            "definition": session.version.facts(),
        },
        "threat": THREAT,
        "metric": metric_facts(session.distance),
        "protocol": protocol.facts(),
        "surrogates": identity["surrogates"],
        "tracks": tracks,
        "curve": trials,
        "looks": dataclasses.asdict(inspection),
        "flags": [flag.to_dict() for flag in flags],
        "checks": [check.to_dict() for check in checks],
        "manifest": manifest_hash(tracks),
        "environment": environment(),
    }


def _cmc(scores: QueryScores, held: np.ndarray) -> dict[str, float]:
    counted = QueryScores(scores.ap[held], scores.hits[held])
    return Table(np.zeros(len(counted.ap), np.int64), counted).survival()


TRACKS = {"Q": "queries attacked", "G": "gallery attacked"}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield a result's table, its flags, and the name it may use.

    Args:
        result: content of ``standard.json``.
    """
    model, data = result["model"]["name"], result["data"]["name"]
    yield f"** {result['standard']['name']}: {model} on {data} **"
    if result["standard"]["headline"]:
        yield result["standard"]["headline"]
    yield f"{'':<28}{'mAP':>7}{'95 % interval':>17}{'Rank-1':>9}{'Rank-5':>9}{'Rank-10':>9}"
    clean = next(iter(next(iter(result["tracks"].values())).values()))["clean"]
    yield _row("clean", clean, None)
    for track, bounds in result["tracks"].items():
        for eps, facts in bounds.items():
            yield _row(f"{TRACKS[track]}, eps {eps}", facts["robust"], facts["interval"])
            yield from _defense(facts.get("defense"))
    for track, bounds in result["tracks"].items():
        for eps, facts in bounds.items():
            yield from _attacks(f"{track}, eps {eps}", facts)
    for flag in result["flags"]:
        where = f" ({flag['where']})" if flag["where"] else ""
        yield f"{flag['level']} {flag['name']}{where}: {flag['meaning']}: {flag['value']:.4g}"
    yield _last(result["standard"])


def _row(name: str, facts: dict[str, Any], interval: list[float] | None) -> str:
    span = f"{_percent(interval[0])} to {_percent(interval[1])}" if interval else ""
    ranks = "".join(f"{_percent(facts['cmc'][k]):>9}" for k in ("1", "5", "10"))
    return f"{name:<28}{_percent(facts['mAP']):>7}{span:>17}{ranks}"


def _defense(rows: dict[str, Any] | None) -> Iterator[str]:
    if rows:
        yield (
            f"  mAP undefended {_percent(rows['undefended'])}, behind the defense: oblivious "
            f"{_percent(rows['oblivious'])}, adaptive {_percent(rows['adaptive'])}"
        )


def _attacks(where: str, facts: dict[str, Any]) -> Iterator[str]:
    if "galleries" in facts:
        galleries = ", ".join(f"{n} {_percent(g['mAP'])}" for n, g in facts["galleries"].items())
        yield f"{where}: mAP of whole galleries: {galleries}"
        return
    yield f"{where}: attack: queries it was run on, mAP before and after, queries it is worst for"
    for name, row in facts["attacks"].items():
        change = f"{_percent(row['before'])} to {_percent(row['mAP'])}"
        yield f"  {name:<12}{row['queries']:>7}  {change:<17}{row['won']:>6}"


def _last(standard: dict[str, Any]) -> str:
    name = standard["name"]
    if standard["escalated"]:
        name += f", run with the budgets of {standard['escalated']}"
    if standard["called_standard"]:
        return f"Called {name}."
    return f"Not to be called {name}: {'; '.join(standard['reasons'])}."


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"
