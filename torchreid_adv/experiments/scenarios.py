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
from torchreid_adv.experiments.universal_scores import UniversalScores
from torchreid_adv.report.page import write_page
from torchreid_adv.runs.grid_attack import labeled
from torchreid_adv.version import __version__

SCHEMA = 1


def write_scenarios(cfg: AdvConfig) -> str:
    """Run the scenarios of a config, write their tables, and return the final message."""
    out, eps = Path(cfg.data.save_dir), float(cfg.adv.attack.eps)
    known = _of_data(cfg, models_of(cfg))
    attacks = learn_all(cfg, known, out)
    scores = UniversalScores(cfg, known, out)
    cells = outcomes(attacks, known, scores)
    text = markdown(cells, eps)
    facts = {"schema": SCHEMA, "version": __version__}
    content = {
        **facts,
        "config": plain(cfg),
        "models": [victim.spec.entry for victim in known],
        "learned": [_said(attack) for attack in attacks],
        "cells": [cell.to_dict() for cell in cells],
    }
    write_text(out / "scenarios.json", json.dumps(content, indent=1) + "\n")
    write_text(out / "scenarios.md", text + "\n")
    if not cfg.adv.report.page:
        return f"{text}\n\nTables: {out / 'scenarios.md'}"
    facts |= {"models": [victim.spec.label for victim in known], "eps": eps}
    drawn = pictures(cfg, attacks, scores)
    page = scenarios_page(facts, tables(cells, eps), drawn, plain(cfg))
    return f"{text}\n\nReport: {write_page(out / 'scenarios.html', page)}"


def models_of(cfg: AdvConfig) -> list[SourceModel]:
    """Return the models of ``adv.scenarios.models``, or train those of ``adv.study.models``.

    Raises:
        ConfigError: neither key names a model.
    """
    if cfg.adv.scenarios.models:
        return source_models(list(cfg.adv.scenarios.models))
    if not cfg.adv.study.models:
        raise ConfigError(
            "adv.scenarios.models names no model; write ['IDE-market1501=resnet50:WEIGHTS', ...], "
            "with the training set in each label, or adv.study.models ['label=name', ...], "
            "which are trained on each of data.sources and data.targets"
        )
    models = []
    for name in dict.fromkeys([*cfg.data.sources, *cfg.data.targets]):
        run_cfg = cfg.clone()
        run_cfg.data.sources = [name]
        for spec in trained_models(run_cfg, cfg.train.seed):
            models.append(source_models([f"{spec.label}-{name}{spec.entry[len(spec.label) :]}"])[0])
    return models


def _of_data(cfg: AdvConfig, known: Sequence[SourceModel]) -> list[SourceModel]:
    """Return the models of the config's data sets."""
    names = list(dict.fromkeys([*cfg.data.sources, *cfg.data.targets]))
    in_use = [victim for victim in known if victim.data in names]
    if not in_use:
        raise ConfigError(
            f"adv.scenarios.models has no model of {', '.join(names)} (data.sources and "
            f"data.targets), but of {', '.join(dict.fromkeys(v.data for v in known))}"
        )
    left_out = [victim.spec.label for victim in known if victim not in in_use]
    if left_out:
        print(f"Left out, because the config lacks their data sets: {', '.join(left_out)}")
    return in_use


def attacked_by(cfg: AdvConfig, known: Sequence[SourceModel]) -> list[SourceModel]:
    """Return the models that perturbations are learned against.

    Raises:
        ConfigError: a label that no model has.
    """
    first = next((v for v in known if v.data in cfg.data.sources), known[0])
    labels = list(cfg.adv.scenarios.learned) or [first.spec.label]
    specs = labeled([victim.spec for victim in known], labels)
    return [victim for victim in known if victim.spec in specs]


def learn_all(cfg: AdvConfig, known: Sequence[SourceModel], out: Path) -> list[LearnedAttack]:
    """Learn every perturbation that is not cached yet; those from files come last."""
    asked = [*recipes(cfg), *_further(cfg)]
    files = given(cfg, list(known))  # their errors come first
    attacks = [learned(cfg, on, recipe, out) for on in attacked_by(cfg, known) for recipe in asked]
    return [*attacks, *files]


def outcomes(
    attacks: Sequence[LearnedAttack], known: Sequence[SourceModel], scores: UniversalScores
) -> list[ScenarioCell]:
    """Test every attack on every model, each with the queries of the model's data set."""
    cells = []
    for attack in attacks:
        on = attack.on.model, attack.on.data
        for victim in known:
            cell, tested = scores.attacked(attack, victim), (victim.model, victim.data)
            cells.append(
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
    return cells


def _further(cfg: AdvConfig) -> list[Recipe]:
    keys = cfg.adv.scenarios
    return [last_recipe(cfg, float(eps)) for eps in keys.eps if eps != cfg.adv.attack.eps]


def _said(attack: LearnedAttack) -> dict[str, object]:
    return {
        "way": attack.way,
        "model": attack.on.model,
        "data": attack.on.data,
        "eps": attack.eps,
        "attack": attack.attack,
        "file": str(attack.file),
    }
