"""Shared by the tables on universal attackers: models by data set, attacks learned once, cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.comparison import OurCell, compare
from torchreid_adv.experiments.learned import (
    LearnedAttack,
    Recipe,
    SourceModel,
    given,
    learned,
    way,
)
from torchreid_adv.experiments.reproduce import Reproduction, finding, rule_note, settle
from torchreid_adv.experiments.scenarios import models_of
from torchreid_adv.experiments.universal_scores import UniversalScores
from torchreid_adv.report.paper_table import paper_table

EPS = 8.0  # gray levels, in all tables except those on bounds
KINDS = ("color", "delta", "both")
WAYS = (*KINDS, *(f"meta {kind}" for kind in KINDS))
TABLE = {
    "test.dist_metric": "euclidean",
    "test.normalize_feature": False,  # the paper does not normalize features
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
    """The models of a table, and their results.

    Attacks are learned on ``data.sources`` and tested on ``data.targets``, each with the model that
    was trained on that set.

    Args:
        cfg: changed in place: the table's settings are written into it.
        number: of the table.
        needed: labels; at least one of them must be given.

    Raises:
        ConfigError: none of them is given, or a key differs from the table's settings.
    """

    def __init__(self, cfg: AdvConfig, number: int, *needed: str) -> None:
        self.cfg, self.table = cfg, paper_table(f"meta.table{number}")
        settle(cfg, self.table.name, TABLE)
        labels = needed or tuple(self.table.models)
        entries = cfg.adv.scenarios.models or cfg.adv.study.models
        every = models_of(cfg) if entries else []
        self.known = [victim for victim in every if victim.model in self.table.models]
        if not any(victim.model in labels for victim in self.known):
            raise self._wanting(labels)
        self.left_out = [v.spec.label for v in every if v not in self.known]
        self.files = given(cfg, every)
        self.out = Path(cfg.data.save_dir)
        self.scores = UniversalScores(cfg, self.known, self.out)

    def sources(self, *models: str) -> list[SourceModel]:
        """Return the models that attacks are learned against, optionally with some labels."""
        return [v for v in self._of(models) if v.data in self.cfg.data.sources]

    def targets(self, *models: str) -> list[SourceModel]:
        """Return the tested models, optionally with some labels."""
        return [v for v in self._of(models) if v.data in self.cfg.data.targets]

    def attack(
        self, on: SourceModel, name: str, *, eps: float = EPS, **settings: Any
    ) -> LearnedAttack:
        """Learn an attack by its name in the tables."""
        if name in OTHERS:
            recipe = Recipe(name, eps, {**OTHERS[name], **settings}, METRICS.get(name, ""))
        else:
            learning, _, kind = name.rpartition(" ")
            recipe = way(kind, learning or "source", eps, **settings)
        return learned(self.cfg, on, recipe, self.out)

    def attacks(self, on: SourceModel, *names: str) -> dict[str, LearnedAttack]:
        """Learn attacks by their names; attacks from files follow."""
        return {**{name: self.attack(on, name) for name in names}, **self.filed(on)}

    def filed(self, on: SourceModel) -> dict[str, LearnedAttack]:
        """Return the attacks of ``adv.scenarios.files`` on a model, by their names in tables."""
        named = {}
        for attack in self.files:
            if attack.on == on:
                bound = "" if attack.eps == EPS else f", eps {attack.eps:g}"
                named[f"{SPELLED.get(attack.way, attack.way)}{bound}"] = attack
        return named

    def clean(self, tested: SourceModel, /, **where: Any) -> OurCell:
        """Return how a model ranks the clean data set."""
        cell = self.scores.clean(tested)
        return finding(cell, **{"tested": tested.model, "eps": "", **where})

    def under(self, attack: LearnedAttack, tested: SourceModel, /, **where: Any) -> OurCell:
        """Return how a model ranks queries under an attack."""
        cell = self.scores.attacked(attack, tested)
        place = {"tested": tested.model, "learned": attack.on.model, "source": attack.on.data}
        return finding(cell, **{**place, **where})

    def done(self, findings: list[OurCell], *notes: str) -> Reproduction:
        """Compare the findings with the paper's table.

        Raises:
            ConfigError: no model was tested.
        """
        if not findings:
            raise ConfigError(
                f"{self.table.name} finds no pair of models to learn against and to test: attacks "
                "are learned against models of data.sources, and tested on models of data.targets; "
                f"adv.scenarios.models has {', '.join(v.spec.label for v in self.known)}"
            )
        all_notes = [*self._missing(), *notes, self._learning(), rule_note(self.cfg, self.table)]
        return Reproduction(compare(self.table, findings, notes=all_notes))

    def _of(self, models: tuple[str, ...]) -> list[SourceModel]:
        return [v for v in self.known if not models or v.model in models]

    def _learning(self) -> str:
        keys, meta = self.cfg.adv.scenarios, self.cfg.adv.meta
        plural = "s" * (keys.epochs > 1)
        return (
            f"Ours is learned for {keys.epochs} epoch{plural}; the meta-test set is "
            f"{meta.virtual} (the paper's: PersonX-456); both parts share eps by adv.meta.budget "
            f"'{meta.budget}'."
        )

    def _missing(self) -> list[str]:
        given_labels = {victim.model for victim in self.known}
        missing = [f"{k} ({v})" for k, v in self.table.models.items() if k not in given_labels]
        notes = []
        if missing:
            notes.append(
                "Not given in adv.scenarios.models, so only in the paper: " + ", ".join(missing)
            )
        if self.left_out:
            notes.append(
                f"Left out, because the table has no such model: {', '.join(self.left_out)}."
            )
        return notes

    def _wanting(self, labels: tuple[str, ...]) -> ConfigError:
        data = self.table.targets[0]
        entries = [
            f"{label}-{data}={self.table.networks.get(label, 'NETWORK')}:WEIGHTS"
            for label in labels
        ]
        return ConfigError(
            f"{self.table.name} takes models under the paper's labels, each with the data set it "
            f'was trained on: adv.scenarios.models "{entries}"; one of them is enough'
        )
