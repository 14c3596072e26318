"""``torchreid-adv transfer``: attack some models, test others on what comes out."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.commands import stock_config
from torchreid_adv.commands.attack_gallery import (
    attack_targets,
    configured_dataset,
    configured_job,
    ensemble_of,
    identity_of,
    load_spec,
)
from torchreid_adv.commands.attack_job import AttackJob
from torchreid_adv.commands.job_metrics import metric_facts
from torchreid_adv.commands.stock_checks import check_names
from torchreid_adv.config import AdvConfig
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.distances import FittedDistance
from torchreid_adv.errors import ConfigError, DataError, suggest
from torchreid_adv.evaluation import evaluate
from torchreid_adv.integration.hooks import installed
from torchreid_adv.jobs.files import write_text
from torchreid_adv.jobs.manifest import Manifest, read_manifest, sha256
from torchreid_adv.models import Ensemble, Features, PixelModel, extract, fingerprint
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import COMMANDS
from torchreid_adv.report.matrix import Cell, markdown, write_matrix
from torchreid_adv.report.paper import paper_table

_Model = PixelModel | Ensemble


@COMMANDS.register("transfer", help="attack some models, test others on the adversarial images")
def main(arguments: list[str]) -> int:
    """Fill the table that ``adv.transfer.*`` describes and return 0.

    Raises:
        ConfigError: a label, model or key that cannot be used.
        DataError: a data set or an image that cannot be used.
    """
    return run_table(
        arguments, "transfer", "Attack models and test others on the adversarial images.", _write
    )


def run_table(
    arguments: list[str], name: str, sentence: str, work: Callable[[AdvConfig], str]
) -> int:
    """Do what a command of tables does: take the config, check it, work, print what came out.

    Args:
        arguments: of the command line.
        name: of the command.
        sentence: what it does.
        work: takes the config and returns the last words.
    """
    chosen = stock_config.make_parser(f"torchreid-adv {name}", sentence).parse_args(arguments)
    cfg = stock_config.merged_config(chosen)
    if chosen.dry_run:
        return stock_config.print_config(cfg)
    if cfg.adv.job.shard:
        raise ConfigError(f"'{name}' is done by one process; leave adv.job.shard empty")
    if cfg.adv.defense.name:
        raise ConfigError(
            f"'{name}' attacks and tests models without a defense; leave adv.defense.name empty, "
            "or use attack-gallery"
        )
    with installed():
        config.setup(cfg)
        check_names(cfg)
        print(f"\n{work(cfg)}")
    return 0


def _write(cfg: AdvConfig) -> str:
    cells = transfer(cfg)
    print("\n" + markdown(cells))
    return f"Table: {write_matrix(Path(cfg.data.save_dir), cells)}"


@dataclass(frozen=True)
class Crossing:
    """One attack on one model or several: what is stored once and tested by all.

    Args:
        attacked: the models.
        attack: registered name.
        eps: gray levels.
        metric: attacked metric; "" = that of the evaluation.
    """

    attacked: tuple[ModelSpec, ...]
    attack: str
    eps: float
    metric: str

    @property
    def label(self) -> str:
        """The attacked models' labels."""
        return "+".join(spec.label for spec in self.attacked)

    def folder(self, out: Path) -> Path:
        """Return where its run lies."""
        metric = f"-{self.metric.replace(':', '.')}" if self.metric else ""
        return out / "attacks" / self.label / f"{self.attack}-eps{self.eps:g}{metric}"

    def config(self, cfg: AdvConfig, out: Path) -> AdvConfig:
        """Return the config of its run."""
        own = cfg.clone()
        own.adv.attack.name, own.adv.attack.eps = self.attack, float(self.eps)
        own.adv.attack.metric = self.metric
        own.adv.attack.models = []
        own.data.save_dir = str(self.folder(out))
        return own


def transfer(cfg: AdvConfig) -> list[Cell]:
    """Attack what is not attacked yet, test what is not tested yet, and return all cells."""
    specs = parse_models(cfg.adv.transfer.models)
    if not specs:
        raise ConfigError(
            "adv.transfer.models names no model; write ['label=name@HEIGHTxWIDTH:weights', ...]"
        )
    paper = paper_table(cfg.adv.transfer.paper) if cfg.adv.transfer.paper else None
    tested = _labeled(specs, cfg.adv.transfer.tested) if cfg.adv.transfer.tested else specs
    out, table = Path(cfg.data.save_dir), _Table(cfg)
    targets = [table.data(name) for name in dict.fromkeys(cfg.data.targets)]
    cells = []
    for crossing in _crossings(cfg, specs):
        table.attack(crossing, targets, out)
        columns = [*tested, *([None] if len(crossing.attacked) > 1 else [])]  # None = together
        cells += [table.cell(crossing, spec, d, out) for d in targets for spec in columns]
    return cells if paper is None else paper.beside(cells)


