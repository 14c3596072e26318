"""``torchreid-adv standard``: how robust models are, by one ensemble that nobody tunes."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.commands import stock_config
from torchreid_adv.commands.attack_gallery import (
    configured_dataset,
    configured_test,
    load_spec,
    weights_of,
)
from torchreid_adv.commands.standard_page import PAGE, standard_page
from torchreid_adv.commands.stock_checks import check_trainable, ready
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.protocol import Protocol, configured_metric
from torchreid_adv.integration.console import only_leader_speaks
from torchreid_adv.jobs.lock import working_in
from torchreid_adv.jobs.team import ALONE, Team, joined
from torchreid_adv.models.base import ImageModel
from torchreid_adv.models.kernels import on_configured_threads
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import COMMANDS
from torchreid_adv.standard.reading import RESULT
from torchreid_adv.standard.run import evaluate_standard
from torchreid_adv.standard.words import lines


@COMMANDS.register("standard", help="how robust models are: one ensemble of attacks, one number")
def main(arguments: list[str]) -> int:
    """Evaluate the models that ``adv.standard.*`` names and return 0, whatever comes out.

    Raises:
        ConfigError: a model or key that cannot be used.
        DataError: a data set or an image that cannot be used.
    """
    parser = stock_config.make_parser(
        "torchreid-adv standard", "Evaluate models by the standard ensemble of attacks."
    )
    chosen = parser.parse_args(arguments)
    cfg = stock_config.merged_config(chosen)
    if chosen.dry_run:
        return stock_config.print_config(cfg)
    if cfg.adv.job.shard:
        raise ConfigError(
            "'standard' cannot be cut into shards; leave adv.job.shard empty, and share it among "
            "processes by torchrun"
        )
    with ready(cfg), joined() as team, only_leader_speaks(team):
        command = shlex.join(["torchreid-adv", "standard", *arguments])
        for path in standard(cfg, command, team):
            print(f"Result: {path}")
            if cfg.adv.report.page:
                print(f"Report: {path.with_name(PAGE)}")
    return 0


@on_configured_threads
def standard(cfg: AdvConfig, command: str = "", team: Team = ALONE) -> list[Path]:
    """Evaluate every model on every target and return the results' files.

    Args:
        cfg: for the models, the targets, the version and the page.
        command: that is run, for the page.
        team: this process and those it shares the attacks with.
    """
    protocol, metric = Protocol.configured(cfg), cfg.adv.attack.metric
    attacked = configured_metric(cfg, metric) if metric else None
    models = team.first(lambda: configured_models(cfg))
    surrogates = team.first(lambda: configured_surrogates(cfg))
    loaded = [load_spec(cfg, spec) for spec in surrogates]
    for spec in models:  # one that cannot be loaded is said now, not after hours with the others
        load_spec(cfg, spec)
    found = []
    for target in dict.fromkeys(cfg.data.targets):
        data = team.first(functools.partial(configured_dataset, cfg, target))
        for spec in models:
            out = Path(cfg.data.save_dir) / data.name / spec.label
            settings = {
                "protocol": protocol,
                "attacked": attacked,
                "surrogates": loaded,
                "team": team,
            }
            with working_in(out, team):
                found.append(_one(cfg, spec, data, out, settings, command))
    return found


def configured_models(cfg: AdvConfig) -> list[ModelSpec]:
    """Return the models that are evaluated: ``adv.standard.models``, else ``model.name``."""
    if not cfg.adv.standard.models:
        return [ModelSpec(cfg.model.name, cfg.model.name, weights_of(cfg))]
    return _specs(cfg, cfg.adv.standard.models)


def configured_surrogates(cfg: AdvConfig) -> list[ModelSpec]:
    """Return the surrogates of ``adv.standard.surrogates``."""
    return _specs(cfg, cfg.adv.standard.surrogates)


def _specs(cfg: AdvConfig, entries: Sequence[str]) -> list[ModelSpec]:
    """Return models with their weights, trained for the quick start if need be."""
    if not cfg.adv.virtual.train_model:
        return parse_models(entries)
    specs = parse_models(entries, trained=None)
    return [spec if spec.weights else _trained(cfg, spec) for spec in specs]


def _trained(cfg: AdvConfig, spec: ModelSpec) -> ModelSpec:
    from torchreid_adv.commands.own_model import trained_weights  # imports the training stack

    own = cfg.clone()
    own.model.name = spec.name
    check_trainable(own)
    if spec.size:
        own.data.height, own.data.width = spec.size
    return replace(spec, weights=str(trained_weights(own)))


def _one(
    cfg: AdvConfig,
    spec: ModelSpec,
    data: ReIDData,
    out: Path,
    settings: dict[str, Any],
    command: str,
) -> Path:
    model: ImageModel = load_spec(cfg, spec)
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
