"""Cards of models: from a config to ``card.json``, ``card.html`` and ``card.png`` of each."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.cache import Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.files import write_bytes
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.provenance import without
from torchreid_adv.core.untrusted import read_json
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.experiments.card.budgets import CardVersion, card_version
from torchreid_adv.experiments.card.comparing import check_comparable
from torchreid_adv.experiments.card.comparison import write_comparison
from torchreid_adv.experiments.card.content import (
    CARD,
    COPIED,
    SCHEMA,
    label_of,
    read_card,
    write_card,
)
from torchreid_adv.experiments.card.failures import failures
from torchreid_adv.experiments.card.figures import card_figure
from torchreid_adv.experiments.card.numbers import card_numbers
from torchreid_adv.experiments.card.page import card_page
from torchreid_adv.experiments.card.progress import Stages
from torchreid_adv.experiments.card.scoring import Scoring
from torchreid_adv.experiments.evaluated_models import EvaluatedModel, evaluated_models
from torchreid_adv.experiments.standard_runs import standard
from torchreid_adv.models.cuda import on_configured_threads, repeatable
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.report.page import write_figures, write_page
from torchreid_adv.report.style import to_png
from torchreid_adv.runs.inputs import NOTHING, Given
from torchreid_adv.standard.identity import FILE_NAME, KEPT, environment, listing
from torchreid_adv.standard.judge import Judge
from torchreid_adv.standard.per_query import kept_scores
from torchreid_adv.standard.reading import RESULT, SEAL, read_result
from torchreid_adv.version import __version__

PAGE = "card.html"
PICTURE = "card.png"
ATTACKS = "attacks"  # the stage of the standard evaluation
_DEFAULT = "standard"  # adv.standard.version, unless it is set


@on_configured_threads
def cards(cfg: AdvConfig, command: str = "", *, loaded: Given = NOTHING) -> list[Path]:
    """Make the card of every model on the first target, and of several models a comparison.

    Finished parts are read back, so the same command continues where it was stopped.

    Args:
        cfg: for the models (``adv.standard.models`` or ``adv.zoo``), the targets and
            ``adv.card.*``; the clean models are also tested on further targets.
        command: that is run, for the pages.
        loaded: models and data sets that are loaded already.

    Returns:
        the ``card.json`` of each model, and of several models ``cards.json`` last.

    Raises:
        ConfigError: a model, version or reference that cannot be used.
        DataError: a data set or an image that cannot be used.
    """
    version = card_version(cfg.adv.card.version)
    _check_version(cfg, version)
    models = evaluated_models(cfg)
    for model in models:  # one that cannot be loaded is reported before the attacks
        loaded.model(model.cfg, model.spec)
    first, *further = dict.fromkeys(cfg.data.targets)
    data = loaded.dataset(cfg, first)
    others = [loaded.dataset(cfg, name) for name in further]
    reference = configured_reference(cfg, version, data)
    folders = [_made(model, data, others, version, reference, command, loaded) for model in models]
    paths = [folder / CARD for folder in folders]
    if len(models) > 1:
        contents = [read_card(path) for path in paths]
        known = {label_of(card) for card in contents}
        if reference is not None and label_of(reference) not in known:
            contents.append(reference)
        paths.append(write_comparison(Path(cfg.data.save_dir) / data.name, contents, command))
    return paths


def _check_version(cfg: AdvConfig, version: CardVersion) -> None:
    if cfg.adv.standard.version not in (_DEFAULT, version.standard):
        raise ConfigError(
            f"the card '{version.name}' uses the standard evaluation's version "
            f"'{version.standard}', but adv.standard.version is '{cfg.adv.standard.version}'; "
            "leave it out, and set adv.card.version"
        )


def configured_reference(
    cfg: AdvConfig, version: CardVersion, data: ReIDData
) -> dict[str, Any] | None:
    """Return the card of the reference model, None if ``adv.card.reference`` is empty.

    Raises:
        ConfigError: it was made by another version or on another data set.
        DataError: it is not a card, or was changed by hand.
    """
    if not cfg.adv.card.reference:
        return None
    path = Path(cfg.adv.card.reference)
    card = read_card(path / CARD if path.is_dir() else path)
    same = {
        f"of the version '{card['card']['name']}'": card["card"] == version.facts(),
        f"of the data set '{card['data']['name']}'": card["data"]["name"] == data.name,
        "of other images": card["data"]["listing"] == listing(data, Contents()),
        "by other rules of the scores": (
            card["protocol"] == json.loads(json.dumps(Protocol.configured(cfg, data).facts()))
        ),
    }
    for difference, fits in same.items():
        if not fits:
            raise ConfigError(
                f"the reference card '{path}' is {difference}; make it by the version "
                f"'{version.name}' on '{data.name}', or leave adv.card.reference empty"
            )
    return card


def _made(
    tested: EvaluatedModel,
    data: ReIDData,
    others: Sequence[ReIDData],
    version: CardVersion,
    reference: dict[str, Any] | None,
    command: str,
    loaded: Given,
) -> Path:
    """Make the card of one model and return its folder."""
    cfg, spec = tested.cfg, tested.spec
    out = Path(cfg.data.save_dir) / data.name / spec.label
    began, attacked = time.perf_counter(), (out / RESULT).is_file()
    standard(_of_standard(cfg, spec, version), command, loaded=loaded)
    seconds = 0.0 if attacked else time.perf_counter() - began
    model = tested.load(loaded)
    with working_in(out), repeatable():
        scoring = Scoring(cfg, model, data, others, version, out / KEPT)
        print(f"##### Robustness card, {version.name}: {spec.label} on {data.name} #####")
        card = _content(scoring, out, seconds)
        write_card(out / CARD, card)
        _write_pages(scoring, read_card(out / CARD), out, reference, command)
    return out


def _of_standard(cfg: AdvConfig, spec: ModelSpec, version: CardVersion) -> AdvConfig:
    """Return the config of the standard evaluation of one model."""
    alone: AdvConfig = cfg.clone()
    alone.data.targets = alone.data.targets[:1]
    alone.adv.standard.models = [spec.entry]
    alone.adv.standard.version = version.standard
    return alone


def _content(scoring: Scoring, out: Path, attacks: float) -> dict[str, Any]:
    """Score what is not scored yet, and return the card.

    Args:
        scoring: of the model.
        out: folder of the model.
        attacks: seconds that the standard evaluation took now; 0 = it was done before.
    """
    result, version = read_result(out / RESULT), scoring.version
    run = Key(without(read_json(out / FILE_NAME, 2**24))).digest
    key = Key.of(run=run, card=version.facts())
    stages = Stages(scoring.total, scoring.test(scoring.data).cache, key)
    if attacks:
        stages.took(ATTACKS, attacks)
    queries = scoring.queries(kept_scores(out / KEPT, {"run": run}, result), stages)
    speed = scoring.speed(key)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "card": version.facts(),
        **{name: result[name] for name in COPIED},
        "standard": standard_facts(result),
        "queries": queries,
        "numbers": card_numbers(queries, version),
        "cost": {
            "parameters": result["model"]["parameters"],
            "size": result["model"]["size"],
            **speed,
            "seconds": stages.seconds,
        },
        "environment": environment(),
    }


def standard_facts(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a card says of the result that its robust numbers are of.

    Args:
        result: content of ``standard.json``.
    """
    return {
        "name": result["standard"]["name"],
        "called_standard": result["standard"]["called_standard"],
        "sha256": result[SEAL],
        "flags": [
            {name: flag[name] for name in ("name", "level", "where")} for flag in result["flags"]
        ],
    }


def _write_pages(
    scoring: Scoring,
    card: dict[str, Any],
    out: Path,
    reference: dict[str, Any] | None,
    command: str,
) -> None:
    """Write the page, its figures and the figure for a paper."""
    if reference is not None:
        check_comparable(card, reference)
    cfg, data = scoring.cfg, scoring.data
    rules = Protocol.configured(cfg, data).plain
    judge = Judge(
        scoring.model,
        data,
        rules,
        1,
        out / KEPT / "features",
        workers=lookup(cfg, "data.workers", 0),
    )
    paths = {
        record.image_id: record.path for side in ("query", "gallery") for record in data.side(side)
    }
    page = card_page(
        card,
        people=failures(card["queries"], judge.clean[0], paths, rules),
        reference=reference,
        command=command,
        verify=shlex.join(["torchreid-adv", "verify", str(out), "--root", str(data.root)]),
        settings=config.plain(cfg),
    )
    drawn = {name: figure for section in page.sections for name, figure in section.figures.items()}
    write_figures(out / "card_figures", drawn)
    write_bytes(out / PICTURE, to_png(card_figure(card)))
    write_page(out / PAGE, page)
