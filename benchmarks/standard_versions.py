"""Both versions of the standard ensemble on small trained models: robust mAP, passes, seconds.

    python -m benchmarks.standard_versions OUT [key value]...

runs what is not yet in OUT, one model after the other, and writes ``OUT/standard_versions.json``
after each. Networks are trained on virtual people as in ``configs/study/ensemble.yaml``. Queries
are attacked at the training's bound by the white-box attacks, in which the versions differ. The
audit of ``standard-2`` is left out, because it would attack a large part of so few queries by the
other version; its passes are added as those of 5 % of the queries.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.files import write_text
from torchreid_adv.core.provenance import provenance
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.evaluation import Protocol
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.report.table import markdown_table
from torchreid_adv.runs.folder import machinery
from torchreid_adv.runs.inputs import configured_dataset
from torchreid_adv.standard import rounds
from torchreid_adv.standard.ensemble import Member
from torchreid_adv.standard.passes import PassCounter, Passes, counted
from torchreid_adv.standard.run import averaged_model, make_setting
from torchreid_adv.standard.scores import interval
from torchreid_adv.standard.session import Session, Stored
from torchreid_adv.standard.tracks import QueryTrack
from torchreid_adv.standard.versions import STANDARD, STANDARD_2, Version

from .entrants import ENTRANTS, Entrant, trained

CONFIG = Path(__file__).parents[1] / "configs" / "study" / "ensemble.yaml"
FILE = "standard_versions.json"
BUDGETS: dict[str, Any] = {"audit": 0, "eot": 2, "draws": 2}
CHUNKS = {STANDARD.name: 20, STANDARD_2.name: 5}  # a round attacks few queries at once
SIZES = ["adv.virtual.height", 64, "adv.virtual.width", 32, "data.height", 32, "data.width", 16]
EVERY = 2  # of the queries: those of one camera
RISE, SHARE = 0.005, 0.4  # limits of the second version: mAP above the first, share of its passes
RESAMPLINGS = 2000


@dataclass(frozen=True)
class CountedSession(Session):
    """White-box attacks; passes and processor seconds are counted, scoring included.

    Images that only fill a chunk do not count: they would be most of a round of few queries, and
    are a small part of a whole data set. Seconds include them.
    """

    counter: PassCounter = field(default_factory=PassCounter)
    spent: dict[str, tuple[Passes, float]] = field(default_factory=dict)

    def members(self) -> list[Member]:
        """Return the white-box attacks."""
        members = super().members()
        names = rounds.white_box([member.name for member in members])
        return [member for member in members if member.name in names]

    def run(self, name: str, track: str, eps: float, records: Sequence[Record]) -> Stored:
        """Attack some images, see :meth:`Session.run`."""
        before, started = self.counter.passes, time.process_time()
        stored = super().run(name, track, eps, records)
        scored = Passes(forward=len(records) * len(self.judge.models))
        made = self.counter.passes - before
        chunk = self.version.chunk
        filled = math.ceil(len(records) / chunk) * chunk
        attacked = (round(n * len(records) / filled) for n in (made.forward, made.backward))
        self.spent[name] = (Passes(*attacked) + scored, time.process_time() - started)
        return stored


def run(out: Path, pairs: Sequence[str] = (), entrants: Sequence[Entrant] = ENTRANTS) -> Path:
    """Evaluate every model under both versions and return the file with the results.

    Args:
        out: folder; what is in it already is not computed again.
        pairs: keys and values that differ from the config.
        entrants: the models.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cfg = configured(pairs)
    rows: list[dict[str, Any]] = []
    for entrant in entrants:
        model = trained(cfg, entrant)
        row: dict[str, Any] = {"model": entrant.label}
        for version in (STANDARD, STANDARD_2):
            row[version.name] = _evaluated(cfg, entrant, model, version, out)
        rows.append(row)
        write_text(out / FILE, json.dumps(_content(cfg, rows), indent=1) + "\n")
        print(rows_table({"rows": rows}).splitlines()[-1], flush=True)
    return out / FILE


def configured(pairs: Sequence[str]) -> AdvConfig:
    """Return the config of the study of the ensemble with some pairs."""
    cfg = default_config()
    cfg.merge_from_file(str(CONFIG))
    cfg.merge_from_list([*SIZES, *pairs])
    config.setup(cfg)
    return cfg


def _data(cfg: AdvConfig) -> ReIDData:
    data = configured_dataset(cfg, cfg.data.targets[0])
    return dataclasses.replace(data, query=data.query[::EVERY])


def _content(cfg: AdvConfig, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    data = _data(cfg)
    setting = {
        "eps": cfg.adv.attack.eps,
        "queries": len(data.query),
        "gallery": len(data.gallery),
        "identities": len({record.pid for record in data.query}),
        "size": [cfg.data.height, cfg.data.width],
        **BUDGETS,
    }
    made = provenance("cpu")
    about = {"date": made.date, "device": made.device, "torch": made.versions["torch"]}
    return {"setting": setting, **about, "rows": list(rows)}


def _evaluated(
    cfg: AdvConfig, entrant: Entrant, model: ImageModel, version: Version, out: Path
) -> dict[str, Any]:
    """Return the results of a model under a version, computed once."""
    data = _data(cfg)
    small = dataclasses.replace(
        version, **BUDGETS, chunk=CHUNKS[version.name], eps=(cfg.adv.attack.eps,)
    )
    key = Key.of(
        machinery=machinery(),
        entrant=dataclasses.asdict(entrant),
        version=small.facts(),
        data=config.plain(cfg.adv.virtual),
        every=EVERY,
        size=[cfg.data.height, cfg.data.width],
    )

    def compute() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=out) as scratch:
            averaged = averaged_model(model, small)
            rules = Protocol.configured(cfg, data)
            setting = make_setting(averaged, data, Path(scratch), small, (), rules, 0)
            with counted(averaged) as counter:
                session = CountedSession(**vars(setting), counter=counter)
                return white_box_results(session, cfg.adv.attack.eps)

    return Cache(out).json(f"{version.name}-{entrant.network}", key, compute)


