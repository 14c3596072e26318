"""The standard evaluation of every model of a config on every target."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.loggers import logging_to
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.engines.trained import weights_of
from torchreid_adv.evaluation.protocol import Protocol, configured_metric
from torchreid_adv.models.cuda import on_configured_threads
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.runs.defended_run import configured_test
from torchreid_adv.runs.inputs import NOTHING, Given
from torchreid_adv.runs.torchreid_checks import check_trainable
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
    models = team.first(lambda: configured_models(cfg))
    surrogates = team.first(lambda: configured_surrogates(cfg))
    surrogate_models = [loaded.model(cfg, spec) for spec in surrogates]
    for spec in models:  # a model that fails to load is reported now, not after hours of work
        loaded.model(cfg, spec)
    results = []
    for target in dict.fromkeys(cfg.data.targets):
        data = team.first(functools.partial(loaded.dataset, cfg, target))
        for spec in models:
            out = Path(cfg.data.save_dir) / data.name / spec.label
            settings = {
                "protocol": protocol,
                "attacked": attacked,
                "surrogates": surrogate_models,
                "team": team,
            }
            loggers = cfg.adv.report.loggers if team.leads else []
            with working_in(out, team), logging_to(*loggers, folder=out):
                model = loaded.model(cfg, spec)
                results.append(_one(cfg, spec, model, data, out, settings, command))
    return results


def configured_models(cfg: AdvConfig) -> list[ModelSpec]:
    """Return the models to evaluate: ``adv.standard.models``, else ``model.name``."""
    if not cfg.adv.standard.models:
        return [ModelSpec(cfg.model.name, cfg.model.name, weights_of(cfg))]
    return _specs(cfg, cfg.adv.standard.models)


def configured_surrogates(cfg: AdvConfig) -> list[ModelSpec]:
    """Return the surrogates of ``adv.standard.surrogates``."""
    return _specs(cfg, cfg.adv.standard.surrogates)


def _specs(cfg: AdvConfig, entries: Sequence[str]) -> list[ModelSpec]:
    """Return models with their weights, trained for the quick start if necessary."""
    if not cfg.adv.virtual.train_model:
        return parse_models(entries)
    specs = parse_models(entries, trained=None)
    return [spec if spec.weights else _trained(cfg, spec) for spec in specs]


def _trained(cfg: AdvConfig, spec: ModelSpec) -> ModelSpec:
    from torchreid_adv.engines.trained import trained_weights  # imports the training stack

    run_cfg = cfg.clone()
    run_cfg.model.name = spec.name
    check_trainable(run_cfg)
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    return replace(spec, weights=str(trained_weights(run_cfg)))


def _one(
    cfg: AdvConfig,
    spec: ModelSpec,
    model: ImageModel,
    data: ReIDData,
    out: Path,
    settings: dict[str, Any],
    command: str,
) -> Path:
    test, workers = configured_test(cfg), lookup(cfg, "data.workers", 0)
    model = model if test is None else test.of(model)
    print(f"##### Standard evaluation: {spec.label} on {data.name} #####")
    result = evaluate_standard(
        model,
        data,
        out=out,
        version=cfg.adv.standard.version,
        tracks=cfg.adv.standard.tracks,
        name=spec.label,
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
