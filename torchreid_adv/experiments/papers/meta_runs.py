"""What the tables on universal attackers share: models by data set, attacks learned once, cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.comparison import Finding, compare
from torchreid_adv.experiments.learned import (
    Learned,
    UniversalScores,
    Victim,
    Way,
    given,
    learned,
    way,
)
from torchreid_adv.experiments.reproduce import Reproduction, finding, rule_note, settle
from torchreid_adv.experiments.scenarios import models_of
from torchreid_adv.report.paper_table import paper_table

EPS = 8.0  # gray levels, of all tables but those on bounds
KINDS = ("color", "delta", "both")
WAYS = (*KINDS, *(f"meta {kind}" for kind in KINDS))
TABLE = {
    "test.dist_metric": "euclidean",
    "test.normalize_feature": False,  # the paper ranks features as they are
    "adv.evaluation.ap_rule": "standard",
    "adv.data.interpolation": "bilinear",
    "adv.attack.metric": "",
    "adv.attack.targeted": False,
    "adv.attack.side": "query",
    "adv.attack.space": "network",
    "adv.attack.eps": EPS,
    "adv.meta.loss": "triplet",
    "adv.meta.margin": 0.5,
    "adv.meta.cells": 25,
}
OTHERS: dict[str, dict[str, Any]] = {  # learned without meta-learning by other losses
    "UAP w/ SMA": {"perturbation": "delta", "learning": "source", "loss": "self"},
    "UAP-Retrieval": {"perturbation": "delta", "learning": "source", "loss": "centroids"},
}
METRICS = {"UAP w/ SMA": "cosine"}  # section 5.6: it lowers cosine similarity
SPELLED = {"MisRank-PersonX": "MisRank+PersonX"}  # in adv.scenarios.files -> in the paper


class MetaRuns:
    """The models of a table, and what is found of them.

    Attacks are learned on ``data.sources`` and tested on ``data.targets``, by the model that was
    trained there.

    Args:
        cfg: changed in place: what a table is made with is set.
        number: of the table.
        needed: labels one of which at least has to be there.

    Raises:
        ConfigError: none of them is given, or a key that is not the table's.
    """

    def __init__(self, cfg: AdvConfig, number: int, *needed: str) -> None:
        self.cfg, self.table = cfg, paper_table(f"meta.table{number}")
        settle(cfg, self.table.name, TABLE)
        wanted = needed or tuple(self.table.models)
        there = cfg.adv.scenarios.models or cfg.adv.study.models
        every = models_of(cfg) if there else []
        self.known = [victim for victim in every if victim.model in self.table.models]
        if not any(victim.model in wanted for victim in self.known):
            raise self._wanting(wanted)
        self.left_out = [v.spec.label for v in every if v not in self.known]
        self.files = given(cfg, every)
        self.out = Path(cfg.data.save_dir)
        self.scores = UniversalScores(cfg, self.known, self.out)

    def sources(self, *models: str) -> list[Victim]:
        """Return the models that attacks are learned against, of some labels."""
        return [v for v in self._of(models) if v.data in self.cfg.data.sources]

    def targets(self, *models: str) -> list[Victim]:
        """Return the models that are tested, of some labels."""
        return [v for v in self._of(models) if v.data in self.cfg.data.targets]

    def attack(self, on: Victim, name: str, *, eps: float = EPS, **settings: Any) -> Learned:
        """Learn an attack under one of the names that tables have."""
        if name in OTHERS:
            chosen = Way(name, eps, {**OTHERS[name], **settings}, METRICS.get(name, ""))
        else:
            learning, _, kind = name.rpartition(" ")
            chosen = way(kind, learning or "source", eps, **settings)
        return learned(self.cfg, on, chosen, self.out)

    def attacks(self, on: Victim, *names: str) -> dict[str, Learned]:
        """Learn attacks by their names; those of files follow."""
        return {**{name: self.attack(on, name) for name in names}, **self.filed(on)}

    def filed(self, on: Victim) -> dict[str, Learned]:
        """Return what ``adv.scenarios.files`` has of a model, under the names of tables."""
        named = {}
        for one in self.files:
            if one.on == on:
                bound = "" if one.eps == EPS else f", eps {one.eps:g}"
                named[f"{SPELLED.get(one.way, one.way)}{bound}"] = one
        return named

    def clean(self, tested: Victim, /, **where: Any) -> Finding:
        """Return how a model ranks what nobody attacked."""
        cell = self.scores.clean(tested)
        return finding(cell, **{"tested": tested.model, "eps": "", **where})

    def under(self, made: Learned, tested: Victim, /, **where: Any) -> Finding:
        """Return how a model ranks queries under an attack."""
        cell = self.scores.attacked(made, tested)
        place = {"tested": tested.model, "learned": made.on.model, "source": made.on.data}
        return finding(cell, **{**place, **where})

    def done(self, findings: list[Finding], *notes: str) -> Reproduction:
        """Hold the findings against the paper's table.

        Raises:
            ConfigError: no model was tested.
        """
        if not findings:
            raise ConfigError(
                f"{self.table.name} finds no pair of models to learn against and to test: attacks "
                "are learned against models of data.sources, and tested on models of data.targets; "
                f"adv.scenarios.models has {', '.join(v.spec.label for v in self.known)}"
            )
        said = [*self._missing(), *notes, self._learning(), rule_note(self.cfg, self.table)]
        return Reproduction(compare(self.table, findings, notes=said))

    def _of(self, models: tuple[str, ...]) -> list[Victim]:
        return [v for v in self.known if not models or v.model in models]

    def _learning(self) -> str:
        chosen, meta = self.cfg.adv.scenarios, self.cfg.adv.meta
        plural = "s" * (chosen.epochs > 1)
        return (
            f"Ours is learned for {chosen.epochs} epoch{plural}, with meta-learning tested on "
            f"{meta.virtual}, both parts within eps as adv.meta.budget '{meta.budget}' says; the "
            "paper's meta-test set is PersonX-456."
        )

    def _missing(self) -> list[str]:
        given_labels = {victim.model for victim in self.known}
        missing = [f"{k} ({v})" for k, v in self.table.models.items() if k not in given_labels]
        notes = []
        if missing:
            notes.append(
                "Not given in adv.scenarios.models, so the paper's alone: " + ", ".join(missing)
            )
        if self.left_out:
            notes.append(
                f"Left out, because the table has no such model: {', '.join(self.left_out)}."
            )
        return notes

    def _wanting(self, wanted: tuple[str, ...]) -> ConfigError:
        data = self.table.targets[0]
        entries = [
            f"{label}-{data}={self.table.networks.get(label, 'NETWORK')}:WEIGHTS"
            for label in wanted
        ]
        return ConfigError(
            f"{self.table.name} takes models under the paper's labels, each with the data set it "
            f'was trained on: adv.scenarios.models "{entries}"; one of them is enough'
        )
