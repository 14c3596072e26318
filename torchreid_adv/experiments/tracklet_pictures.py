"""Pictures of networks of tracklets: ranking lists, attention, and scores under an attack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.models import Features, extract
from torchreid_adv.models.features import load_features
from torchreid_adv.models.self_attack.parts import parts_of
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.models.tracklet_model import TrackletModel
from torchreid_adv.report import text
from torchreid_adv.report.choice import choose_images
from torchreid_adv.report.page import Page, PageFigure, Section, write_figures, write_page
from torchreid_adv.report.table import ResultTable, TableRow
from torchreid_adv.report.tracklet_sheets import Subject, attention_sheet, lists_figure
from torchreid_adv.runs.attack_dataset import run_or_read
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.version import __version__

SCHEMA = 1
LISTED = 2  # queries with a drawn list, per data set
PEOPLE = 2  # in the picture of attention, each in both modalities


@dataclass(frozen=True)
class Shown:
    """A network with its runs.

    Args:
        model: the network.
        results: of each data set.
        reports: of each data set, for the lists.
    """

    model: TrackletModel
    results: dict[str, Any]
    reports: dict[str, AttackedData]


def tracklet_pictures(cfg: AdvConfig) -> Path:
    """Draw the pictures of a config and return their page.

    Args:
        cfg: for the networks (``adv.pictures.models``, or ``adv.pictures.rows`` to be trained), the
            attack and the data sets, usually both directions of one set.

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
    figures = {
        name: PageFigure(figure, *_said(name), wide=True, photo=True)
        for name, figure in _drawn(targets, shown).items()
    }
    write_figures(out / "figures", figures)
    write_text(out / "pictures.json", json.dumps(facts, indent=1) + "\n")
    return write_page(out / "report.html", tracklets_page(facts, figures, config.plain(cfg)))


def tracklets_page(
    facts: Mapping[str, Any], figures: Mapping[str, PageFigure], settings: Mapping[str, Any]
) -> Page:
    """Return the page of visible-infrared tracklets.

    Args:
        facts: content of ``pictures.json``.
        figures: ``attention`` and, of each data set, ``lists_NAME`` and ``attacked_NAME``.
        settings: the config.
    """
    lists = [
        Section(
            f"Ranking lists: {target['name']}",
            [
                "A query at the left, then the ten nearest tracklets for each network, each shown "
                "by its first frame: green is the same person, red is another person. The distance "
                "is below."
            ],
            figures={
                f"{kind}_{n}": figures[f"{kind}_{target['name']}"] for kind in ("lists", "attacked")
            },
        )
        for n, target in enumerate(facts["targets"], start=1)
    ]
    return Page(
        title=f"Visible-infrared tracklets: {' and '.join(facts['models'])}",
        kicker=f"{facts['attack']['name']} on queries, {text.levels(facts['attack']['eps'])}, made "
        "on each network separately",
        lead=[
            "Self-attack and its defense change features, only in training. They aim at accuracy "
            "on clean tracklets and do not defend against noise on images; the table shows the "
            "accuracy of each network under such noise."
        ],
        sections=[
            Section("", tables=[_table(facts)]),
            *lists,
            Section(
                "Where features come from",
                [
                    "Grad-CAM at the last layer with a spatial map, of the feature's projection on "
                    "its own direction. Each frame's map is scaled to its own range: warm is high."
                ],
                figures={"attention": figures["attention"]},
            ),
        ],
        config=settings,
        written_by=f"torchreid_adv {facts['version']}, schema {facts['schema']}",
    )


def _said(name: str) -> tuple[str, str]:
    """Return the description and the caption of a figure."""
    kind = name.partition("_")[0]
    return {
        "lists": ("ranking lists of each network", "Clean queries."),
        "attacked": ("ranking lists of attacked queries", "The same queries, attacked."),
    }.get(kind, ("attention of the networks in each frame", ""))


