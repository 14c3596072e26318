"""The four scenarios: universal attacks on the source, other models, other data sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from torchreid_adv.config import AdvConfig, plain
from torchreid_adv.core.files import write_text
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.learned import (
    LearnedAttack,
    Recipe,
    SourceModel,
    UniversalScores,
    given,
    last_recipe,
    learned,
    recipes,
    source_models,
)
from torchreid_adv.experiments.scenario_pictures import pictures
from torchreid_adv.experiments.scenario_tables import (
    ScenarioCell,
    markdown,
    scenario_of,
    scenarios_page,
    tables,
)
from torchreid_adv.experiments.study import trained_models
from torchreid_adv.report.page import write_page
from torchreid_adv.runs.grid_attack import labeled
from torchreid_adv.version import __version__

SCHEMA = 1


def write_scenarios(cfg: AdvConfig) -> str:
    """Run the scenarios of a config, write their tables, and return the last words."""
    out, eps = Path(cfg.data.save_dir), float(cfg.adv.attack.eps)
    known = _of_data(cfg, models_of(cfg))
    attacks = learn_all(cfg, known, out)
    scores = UniversalScores(cfg, known, out)
    found = outcomes(attacks, known, scores)
    text = markdown(found, eps)
    facts = {"schema": SCHEMA, "version": __version__}
    content = {
        **facts,
        "config": plain(cfg),
        "models": [victim.spec.entry for victim in known],
        "learned": [_said(attack) for attack in attacks],
        "cells": [one.to_dict() for one in found],
    }
    write_text(out / "scenarios.json", json.dumps(content, indent=1) + "\n")
    write_text(out / "scenarios.md", text + "\n")
    if not cfg.adv.report.page:
        return f"{text}\n\nTables: {out / 'scenarios.md'}"
    facts |= {"models": [victim.spec.label for victim in known], "eps": eps}
    drawn = pictures(cfg, attacks, scores)
    page = scenarios_page(facts, tables(found, eps), drawn, plain(cfg))
    return f"{text}\n\nReport: {write_page(out / 'scenarios.html', page)}"


def models_of(cfg: AdvConfig) -> list[SourceModel]:
    """Return the models of ``adv.scenarios.models``, or train those of ``adv.study.models``.

    Raises:
        ConfigError: neither of the two names a model.
    """
    if cfg.adv.scenarios.models:
        return source_models(list(cfg.adv.scenarios.models))
    if not cfg.adv.study.models:
        raise ConfigError(
            "adv.scenarios.models names no model; write ['IDE-market1501=resnet50:WEIGHTS', ...], "
            "each after the data set it was trained on, or adv.study.models ['label=name', ...], "
            "which are trained on each of data.sources and data.targets"
        )
    found = []
    for name in dict.fromkeys([*cfg.data.sources, *cfg.data.targets]):
        own = cfg.clone()
        own.data.sources = [name]
        for spec in trained_models(own, cfg.train.seed):
            found.append(source_models([f"{spec.label}-{name}{spec.entry[len(spec.label) :]}"])[0])
    return found


def _of_data(cfg: AdvConfig, known: Sequence[SourceModel]) -> list[SourceModel]:
    """Return the models of the config's data sets."""
    names = list(dict.fromkeys([*cfg.data.sources, *cfg.data.targets]))
    own = [victim for victim in known if victim.data in names]
    if not own:
        raise ConfigError(
            f"adv.scenarios.models has no model of {', '.join(names)} (data.sources and "
            f"data.targets), but of {', '.join(dict.fromkeys(v.data for v in known))}"
        )
    left = [victim.spec.label for victim in known if victim not in own]
    if left:
        print(f"Left out, because no data set of the config is theirs: {', '.join(left)}")
    return own


def attacked_by(cfg: AdvConfig, known: Sequence[SourceModel]) -> list[SourceModel]:
    """Return the models that perturbations are learned against.

    Raises:
        ConfigError: a label that no model has.
    """
    first = next((v for v in known if v.data in cfg.data.sources), known[0])
    labels = list(cfg.adv.scenarios.learned) or [first.spec.label]
    chosen = labeled([victim.spec for victim in known], labels)
    return [victim for victim in known if victim.spec in chosen]


def learn_all(cfg: AdvConfig, known: Sequence[SourceModel], out: Path) -> list[LearnedAttack]:
    """Learn every perturbation that is not there yet; those of files come last."""
    asked = [*recipes(cfg), *_further(cfg)]
    files = given(cfg, list(known))  # what is wrong with them is said first
    made = [learned(cfg, on, one, out) for on in attacked_by(cfg, known) for one in asked]
    return [*made, *files]


def outcomes(
    attacks: Sequence[LearnedAttack], known: Sequence[SourceModel], scores: UniversalScores
) -> list[ScenarioCell]:
    """Test every attack on every model, each on the queries of its own data set."""
    found = []
    for attack in attacks:
        on = attack.on.model, attack.on.data
        for victim in known:
            cell, tested = scores.attacked(attack, victim), (victim.model, victim.data)
            found.append(
                ScenarioCell(
                    scenario_of(on, tested),
                    attack.way,
                    attack.eps,
                    on,
                    tested,
                    cell.clean,
                    cell.adversarial,
                )
            )
    return found


def _further(cfg: AdvConfig) -> list[Recipe]:
    chosen = cfg.adv.scenarios
    return [last_recipe(cfg, float(eps)) for eps in chosen.eps if eps != cfg.adv.attack.eps]


def _said(attack: LearnedAttack) -> dict[str, object]:
    return {
        "way": attack.way,
        "model": attack.on.model,
        "data": attack.on.data,
        "eps": attack.eps,
        "attack": attack.attack,
        "file": str(attack.file),
    }
