"""Pictures of networks of tracklets: ranking lists and attention, and what an attack leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.attacked import TargetReport
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.experiments.pictures import write_gallery
from torchreid_adv.models import Features, extract
from torchreid_adv.models.features import load_features
from torchreid_adv.models.self_attack.parts import parts_of
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.models.tracklet_model import TrackletModel
from torchreid_adv.report.choice import choose_images
from torchreid_adv.report.style import to_png
from torchreid_adv.report.tracklet_sheets import Subject, attention_sheet, lists_figure
from torchreid_adv.runs.attack_dataset import kept_run
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.version import __version__

SCHEMA = 1
LISTED = 2  # queries of each data set whose lists are drawn
PEOPLE = 2  # in the picture of attention, each in both modalities


@dataclass(frozen=True)
class Shown:
    """A network with its runs.

    Args:
        model: the network.
        results: of each data set.
        reports: what lists are drawn from, of each data set.
    """

    model: TrackletModel
    results: dict[str, Any]
    reports: dict[str, TargetReport]


def tracklet_pictures(cfg: AdvConfig) -> Path:
    """Draw the pictures of a config and return the page that holds them.

    Args:
        cfg: for the networks (``adv.pictures.models``, or ``adv.pictures.rows`` to be trained), the
            attack and the data sets, usually both directions of one.

    Raises:
        ConfigError: no network, or a data set of single images.
    """
    cfg = cfg.clone()
    cfg.adv.attack.side, cfg.adv.report.page, cfg.adv.job.copies = "query", False, False
    out, specs = Path(cfg.data.save_dir), video_models(cfg)
    names = dict.fromkeys(cfg.data.targets)
    targets = [configured_dataset(cfg, name, tracklets=True) for name in names]
    shown = {spec.label: _shown(cfg, spec, targets, out / _folder(spec)) for spec in specs}
    first = next(iter(shown.values()))
    facts: dict[str, Any] = {"schema": SCHEMA, "version": __version__, "models": list(shown)}
    facts |= {"attack": first.results[targets[0].name]["attack"]}
    facts["targets"] = [_facts(data, shown) for data in targets]
    images = {name: to_png(figure) for name, figure in _drawn(targets, shown).items()}
    for name, content in images.items():
        write_bytes(out / "figures" / f"{name}.png", content)
    write_text(out / "pictures.json", json.dumps(facts, indent=1) + "\n")
    settings = config.plain(cfg)
    return write_gallery(out / "report.html", facts, images, settings, template="tracklets.html")


def video_models(cfg: AdvConfig) -> list[ModelSpec]:
    """Return the networks of a config, those of ``adv.pictures.rows`` trained if need be.

    Raises:
        ConfigError: none is named and none may be trained.
    """
    specs = parse_models(cfg.adv.pictures.models)
    if specs:
        return specs
    if not cfg.adv.virtual.train_model:
        raise ConfigError(
            "adv.pictures.models names no network; write ['B=name:weights', ...], or set "
            "adv.virtual.train_model True to train those of adv.pictures.rows"
        )
    for row in cfg.adv.pictures.rows:
        parts_of(row)  # a wrong one is said before anything is trained
    specs = []
    for row in cfg.adv.pictures.rows:
        own = cfg.clone()
        own.adv.engine = "vi_self_attack"
        own.adv.video.update(parts_of(row))
        specs.append(ModelSpec(row, cfg.model.name, str(trained_weights(own))))
    return specs


def _folder(spec: ModelSpec) -> str:
    return spec.label.replace("*", "_no_spatial")  # not every system has files with a star


def _shown(cfg: AdvConfig, spec: ModelSpec, targets: Sequence[ReIDData], folder: Path) -> Shown:
    own = cfg.clone()
    own.data.save_dir = str(folder)
    model = load_spec(own, spec)
    assert isinstance(model, TrackletModel)
    facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
    title = f"{spec.label}: {own.adv.attack.name}"
    results = kept_run(own, model, facts, targets, folder, title)
    reports = {
        data.name: _report(data, model, folder / data.name, results[data.name], own)
        for data in targets
    }
    return Shown(model, results, reports)


def _report(
    data: ReIDData,
    model: TrackletModel,
    folder: Path,
    results: dict[str, Any],
    cfg: AdvConfig,
) -> TargetReport:
    workers = lookup(cfg, "data.workers", 0)

    def features(side: str) -> Features:
        kept = load_features(folder / ".job" / f"{side}.safetensors", data.side(side))
        return extract(model, data.side(side), workers=workers) if kept is None else kept

    variant = folder / "adversarial"
    outputs = {entry.image_id: entry.output for entry in read_manifest(variant).stored}
    attacked = [r.moved(variant, outputs) for r in data.query if r.is_of(outputs)]
    query, gallery = features("query"), features("gallery")
    records = [*data.query, *data.gallery]
    paths = {record.image_id: record.path for record in records}
    return TargetReport(
        name=data.name,
        results=results,
        query=query,
        gallery=gallery,
        query_after=query.replace(extract(model, attacked, workers=workers)),
        gallery_after=gallery,
        paths=paths,
        paths_after=paths | {record.image_id: record.path for record in attacked},
        attacked=frozenset(record.image_id for record in attacked),
        side="query",
        eps=from_levels(cfg.adv.attack.eps),
        protocol=Protocol.configured(cfg, data),
    )


def _facts(data: ReIDData, shown: dict[str, Shown]) -> dict[str, Any]:
    models = {
        label: {key: one.results[data.name][key] for key in ("clean", "adversarial")}
        for label, one in shown.items()
    }
    sizes = {"query": len(data.query), "gallery": len(data.gallery)}
    return {"name": data.name, **sizes, "models": models}


def _drawn(targets: Sequence[ReIDData], shown: dict[str, Shown]) -> dict[str, Any]:
    figures = {}
    for data in targets:
        reports = {label: one.reports[data.name] for label, one in shown.items()}
        figures[f"lists_{data.name}"] = lists_figure(reports, after=False, count=LISTED)
        figures[f"attacked_{data.name}"] = lists_figure(reports, after=True, count=LISTED)
    ends = dict.fromkeys((next(iter(shown)), list(shown)[-1]))  # the first and the last
    models = {label: shown[label].model for label in ends}
    figures["attention"] = attention_sheet(models, [Subject.of(r) for r in _subjects(targets[0])])
    return figures


def _subjects(data: ReIDData) -> list[Record]:
    """Return tracklets of some people, each once from query and once from gallery."""
    sides: list[dict[int, Record]] = [{}, {}]
    for first, records in zip(sides, (data.query, data.gallery), strict=True):
        for record in records:
            first.setdefault(record.pid, record)
    both = {f"{pid:08d}": pid for pid in sides[0] if pid in sides[1]}
    chosen = [both[name] for name in choose_images(list(both), count=PEOPLE)]
    return [side[pid] for pid in chosen for side in sides]
