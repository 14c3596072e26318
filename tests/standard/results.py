"""Results of the standard evaluation as their files hold them, made up."""

import copy
import hashlib
import json

from torchreid_adv.standard.reading import RESULT, manifest_hash, sealed
from torchreid_adv.standard.versions import LITE


def digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def track(clean, robust, name, **facts):
    span = [max(0.0, robust - 0.05), min(1.0, robust + 0.05)]
    return {
        "clean": {"mAP": clean, "cmc": {"1": clean, "5": 1.0, "10": 1.0}},
        "robust": {"mAP": robust, "cmc": {"1": robust / 2, "5": robust, "10": robust}},
        "interval": span,
        "manifest": digest(name),
        **facts,
    }


def result(name="model", *, robust=0.2, gallery=0.1, data="market1501", eps=("8", "5"), **changes):
    """A result of an undefended model; ``changes`` replace values by their dotted keys."""
    tracks = {
        "Q": {e: track(0.8, robust, f"{name}Q{e}", best_attack="push", defense=None) for e in eps},
        "G": {e: track(0.8, gallery, f"{name}G{e}", gallery="composed") for e in eps},
    }
    content = {
        "schema": 1,
        "version": "0.1.0",
        "model": {"name": name, "sha256": digest(name), "parameters": 1234567, "defense": None},
        "data": {"name": data, "listing": digest(data)},
        "standard": {
            "name": "SRR-lite",
            "headline": "",
            "called_standard": True,
            "reasons": [],
            "escalated": "",
            "definition": LITE.facts(),
        },
        "metric": {"name": "euclidean", "normalized": True},
        "surrogates": [],
        "tracks": tracks,
        "curve": {},
        "flags": [],
        "environment": {"torch": "2"},
        "manifest": "",
    }
    for key, value in changes.items():
        *way, last = key.split("__")
        place = content
        for part in way:
            place = place[part]
        place[last] = copy.deepcopy(value)
    content["manifest"] = manifest_hash(content["tracks"])
    return sealed(content)


def flag(name="ZERO", level="RED", meaning="nothing moves"):
    return {"name": name, "level": level, "meaning": meaning, "where": "", "value": 1.0}


def write(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).write_text(json.dumps(content))
    return folder / RESULT
