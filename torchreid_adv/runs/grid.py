"""A grid of attacks x models x data: each attack stored once, each cell scored once."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchreid_adv.attacks import Attack
from torchreid_adv.attacks.build import check_gradient
from torchreid_adv.attacks.learned.fitted import Fitted
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.facts import facts_of
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.loggers import log, logging_to
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.contents import data_facts
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.defenses import Defended, Defense
from torchreid_adv.distances import Distance, FittedDistance, load_distance, save_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.evaluation.result import Scores
from torchreid_adv.models import Ensemble, Features, PixelModel, extract
from torchreid_adv.models.architecture import architecture
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import LOADERS
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper_table import paper_table
from torchreid_adv.runs.attack_dataset import configured_job, run_or_read
from torchreid_adv.runs.attack_run import AttackRun
from torchreid_adv.runs.folder import machinery, to_fit
from torchreid_adv.runs.grid_attack import GridAttack, grid_attacks, labeled
from torchreid_adv.runs.inputs import NOTHING, Given, ensemble_of

BOUNDS = [1.0, 2.0, 4.0, 8.0, 16.0]


CONTENTS = ".job"  # folder of cached facts about the data sets' files
FITTED = "distance.safetensors"
_Model = PixelModel | Ensemble


def transfer(
    cfg: AdvConfig,
    included: Callable[[str, str], bool] = lambda attacked, tested: True,
    *,
    behind: Defense | None = None,
    loaded: Given = NOTHING,
) -> list[Cell]:
    """Attack what is not attacked yet, test what is not tested yet, and return all cells.

    Args:
        cfg: for the table (``adv.transfer.*``), the attack and the evaluation.
        included: (attacked labels joined by ``+``, tested label) -> whether the cell is computed.
        behind: a defense of the tested models that the attacks do not know.
        loaded: models and data sets that are loaded already.
    """
    paper = paper_table(cfg.adv.transfer.paper) if cfg.adv.transfer.paper else None
    specs, tested = _models(cfg)
    out, table = Path(cfg.data.save_dir), Grid(cfg, behind, loaded)
    crossed = list(grid_attacks(cfg, specs))
    table.check_gradients(crossed, out)
    targets = [table.data(name) for name in dict.fromkeys(cfg.data.targets)]
    cells = []
    with working_in(out), logging_to(*cfg.adv.report.loggers, folder=out):
        for grid_attack in crossed:
            table.attack(grid_attack, targets, out)
            columns = [s for s in tested if included(grid_attack.label, s.label)]
            together = [None] if len(grid_attack.attacked) > 1 else []
            filled = [*columns, *together]
            cells += [table.cell(grid_attack, s, d, out) for d in targets for s in filled]
        for cell in cells:
            place = f"{cell.target}/{cell.attacked}/{cell.attack}/{cell.tested}"
            values = {f"{place}/mAP": cell.adversarial["mAP"], f"{place}/ratio": cell.ratio}
            log(values, step=round(cell.eps))
    return cells if paper is None else paper.beside(cells)


def clean_cells(cfg: AdvConfig, *, behind: Defense | None = None) -> list[Cell]:
    """Return how the tested models rank the clean data sets.

    Args:
        cfg: as for :func:`transfer`.
        behind: the same.
    """
    out, table = Path(cfg.data.save_dir), Grid(cfg, behind)
    names = dict.fromkeys(cfg.data.targets)
    with working_in(out):
        return [table.clean_cell(s, table.data(n), out) for n in names for s in _models(cfg)[1]]


def _models(cfg: AdvConfig) -> tuple[list[ModelSpec], list[ModelSpec]]:
    """Return all models and those that are tested."""
    specs = parse_models(cfg.adv.transfer.models)
    if not specs:
        raise ConfigError(
            "adv.transfer.models names no model; write ['label=name@HEIGHTxWIDTH:weights', ...]"
        )
    tested = cfg.adv.transfer.tested
    return specs, labeled(specs, tested) if tested else specs


class Grid:
    """The models, data and scores that are loaded or computed once for all cells.

    Args:
        cfg: as for :func:`transfer`.
        behind: the same.
        loaded: the same.
    """

    further: tuple[str, ...] = ()  # measures that a subclass adds to its cells

    def __init__(
        self, cfg: AdvConfig, behind: Defense | None = None, loaded: Given = NOTHING
    ) -> None:
        self.cfg = cfg
        self.behind = behind
        self.data = functools.cache(functools.partial(loaded.dataset, cfg))
        self.model = functools.cache(functools.partial(loaded.model, cfg))
        self.clean = functools.cache(self._clean)
        self._facts = functools.cache(lambda specs: facts_of(self._plain(specs)))
        self.tested_facts = functools.cache(lambda specs: facts_of(self._of(specs)))
        self._architecture = functools.cache(lambda spec: architecture(self.model(spec)))
        self._data_facts: dict[str, dict[str, Any]] = {}

    def check_gradients(self, crossed: Sequence[GridAttack], out: Path) -> None:
        """Refuse gradient attacks on networks from elsewhere that have no gradient."""
        for grid_attack in crossed:
            attack = configured_job(grid_attack.config(self.cfg, out)).attack
            for spec in grid_attack.attacked:
                if spec.name in LOADERS:
                    check_gradient(self.model(spec), attack)

    def attack(self, grid_attack: GridAttack, targets: Sequence[ReIDData], out: Path) -> None:
        """Run an attack on all data sets, or resume it, unless its results are there."""
        run_cfg, folder = grid_attack.config(self.cfg, out), grid_attack.folder(out)
        model, facts = self._attacked(grid_attack)
        title = f"{grid_attack.label}: {grid_attack.attack}, eps {grid_attack.eps:g}"
        network = self._facts(grid_attack.attacked)
        run_or_read(run_cfg, model, facts, targets, folder, title, network=network, scores=False)

    def cell(
        self, grid_attack: GridAttack, spec: ModelSpec | None, data: ReIDData, out: Path
    ) -> Cell:
        """Return how a model ranks an attack's images, computed now if necessary.

        Args:
            grid_attack: the attack.
            spec: the model; None = all attacked models together.
            data: the data set.
            out: folder of the table.
        """
        job = configured_job(grid_attack.config(self.cfg, out)).of(data)
        specs = grid_attack.attacked if spec is None else (spec,)
        root, attacked = self.stored(grid_attack, data, out)
        return Cell(
            target=data.name,
            attacked=grid_attack.label,
            attack=grid_attack.attack,
            eps=float(grid_attack.eps),
            metric=grid_attack.metric,
            tested="ensemble" if spec is None else spec.label,
            kind=self._kind(grid_attack, spec, job.attack),
            **self._scores(specs, data, job, root, attacked, out),
        )

    def _kind(self, grid_attack: GridAttack, spec: ModelSpec | None, attack: Attack) -> str:
        """Return what the attack knew of the tested model, as :class:`Cell` says.

        Loaded networks decide it, not their names: white-box is only what the attack went through.

        Args:
            grid_attack: the attack.
            spec: the tested model; None = all attacked models together.
            attack: the same, as it is built.
        """
        learned = isinstance(attack, Fitted)
        if learned and not grid_attack.weights:
            return ""  # the file may have been learned against any network
        attacked = [self._facts((other,)) for other in grid_attack.attacked]
        if spec is None or self._facts((spec,)) in attacked:
            if self.behind is not None:
                return "oblivious"
            return "white" if learned or getattr(attack, "needs_gradient", True) else "queries"
        known = {self._architecture(other) for other in grid_attack.attacked}
        tested = self._architecture(spec)
        if tested and tested in known:
            return "gray"
        return "black" if tested and all(known) else ""

    def stored(
        self, grid_attack: GridAttack, data: ReIDData, out: Path
    ) -> tuple[str, list[Record]]:
        """Return the hash of an attack's stored images, and its records of the attacked side."""
        folder = grid_attack.folder(out) / data.name / "adversarial"
        manifest = read_manifest(folder)
        return manifest.root, [
            Record(e.image_id, folder / e.output, e.pid, e.camid)
            for e in manifest.side(self.cfg.adv.attack.side)
            if e.attacked
        ]

    def after(
        self, specs: tuple[ModelSpec, ...], data: ReIDData, attacked: Sequence[Record]
    ) -> dict[str, Features]:
        """Return a model's features of both sides, with attacked images instead of originals."""
        clean, side = self.clean(specs, data.name), self.cfg.adv.attack.side
        stored = extract(self._of(specs), attacked, workers=self.cfg.data.workers)
        return {**clean, side: clean[side].replace(stored)}

    def clean_cell(self, spec: ModelSpec, data: ReIDData, out: Path) -> Cell:
        """Return how a model ranks a clean data set; ``adversarial`` is ``clean`` in the cell."""
        job = configured_job(self.cfg).of(data)
        scores = self._scores((spec,), data, job, "", (), out)
        return Cell(data.name, "", "", 0.0, "", spec.label, "", **scores)

    def _scores(
        self,
        specs: tuple[ModelSpec, ...],
        data: ReIDData,
        job: AttackRun,
        root: str,
        attacked: Sequence[Record],
        out: Path,
    ) -> dict[str, Any]:
        """Return the measures without and with attacked images, computed once and then cached."""
        protocol = replace(job.protocol, distance=self._distance(specs, data, job, out))
        key = Key.of(
            machinery=machinery(),
            attacked=[self.cfg.adv.attack.side, root] if root else [],
            data=self.data_facts(data, out),
            tested=self.tested_facts(specs),
            scores=replace(job, protocol=protocol).score_facts(),
            **({"measures": self.further} if self.further else {}),
        )

        def ranked() -> dict[str, Any]:
            measures = self._ranked(specs, data, protocol, attacked)
            return {**measures, "protocol": protocol.facts()}

        return Cache(out / "cells").json("", key, ranked)

    def data_facts(self, data: ReIDData, out: Path) -> dict[str, Any]:
        """Return the facts that identify a data set; its files are read once."""
        if data.name not in self._data_facts:
            contents = Contents(out / CONTENTS)
            self._data_facts[data.name] = data_facts(data, contents)
            contents.keep()
        return self._data_facts[data.name]

    def _ranked(
        self,
        specs: tuple[ModelSpec, ...],
        data: ReIDData,
        protocol: Protocol,
        attacked: Sequence[Record],
    ) -> dict[str, Any]:
        clean = self.clean(specs, data.name)
        before = self.measures(protocol.score(clean))
        if not attacked:
            return {"clean": before, "adversarial": before}
        after = protocol.score(self.after(specs, data, attacked))
        return {"clean": before, "adversarial": self.measures(after)}

    def measures(self, scores: Scores) -> dict[str, Any]:
        """Return the plain values that a cell keeps of scores; those of ``further``, too."""
        return scores.to_dict()

    def _distance(
        self, specs: tuple[ModelSpec, ...], data: ReIDData, job: AttackRun, out: Path
    ) -> Distance:
        """Return the distance that ranks, fitted to the tested model's training features."""
        if not (isinstance(job.distance, FittedDistance) and to_fit(job.distance)):
            return job.distance
        distance = copy.deepcopy(job.distance)
        key = Key.of(
            machinery=machinery(),
            tested=self.tested_facts(specs),
            train=[data.name, self.data_facts(data, out)["train"]],
            distance=job.distance,
        )

        def fit(folder: Path) -> None:
            records = data.training(f"fit the distance '{distance.name}' to")
            train = extract(self._of(specs), records, workers=job.workers)
            print(f"Fitting {distance.name} to {len(train)} training images of {data.name}")
            distance.fit(train.values, train.pids, train.camids)
            save_distance(folder / FITTED, distance)

        name = f"{'+'.join(spec.label for spec in specs)}-{data.name}"
        folder = Cache(out / "distances").folder(name, key, fit)
        distance.take(load_distance(folder / FITTED))
        return distance

    def _clean(self, specs: tuple[ModelSpec, ...], name: str) -> dict[str, Features]:
        model, data = self._of(specs), self.data(name)
        return {
            side: extract(model, data.side(side), workers=self.cfg.data.workers)
            for side in ("query", "gallery")
        }

    def _of(self, specs: tuple[ModelSpec, ...]) -> _Model | Defended:
        model = self._plain(specs)
        return model if self.behind is None else Defended(self.behind, model)

    def _plain(self, specs: tuple[ModelSpec, ...]) -> _Model:
        models = [self.model(spec) for spec in specs]
        return models[0] if len(models) == 1 else Ensemble(models)

    def _attacked(self, grid_attack: GridAttack) -> tuple[_Model, dict[str, Any]]:
        if len(grid_attack.attacked) > 1:
            return ensemble_of(grid_attack.attacked, [self.model(s) for s in grid_attack.attacked])
        (spec,) = grid_attack.attacked
        model = self.model(spec)
        facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
        return model, facts
