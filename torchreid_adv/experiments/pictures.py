"""The page of pictures: attention, features and noise of several models, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.images import read_image
from torchreid_adv.defenses import Defense, build_defense
from torchreid_adv.defenses.circuitous_scaling import A, B
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.report import text
from torchreid_adv.report.attention import ModelImages, agreement, attention_figure, attention_maps
from torchreid_adv.report.choice import choose_images
from torchreid_adv.report.embedding import cloud, embedding_figure
from torchreid_adv.report.page import Page, PageFigure, Section, write_figures, write_page
from torchreid_adv.report.stages import kept, noises, sparsity, stages_figure
from torchreid_adv.report.table import Cell, ResultTable, TableRow
from torchreid_adv.runs.attack_dataset import run_or_read
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.version import __version__


def gallery_page(
    facts: Mapping[str, Any], figures: Mapping[str, PageFigure], settings: Mapping[str, Any]
) -> Page:
    """Return the page of attention, features and noise.

    Args:
        facts: content of ``pictures.json``.
        figures: ``attention``, ``features`` and ``noise``.
        settings: the config.
    """
    labels, images = list(facts["models"]), text.number(facts["images"])
    note = f"Attention and noise: means over {images} queries, each of another person."
    return Page(
        title=f"Attention, features and noise: {' and '.join(labels)}",
        kicker=f"{facts['attack']['name']} on queries of {facts['data']}, made on each model by "
        "itself",
        sections=[
            Section("", tables=[_numbers(facts["models"], note)]),
            *(
                Section(title, sentences, figures={name: figures[name]})
                for name, title, sentences in _PARTS
            ),
        ],
        config=settings,
        written_by=f"torchreid_adv {facts['version']}, schema {facts['schema']}",
    )


_ALT = {
    "attention": "attention of each model before and after the attack",
    "features": "features of images, variants and adversarial examples",
    "noise": "noise after each stage of circuitous scaling",
}
_PARTS = (
    (
        "attention",
        "Where features come from",
        [
            "Grad-CAM at the last layer with a spatial map, of the feature's projection on that of "
            "the clean image. Each map is scaled to its own range: warm is high. Agreement is the "
            "correlation of a model's maps before and after the attack."
        ],
    ),
    (
        "features",
        "Where features are",
        [
            "t-SNE of some people, a color each: an image, homogeneous variants of it (gray, "
            "sketch, and channels fused with them) and its adversarial example, marked by an "
            "arrow. Positions in different panels are not comparable; the cosine distances below "
            "them are."
        ],
    ),
    (
        "noise",
        "Noise after scaling",
        [
            "Noise around mid-gray, all with the same amplification, as stored and after each "
            "stage of circuitous scaling, resized to the image's original size. Energy: the "
            "remaining share of squared noise. The attack does not know the scaling; an attack "
            "that does makes other noise."
        ],
    ),
)


def _numbers(models: Mapping[str, Any], note: str) -> ResultTable:
    measures = list(models.values())

    def plain(values: Sequence[float]) -> list[Cell]:
        return [Cell(text.fixed(value), value) for value in values]

    rows = [
        TableRow("mAP, clean", [model["clean_mAP"] for model in measures]),
        TableRow("mAP, attacked", [model["adversarial_mAP"] for model in measures]),
        TableRow(
            "agreement of attention",
            plain([model["attention_agreement"] for model in measures]),
            "correlation of the maps before and after",
        ),
    ]
    for kind, name in (
        ("adversarial", "adversarial example"),
        ("variants", "homogeneous variants"),
    ):
        distances = plain([model["cosine_distance"][kind] for model in measures])
        rows.append(TableRow(f"cosine distance, {name} to image", distances))
    sparsities = plain([model["noise"]["sparsity"] for model in measures])
    hoyer = "Hoyer: 0 = all values equally large, 1 = a single nonzero value"
    rows.append(TableRow("sparsity of the noise", sparsities, hoyer))
    return ResultTable("Measures of each model", list(models), rows, note=note)


SCHEMA = 1
LOOKED_AT = 24  # images that attention and noise are averaged over
SHOWN = 4  # images in the picture of attention
STAGED = 2  # images in the picture of noise


def pictures(cfg: AdvConfig) -> Path:
    """Draw the pictures of a config and return their page.

    Args:
        cfg: for the models (``adv.pictures.models``), the attack and the first of the data sets.
    """
    cfg = cfg.clone()
    cfg.adv.attack.side, cfg.adv.report.page = "query", False
    out, specs = Path(cfg.data.save_dir), _models(cfg)
    data = configured_dataset(cfg, cfg.data.targets[0])
    records = _chosen(data)
    runs, sittings = {}, []
    for spec in specs:
        runs[spec.label], sitting = _attacked(cfg, spec, data, records, out / spec.label)
        sittings.append(sitting)
    count = min(cfg.adv.pictures.identities, len(records))
    drawn = _draw(cfg, sittings, count)
    for label, run in runs.items():
        for name in ("clean", "adversarial"):
            drawn["models"][label][f"{name}_mAP"] = run[name]["mAP"]
    facts = {"schema": SCHEMA, "version": __version__, "data": data.name, "images": len(records)}
    facts |= {"attack": runs[specs[0].label]["attack"], "models": drawn["models"]}
    figures = {
        name: PageFigure(figure, _ALT[name], wide=True, photo=name != "features")
        for name, figure in drawn["figures"].items()
    }
    write_figures(out / "figures", figures)
    write_text(out / "pictures.json", json.dumps(facts, indent=1) + "\n")
    page = gallery_page(facts, figures, config.plain(cfg))
    return write_page(out / "report.html", page)


def _models(cfg: AdvConfig) -> list[ModelSpec]:
    specs = parse_models(cfg.adv.pictures.models)
    if specs:
        return specs
    if not cfg.adv.virtual.train_model:
        raise ConfigError(
            "adv.pictures.models names no model; write ['N=name:weights', 'DL=name:weights'], or "
            "set adv.virtual.train_model True to train N and DL"
        )
    specs = []
    for label, extra in {"N": [], "DL": ["diversity"]}.items():
        run_cfg = cfg.clone()
        run_cfg.data.transforms = [*cfg.data.transforms, *extra]
        specs.append(ModelSpec(label, cfg.model.name, str(trained_weights(run_cfg))))
    return specs


def _chosen(data: ReIDData) -> list[Record]:
    """Return one query each of some identities, at even steps through the queries."""
    first: dict[int, Record] = {}
    for record in data.query:
        first.setdefault(record.pid, record)
    names = choose_images([record.image_id for record in first.values()], count=LOOKED_AT)
    return [record for record in first.values() if record.image_id in set(names)]


def _attacked(
    cfg: AdvConfig, spec: ModelSpec, data: ReIDData, records: Sequence[Record], folder: Path
) -> tuple[dict[str, Any], ModelImages]:
    """Attack the queries on a model and return results and the chosen images."""
    run_cfg = cfg.clone()
    run_cfg.data.save_dir = str(folder)
    model = load_spec(run_cfg, spec)
    facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
    title = f"{spec.label}: {run_cfg.adv.attack.name}"
    run = run_or_read(run_cfg, model, facts, [data], folder, title)[data.name]
    stored_images = folder / data.name / "adversarial"
    stored = {entry.image_id: entry.output for entry in read_manifest(stored_images).side("query")}
    after = [read_image(stored_images / stored[record.image_id]) for record in records]
    before = [_as_large(read_image(r.path), image) for r, image in zip(records, after, strict=True)]
    return run, ModelImages(spec.label, model, before, after)


def _as_large(image: Image.Image, other: Image.Image) -> Image.Image:
    """Resize an image if the attack stores images at the network's size."""
    if image.size == other.size:
        return image
    return image.resize(other.size, Image.Resampling.BILINEAR)


