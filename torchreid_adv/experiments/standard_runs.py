"""The standard evaluation of every model of a config on every target."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.loggers import logging_to
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.evaluation.protocol import Protocol, configured_metric
from torchreid_adv.experiments.evaluated_models import (
    EvaluatedModel,
    configured_surrogates,
    evaluated_models,
)
from torchreid_adv.models.cuda import on_configured_threads
from torchreid_adv.runs.inputs import NOTHING, Given
from torchreid_adv.standard.page import standard_page
from torchreid_adv.standard.reading import RESULT
from torchreid_adv.standard.result import lines
from torchreid_adv.standard.run import evaluate_standard


@on_configured_threads
def standard(
    cfg: AdvConfig, command: str = "", team: Team = ALONE, *, loaded: Given = NOTHING
) -> list[Path]:
    """Evaluate every model on every target and return the results' files.

    Args:
        cfg: for the models, the targets, the version and the page.
        command: of this run, for the page.
        team: this process and those it shares the attacks with.
        loaded: models and data sets that are loaded already.
    """
    protocol, metric = Protocol.configured(cfg), cfg.adv.attack.metric
    attacked = configured_metric(cfg, metric) if metric else None
    models = team.first(lambda: evaluated_models(cfg))
    surrogates = team.first(lambda: configured_surrogates(cfg))
    surrogate_models = [loaded.model(cfg, spec) for spec in surrogates]
    for model in models:  # one that fails to load is reported now, not after hours of work
        loaded.model(model.cfg, model.spec)
    results = []
    for target in dict.fromkeys(cfg.data.targets):
        data = team.first(functools.partial(loaded.dataset, cfg, target))
        for model in models:
            out = Path(cfg.data.save_dir) / data.name / model.spec.label
            settings = {
                "protocol": protocol,
                "attacked": attacked,
                "surrogates": surrogate_models,
                "team": team,
            }
            loggers = cfg.adv.report.loggers if team.leads else []
            with working_in(out, team), logging_to(*loggers, folder=out):
                results.append(_one(model, loaded, data, out, settings, command))
    return results


def _one(
    tested: EvaluatedModel,
    loaded: Given,
    data: ReIDData,
    out: Path,
    settings: dict[str, Any],
    command: str,
) -> Path:
    cfg, name = tested.cfg, tested.spec.label
    model, workers = tested.load(loaded), lookup(cfg, "data.workers", 0)
    print(f"##### Standard evaluation: {name} on {data.name} #####")
    result = evaluate_standard(
        model,
        data,
        out=out,
        version=cfg.adv.standard.version,
        tracks=cfg.adv.standard.tracks,
        name=name,
        workers=workers,
        **settings,
    )
    print(*lines(result), sep="\n")
    if cfg.adv.report.page and settings["team"].leads:
        standard_page(
            model,
            data,
            out=out,
            protocol=settings["protocol"],
            workers=workers,
            settings=config.plain(cfg),
            command=command,
        )
    settings["team"].wait()
    return out / RESULT
