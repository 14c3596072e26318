"""A result of the standard evaluation made by hand, and the pictures that belong to it."""

import torch
from torch import nn

from torchreid_adv.models import PixelModel
from torchreid_adv.standard.flags import Looks, Trials, of_model, of_trials
from torchreid_adv.standard.page import write_standard_page
from torchreid_adv.standard.page_view import build_view

LOOKS = Looks(0.0, False, 1e-7, 0.0, 0.3, 0.8, 0.05)
TRIALS = Trials({0: 0.8, 8: 0.2, 255: 0.3}, 0.4, 0.25, 0.2, 0.19, 0.01, 0, 0.05)  # UNB, MONO


class Small(nn.Module):
    """Two maps with places, then their means."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.maps = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return self.maps(images).mean((2, 3))


def small_model():
    return PixelModel(Small(), size=(16, 8)).eval()


def rate(value):
    return {"mAP": value, "cmc": {"1": value, "5": min(1, 2 * value), "10": 1.0}}


def query_facts(names, defense=None):
    own = {
        name: {
            "queries": 6 - place, "before": 0.8, "mAP": 0.5 - place / 10, "draws": [],
            "cmc": rate(0.4)["cmc"], "won": place, "left": 0.5 - place / 10,
        }
        for place, name in enumerate(names)
    }  # fmt: skip
    facts = {"attacks": own, "best_attack": names[0], "skipped": 2, "defense": defense}
    wins = {a: {b: 3 * (a < b) for b in names if a != b} for a in names}
    return common() | facts | {"wins": wins}


def gallery_facts(names):
    own = {name: {**rate(0.3 + place / 10), "draws": []} for place, name in enumerate(names)}
    facts = {"galleries": own, "gallery": names[0], "identities": {names[0]: 4}, "attacked": 1.0}
    return common() | facts | {"skipped": 0}


def common():
    return {
        "clean": rate(0.8), "robust": rate(0.21), "interval": [0.18, 0.25],
        "rank1_interval": [0.15, 0.27], "map_ratio": 0.2625, "queries": 6, "manifest": "0" * 64,
    }  # fmt: skip


def standard_facts(words=("harmless",), *, defense=True):
    """Return the content of standard.json in which every string from outside is of ``words``."""

    def word(i):
        return words[i % len(words)]

    rows = dict.fromkeys(("undefended_clean", "undefended", "oblivious", "adaptive"), 0.3)
    rows = {**rows, "worst_draw": None} if defense else None
    checks = [check.to_dict() for check in (*of_model(LOOKS), *of_trials(TRIALS))]
    strange = {**checks[0], "name": word(0), "raised": True, "where": word(1), "meaning": word(2)}
    checks.append(strange)
    names = [f"{word(i)}{i}" for i in range(3)]
    tracks = {
        "Q": {"8": query_facts(["push", "noise", *names], rows), "5": query_facts(names, rows)},
        "G": {"8": gallery_facts(["push", *names]), "5": gallery_facts(["push", "composed"])},
    }
    threat = {name: word(i) for i, name in enumerate(("bound", "goal", "Q", "G", "scored"))}
    return {
        "schema": 1, "version": word(3), "manifest": word(4), "tracks": tracks,
        "model": {"name": word(5), "sha256": word(6),
                  "defense": {word(7): word(8), "random": True} if defense else None},
        "data": {"name": word(9), "query": 6, "gallery": 18, "train": 4, "listing": word(10)},
        "standard": {"name": f"SRR-{word(11)}", "called_standard": False,
                     "headline": word(22),
                     "reasons": [word(12), word(13)], "escalated": word(14),
                     "definition": {"eot": 2, "draws": 3, word(15): word(16)}},
        "threat": {**threat, "knowledge": word(17)},
        "metric": {"name": word(18), "normalized": True},
        "surrogates": [{"network": word(19), "sha256": word(20)}],
        "curve": {"curve": {"0": 0.8, "8": 0.2, "255": 0.3}, "median_eps": 8.0, "chance": 0.05,
                  "rank1": {"0": 0.9, "8": 0.1, "255": 0}, "queries": 4},
        "looks": {"chance": 0.05, "no_gradient": 0.0}, "checks": checks,
        "flags": [check for check in checks if check["raised"]],
        "environment": {"python": word(21), "gpu": ""},
    }  # fmt: skip


def standard_report(path, make_target, words=("harmless",), *, gradient=False, defense=True):
    """Write a page from results and images made by hand."""
    facts = standard_facts(words, defense=defense)
    views = []
    for track, side in (("Q", "query"), ("G", "gallery")):
        target = make_target(
            side=side, name=words[0], rename=lambda image_id: image_id + words[-1], strength=2.0
        )
        target.results["adversarial"]["cmc"] = target.results["clean"]["cmc"]
        made_by = dict.fromkeys(target.attacked, words[1 % len(words)])
        views.append(build_view(track, "8", target, small_model(), made_by, gradient=gradient))
    return write_standard_page(
        path,
        facts,
        views,
        settings={words[0]: [words[-1]]},
        command=f"torchreid-adv standard {words[0]}",
        verify=[words[-1]],
    )