def _draw(cfg: AdvConfig, sittings: Sequence[ModelImages], count: int) -> dict[str, Any]:
    """Return ``figures`` and, by label, their numbers (``models``)."""
    numbers: dict[str, dict[str, Any]] = {}
    maps = []
    for sitting in sittings:
        toward = sitting.features(sitting.clean)
        pair = (
            attention_maps(sitting, sitting.clean, toward),
            attention_maps(sitting, sitting.adversarial, toward),
        )
        maps.append(pair)
        numbers[sitting.label] = {"attention_agreement": fmean(agreement(*pair))}
    clouds = [cloud(sitting, count) for sitting in sittings]
    for model_cloud in clouds:
        numbers[model_cloud.label]["cosine_distance"] = model_cloud.distances
    for sitting in sittings:
        numbers[sitting.label]["noise"] = _noise(sitting)
    shown = min(SHOWN, len(sittings[0].clean))
    places = range(min(STAGED, shown))
    eps = from_levels(cfg.adv.attack.eps)
    first = sittings[0]
    figures = {
        "attention": attention_figure(sittings, maps, shown),
        "features": embedding_figure(clouds),
        "noise": stages_figure(sittings, _stages(first, first.clean[0]), places, eps),
    }
    return {"figures": figures, "models": numbers}


def _noise(sitting: ModelImages) -> dict[str, Any]:
    """Return the mean sparsity of a model's noise and its remaining energy after each stage."""
    sparse, energy = [], []
    for place, image in enumerate(sitting.clean):
        before, after = noises(sitting, place, _stages(sitting, image))
        sparse.append(sparsity(before))
        energy.append([kept(before, left) for left in after])
    names = _stages(sitting, sitting.clean[0])
    left = np.mean(energy, axis=0).tolist()
    return {"sparsity": fmean(sparse), "energy_kept": dict(zip(names, left, strict=True))}


def _stages(sitting: ModelImages, image: Image.Image) -> dict[str, Defense]:
    """Return circuitous scaling cut off after every stage, in proportion to the network's input."""
    height, width = sitting.model.size
    sizes = [[round(h * height / 256), round(w * width / 128)] for h, w in (A, B, A)]
    final = (image.height, image.width)
    return {
        " → ".join(f"{h}x{w}" for h, w in sizes[:end]): build_defense(
            "circuitous_scaling", sizes=sizes[:end], final=final
        )
        for end in range(1, len(sizes) + 1)
    }
