"""Results of the standard evaluation as their files hold them, made up, and consistent."""

import copy
import dataclasses
import hashlib
import json

from torchreid_adv.standard.called import THREAT, headline, name_of, why_not
from torchreid_adv.standard.ensemble import MEMBERS
from torchreid_adv.standard.flags import AMBER, RED, Check, Inspection, Trials, of_model, of_trials
from torchreid_adv.standard.reading import RESULT, manifest_hash, sealed
from torchreid_adv.standard.versions import LITE

QUERIES, CLEAN = 1000, 0.8
ROWS = {"undefended_clean": 0.8, "undefended": 0.05, "oblivious": 0.6, "adaptive": 0.2}


def digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def measures(mean, first=None):
    first = round(mean / 2, 3) if first is None else first
    return {"mAP": mean, "cmc": {"1": first, "5": round(max(mean, first), 3), "10": 1.0}}


def attack(mean, before, left, won):
    row = {"queries": QUERIES, "before": before, **measures(mean), "draws": [mean], "won": won}
    return {**row, "left": left}


def track(robust, name, **facts):
    clean = {"mAP": CLEAN, "cmc": {"1": CLEAN, "5": 1.0, "10": 1.0}}
    return {
        "clean": clean,
        "robust": measures(robust),
        "interval": [max(0.0, robust - 0.05), min(1.0, robust + 0.05)],
        "rank1_interval": [0.0, 1.0],
        "map_ratio": robust / CLEAN,
        "queries": QUERIES,
        "skipped": 0,
        "manifest": digest(name),
        **facts,
    }


def queries(robust, title, *, best="push", defended=False):
    means = {best: robust, "noise": 0.79, **({"oblivious": 0.6} if defended else {})}
    attacks, left = {}, CLEAN
    for name in [member.name for member in MEMBERS if member.name in means]:
        before, left = left, min(left, means[name])
        attacks[name] = attack(means[name], before, left, 900 if name == best else 0)
    rows = {**ROWS, "adaptive": robust, "worst_draw": robust} if defended else None
    wins = {a: {b: 900 if a == best else 0 for b in attacks if b != a} for a in attacks}
    facts = {"best_attack": best, "attacks": attacks, "wins": wins, "defense": rows}
    return track(robust, title, **facts)


def gallery(robust, name):
    rows = {one: {**measures(robust), "draws": [robust]} for one in ("push", "composed")}
    facts = {"gallery": "composed", "galleries": rows, "identities": {"push": 10}}
    return track(robust, name, attacked=0.5, **facts)


def curve(black_box=""):
    if black_box:
        return {"curve": {"0": 0.8}, "rank1": {"0": 0.8}, "median_eps": None, "chance": 0.1,
                "queries": LITE.sample}  # fmt: skip
    points = dict(zip(map(str, LITE.curve), [0.8, 0.6, 0.3, *[0.05] * 8], strict=True))
    return {
        "curve": points, "rank1": points, "median_eps": 2.0, "single": 0.2, "iterative": 0.1,
        "doubled": 0.05, "converged": 0.05, "moving": 0.0, "silent": 0, "chance": 0.1,
        "queries": LITE.sample,
    }  # fmt: skip


def noise_check(eps, left):
    meaning = "random noise leaves no more than attacks by gradients"
    return Check("NOISE", RED, False, left - 0.79, 0.0, meaning, f"Q, eps {eps}")


def result(name="model", *, robust=0.2, gallery_mAP=0.1, data="market1501", eps=("8", "5"),
           best="push", defended=False, black_box="", inspection=(), **changes):  # fmt: skip
    """A result that is called standard; ``changes`` replace values by their dotted keys.

    ``looks`` are measurements of the model that differ from those of a good one.
    """
    version = dataclasses.replace(LITE, eps=tuple(map(int, eps)))
    seen = Inspection(0.0, False, 0.0, 0.0, 0.5, CLEAN, 0.1, black_box=black_box)
    seen = dataclasses.replace(seen, **dict(inspection))
    trials = curve(black_box)
    checks = [*of_model(seen), *([] if black_box else of_trials(Trials.of(trials)))]
    checks += [] if black_box else [noise_check(e, robust) for e in eps]
    flags = [check for check in checks if check.raised]
    reasons = why_not(version, 2, flags, black_box)
    rows = {"best": best, "defended": defended}
    content = {
        "schema": 1,
        "version": "0.1.0",
        "model": {
            "name": name, "sha256": digest(name), "parameters": None if black_box else 1234567,
            "size": [256, 128], "defense": {"name": "jpeg"} if defended else None,
        },
        "data": {"name": data, "query": QUERIES, "gallery": 2000, "train": 10,
                 "listing": digest(data)},
        "standard": {
            "name": name_of(version, black_box),
            "headline": headline(black_box),
            "called_standard": not reasons,
            "reasons": reasons,
            "escalated": "",
            "definition": version.facts(),
        },
        "threat": dict(THREAT),
        "metric": {"name": "euclidean", "normalized": True},
        "protocol": {"name": "market1501", "ap_rule": "standard"},
        "surrogates": [{"network": "Net", "sha256": digest(other)} for other in ("a", "b")],
        "tracks": {
            "Q": {e: queries(robust, f"{name}Q{e}", **rows) for e in eps},
            "G": {e: gallery(gallery_mAP, f"{name}G{e}") for e in eps},
        },
        "curve": trials,
        "looks": dataclasses.asdict(seen),
        "flags": [flag.to_dict() for flag in flags],
        "checks": [check.to_dict() for check in checks],
        "environment": {"torch": "2"},
        "manifest": "",
    }  # fmt: skip
    for key, value in changes.items():
        *way, last = key.split("__")
        place = content
        for part in way:
            place = place[part]
        place[last] = copy.deepcopy(value)
    content["manifest"] = manifest_hash(content["tracks"])
    return sealed(content)


def flag(name="ZERO", level=RED, meaning="nothing moves"):
    return {"name": name, "level": level, "raised": True, "value": 1.0, "threshold": 0.5,
            "meaning": meaning, "where": ""}  # fmt: skip


def write(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).write_text(json.dumps(content))
    return folder / RESULT


__all__ = ["AMBER", "ROWS", "digest", "flag", "gallery", "queries", "result", "track", "write"]