class _Table:
    """What is loaded and computed once for all cells."""

    def __init__(self, cfg: AdvConfig) -> None:
        self.cfg = cfg
        self.data = functools.cache(functools.partial(configured_dataset, cfg))
        self.model = functools.cache(functools.partial(load_spec, cfg))
        self.clean = functools.cache(self._clean)

    def attack(self, crossing: Crossing, targets: Sequence[ReIDData], out: Path) -> None:
        """Run an attack on all data sets, unless its results are there; else it goes on."""
        own, folder = crossing.config(self.cfg, out), crossing.folder(out)
        model, facts = self._attacked(crossing)
        job = configured_job(own)
        for data in targets:
            job.folder(folder, data.name, identity_of(job, model, facts)).check_free()
        if {data.name for data in targets} - _targets(folder).keys():
            print(f"\n##### {crossing.label}: {crossing.attack}, eps {crossing.eps:g} #####")
            attack_targets(own, model, facts, targets, folder)

    def cell(self, crossing: Crossing, spec: ModelSpec | None, data: ReIDData, out: Path) -> Cell:
        """Return how a model ranks what an attack left, computed now if need be.

        Args:
            crossing: the attack.
            spec: the model; None = all attacked models together.
            data: the data set.
            out: folder of the table.
        """
        manifest = read_manifest(crossing.folder(out) / data.name / "adversarial")
        model = self._attacked(crossing)[0] if spec is None else self.model(spec)
        job = configured_job(crossing.config(self.cfg, out))
        if isinstance(job.distance, FittedDistance):
            raise ConfigError(
                f"transfer tables rank by a distance that is not fitted; test.dist_metric is "
                f"'{job.distance.name}', choose euclidean or cosine"
            )
        facts = {
            "root": manifest.root,
            "tested": fingerprint(model.network),
            "distance": repr((metric_facts("distance", job.distance), job.distance.normalize)),
            "rules": [job.ap_rule, job.protocol],
        }
        path = out / "cells" / f"{sha256(json.dumps(facts, sort_keys=True).encode())[:24]}.json"
        found = _read(path)
        if not found:
            found = self._score(crossing, spec, data, job, manifest, out)
            write_text(path, json.dumps(found, indent=1) + "\n")
        return Cell(
            target=data.name,
            attacked=crossing.label,
            attack=crossing.attack,
            eps=float(crossing.eps),
            metric=crossing.metric,
            tested="ensemble" if spec is None else spec.label,
            kind=_kind(crossing, spec),
            **found,
        )

    def _score(
        self,
        crossing: Crossing,
        spec: ModelSpec | None,
        data: ReIDData,
        job: AttackJob,
        manifest: Manifest,
        out: Path,
    ) -> dict[str, Any]:
        key = crossing.attacked if spec is None else (spec,)
        clean = self.clean(key, data.name)
        folder = crossing.folder(out) / data.name / "adversarial"
        records = [
            Record(e.image_id, folder / e.output, e.pid, e.camid)
            for e in manifest.side(job.side)
            if e.attacked
        ]
        stored = extract(self._of(key), records, workers=job.workers)
        after = {**clean, job.side: clean[job.side].replace(stored)}
        rules: dict[str, Any] = {
            "distance": job.distance,
            "ap_rule": job.ap_rule,
            "protocol": job.protocol,
            "block": job.block,
        }
        return {
            name: evaluate(sides["query"], sides["gallery"], **rules).to_dict()
            for name, sides in (("clean", clean), ("adversarial", after))
        }

    def _clean(self, specs: tuple[ModelSpec, ...], name: str) -> dict[str, Features]:
        model, data = self._of(specs), self.data(name)
        return {
            side: extract(model, data.side(side), workers=self.cfg.data.workers)
            for side in ("query", "gallery")
        }

    def _of(self, specs: tuple[ModelSpec, ...]) -> _Model:
        models = [self.model(spec) for spec in specs]
        return models[0] if len(models) == 1 else Ensemble(models)

    def _attacked(self, crossing: Crossing) -> tuple[_Model, dict[str, Any]]:
        if len(crossing.attacked) > 1:
            return ensemble_of(self.cfg, crossing.attacked)
        spec = crossing.attacked[0]
        model = self.model(spec)
        facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
        return model, facts


def _crossings(cfg: AdvConfig, specs: Sequence[ModelSpec]) -> Iterator[Crossing]:
    settings = cfg.adv.transfer
    groups = settings.attacked or [spec.label for spec in specs]
    bounds, metrics = settings.eps or [cfg.adv.attack.eps], settings.metrics or [""]
    for group, attack, eps, metric in itertools.product(groups, settings.attacks, bounds, metrics):
        yield Crossing(tuple(_group(specs, str(group))), attack, eps, metric)


def _group(specs: Sequence[ModelSpec], group: str) -> list[ModelSpec]:
    """Return the models of ``a``, ``a+b`` or ``-a`` (all but a)."""
    if not group.startswith("-"):
        return _labeled(specs, group.split("+"))
    without = _labeled(specs, [group[1:]])
    others = [spec for spec in specs if spec not in without]
    if not others:
        raise ConfigError(f"adv.transfer.attacked '{group}' leaves no model")
    return others


def _labeled(specs: Sequence[ModelSpec], labels: Sequence[str]) -> list[ModelSpec]:
    known = {spec.label: spec for spec in specs}
    for label in labels:
        if label not in known:
            raise ConfigError(
                f"no model of adv.transfer.models is '{label}'{suggest(label, known)}"
            )
    return [known[label] for label in labels]


def _kind(crossing: Crossing, spec: ModelSpec | None) -> str:
    """Return white, gray (the same network with other weights) or black."""
    if spec is None or spec in crossing.attacked:
        return "white"
    return "gray" if spec.name in {own.name for own in crossing.attacked} else "black"


def _targets(folder: Path) -> dict[str, Any]:
    """Return the results of a run that ended, by data set; nothing for one that did not."""
    targets: dict[str, Any] = _read(folder / "results.json").get("targets", {})
    try:
        for name in targets:
            read_manifest(folder / name / "adversarial")
    except DataError:
        return {}
    return targets


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