def _table(facts: Mapping[str, Any]) -> ResultTable:
    """Return the measures of each network on each data set."""
    rows = [
        TableRow(
            label,
            [
                *(measures[time]["mAP"] for time in ("clean", "adversarial")),
                *(measures[time]["cmc"]["1"] for time in ("clean", "adversarial")),
            ],
            group=f"{target['name']}: {target['query']} queries among {target['gallery']} "
            "tracklets",
        )
        for target in facts["targets"]
        for label, measures in target["models"].items()
    ]
    noise = (
        "One noise for all frames of a tracklet"
        if "tracklet" in facts["attack"]
        else "Separate noise for each frame of a tracklet"
    )
    return ResultTable(
        "Measures of each network",
        ("clean", "attacked", "clean", "attacked"),
        rows,
        head="Network",
        note=f"{noise}; scores are those of the stored frames.",
        bands=(("", 1), ("mAP", 2), ("Rank-1", 2)),
    )


def video_models(cfg: AdvConfig) -> list[ModelSpec]:
    """Return the networks of a config, those of ``adv.pictures.rows`` trained if necessary.

    Raises:
        ConfigError: the config names none and does not allow training.
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
        parts_of(row)  # a wrong row is reported before training
    specs = []
    for row in cfg.adv.pictures.rows:
        run_cfg = cfg.clone()
        run_cfg.adv.engine = "vi_self_attack"
        run_cfg.adv.video.update(parts_of(row))
        specs.append(ModelSpec(row, cfg.model.name, str(trained_weights(run_cfg))))
    return specs


def _folder(spec: ModelSpec) -> str:
    return spec.label.replace("*", "_no_spatial")  # some systems do not allow a star in file names


def _shown(cfg: AdvConfig, spec: ModelSpec, targets: Sequence[ReIDData], folder: Path) -> Shown:
    run_cfg = cfg.clone()
    run_cfg.data.save_dir = str(folder)
    model = load_spec(run_cfg, spec)
    assert isinstance(model, TrackletModel)
    facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
    title = f"{spec.label}: {run_cfg.adv.attack.name}"
    results = run_or_read(run_cfg, model, facts, targets, folder, title)
    reports = {
        data.name: _report(data, model, folder / data.name, results[data.name], run_cfg)
        for data in targets
    }
    return Shown(model, results, reports)


def _report(
    data: ReIDData,
    model: TrackletModel,
    folder: Path,
    results: dict[str, Any],
    cfg: AdvConfig,
) -> AttackedData:
    workers = lookup(cfg, "data.workers", 0)

    def features(side: str) -> Features:
        stored = load_features(folder / ".job" / f"{side}.safetensors", data.side(side))
        return extract(model, data.side(side), workers=workers) if stored is None else stored

    stored_images = folder / "adversarial"
    outputs = {entry.image_id: entry.output for entry in read_manifest(stored_images).stored}
    attacked = [r.moved(stored_images, outputs) for r in data.query if r.is_of(outputs)]
    query, gallery = features("query"), features("gallery")
    records = [*data.query, *data.gallery]
    paths = {record.image_id: record.path for record in records}
    return AttackedData(
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
        label: {key: network.results[data.name][key] for key in ("clean", "adversarial")}
        for label, network in shown.items()
    }
    sizes = {"query": len(data.query), "gallery": len(data.gallery)}
    return {"name": data.name, **sizes, "models": models}


def _drawn(targets: Sequence[ReIDData], shown: dict[str, Shown]) -> dict[str, Any]:
    figures = {}
    for data in targets:
        reports = {label: network.reports[data.name] for label, network in shown.items()}
        figures[f"lists_{data.name}"] = lists_figure(reports, after=False, count=LISTED)
        figures[f"attacked_{data.name}"] = lists_figure(reports, after=True, count=LISTED)
    ends = dict.fromkeys((next(iter(shown)), list(shown)[-1]))  # the first and the last
    models = {label: shown[label].model for label in ends}
    figures["attention"] = attention_sheet(models, [Subject.of(r) for r in _subjects(targets[0])])
    return figures


def _subjects(data: ReIDData) -> list[Record]:
    """Return tracklets of some people, one from query and one from gallery each."""
    sides: list[dict[int, Record]] = [{}, {}]
    for first, records in zip(sides, (data.query, data.gallery), strict=True):
        for record in records:
            first.setdefault(record.pid, record)
    both = {f"{pid:08d}": pid for pid in sides[0] if pid in sides[1]}
    pids = [both[name] for name in choose_images(list(both), count=PEOPLE)]
    return [side[pid] for pid in pids for side in sides]