def white_box_results(session: CountedSession, eps: float) -> dict[str, Any]:
    """Return the lowest average precisions of a session's queries, and what they took.

    Args:
        session: of one version.
        eps: bound in gray levels.
    """
    session.clean()
    track = QueryTrack(session, eps)
    table = track.run()
    return {
        "clean": table.mean_precision(()),
        "mAP": table.mean_precision(),
        "worst": [None if np.isnan(value) else value for value in table.worst().tolist()],
        "pids": table.pids.tolist(),
        "queries": {name: int(np.isfinite(s.ap).sum()) for name, s in table.scores.items()},
        "passes": {
            name: [passes.forward, passes.backward] for name, (passes, _) in session.spent.items()
        },
        "seconds": {name: seconds for name, (_, seconds) in session.spent.items()},
    }


def compared(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row of the table shows.

    Args:
        row: of the file.

    Returns:
        ``rise``: mAP of the second version minus the first, with its paired bootstrap ``interval``
        over identities; ``largest``: the largest rise of a query; ``passes``: of both versions, the
        second with its audit; ``whole``: of the first if it skipped no query; ``share`` and
        ``of_whole``: of the second version in these; ``breaks``: the limits that do not hold.
    """
    first, second = row[STANDARD.name], row[STANDARD_2.name]
    worst = [np.array(version["worst"], dtype=float) for version in (first, second)]
    difference = worst[1] - worst[0]
    whole = whole_passes(first)
    passes = (_total(first), _total(second) + STANDARD_2.audit / 100 * whole)
    rise, share = second["mAP"] - first["mAP"], passes[1] / passes[0]
    limits = {"mAP": rise <= RISE, "passes": share <= SHARE}
    return {
        "rise": rise,
        "interval": interval(difference, np.array(first["pids"]), RESAMPLINGS),
        "largest": float(np.nanmax(difference)),
        "passes": passes,
        "whole": whole,
        "share": share,
        "of_whole": passes[1] / whole,
        "seconds": [sum(version["seconds"].values()) for version in (first, second)],
        "breaks": [name for name, holds in limits.items() if not holds],
    }


def _total(version: Mapping[str, Any]) -> float:
    return float(sum(map(sum, version["passes"].values())))


def whole_passes(version: Mapping[str, Any]) -> float:
    """Return the passes of the first version if no query had been skipped.

    An attack that no query was left for costs as much per step as ``push``.
    """
    steps = {
        "push": STANDARD.steps,
        "margin": STANDARD.steps,
        "self": 3 * STANDARD.self_steps,
        "pull": STANDARD.pulls * STANDARD.steps,
    }
    counts, passes = version["queries"], version["passes"]
    queries, push = counts["push"], sum(passes["push"]) / counts["push"] / STANDARD.steps
    return sum(
        queries * (sum(passes[name]) / counts[name] if counts.get(name) else push * number)
        for name, number in steps.items()
    )


COLUMNS = (
    "model", "clean mAP", "`standard`", "`standard-2`", "difference", "95 %", "largest, a query",
    "passes", "passes, `standard-2`", "share", "of all attacks", "seconds",
    "seconds, `standard-2`", "breaks",
)  # fmt: skip


def table(content: Mapping[str, Any]) -> str:
    """Return the results as Markdown, after a sentence on how they were made."""
    setting, count = content["setting"], len(content["rows"])
    sentence = (
        f"{content['date'][:10]}, PyTorch {content['torch']} on one thread of {content['device']}: "
        f"{count} model{'s' * (count != 1)}, {setting['queries']} queries of "
        f"{setting['identities']} people, {setting['gallery']} gallery images, input of "
        f"{' x '.join(map(str, setting['size']))} pixels, eps {setting['eps']:g}, {setting['eot']} "
        "draws of a random defense."
    )
    return f"{sentence}\n\n{rows_table(content)}"


def rows_table(content: Mapping[str, Any]) -> str:
    """Return a line for each model, as Markdown."""
    return markdown_table(COLUMNS, [_cells(row) for row in content["rows"]])


def _cells(row: Mapping[str, Any]) -> list[str]:
    first, second, values = row[STANDARD.name], row[STANDARD_2.name], compared(row)
    low, high = (f"{100 * bound:+.2f}" for bound in values["interval"])
    percents = [f"{100 * mAP:.2f}" for mAP in (first["clean"], first["mAP"], second["mAP"])]
    return [
        row["model"], *percents, f"{100 * values['rise']:+.2f}", f"{low} to {high}",
        f"{100 * values['largest']:+.1f}", *(f"{passes:,.0f}" for passes in values["passes"]),
        f"{100 * values['share']:.0f} %", f"{100 * values['of_whole']:.0f} %",
        *(f"{seconds:.1f}" for seconds in values["seconds"]), ", ".join(values["breaks"]) or "-",
    ]  # fmt: skip


if __name__ == "__main__":
    print(run(Path(sys.argv[1]), sys.argv[2:]))
