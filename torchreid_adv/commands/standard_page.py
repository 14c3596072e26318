"""The page of a finished standard evaluation, from what it stored: nothing is attacked again."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import DataError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.jobs.manifest import FILE_NAME, Manifest, read_manifest
from torchreid_adv.models import Features, extract
from torchreid_adv.models.base import ImageModel
from torchreid_adv.models.kernels import repeatable
from torchreid_adv.models.store import load_features, save_features
from torchreid_adv.pixels import from_levels
from torchreid_adv.report.standard_page import write_standard_page
from torchreid_adv.report.standard_view import View, build_view
from torchreid_adv.report.target import TargetReport
from torchreid_adv.standard.ensemble import MEMBERS
from torchreid_adv.standard.identity import KEPT
from torchreid_adv.standard.reading import RESULT, read_result
from torchreid_adv.standard.scoring import Judge
from torchreid_adv.standard.tracks import COMPOSED
from torchreid_adv.standard.versions import SIDES

PAGE = "report.html"


def standard_page(
    model: ImageModel,
    data: ReIDData,
    *,
    out: str | Path,
    protocol: Protocol | None = None,
    workers: int = 0,
    settings: Mapping[str, Any] | None = None,
    command: str = "",
) -> Path:
    """Write ``report.html`` beside the ``standard.json`` of a run and return its path.

    Args:
        model: the one that was evaluated; behind a defense as :class:`Defended`.
        data: the data set of the run.
        out: folder of the run.
        protocol: of the run; None = torchreid's rules by Euclidean distances of normalized
            features.
        workers: processes that read images.
        settings: the config, for the page.
        command: that made the run, for the page.

    Raises:
        DataError: no finished run is there, or an image of it is missing.
    """
    out = Path(out)
    facts = _result(out)
    protocol = protocol or Protocol(distance=build_distance("euclidean", normalize=True))
    with repeatable():
        judge = Judge(model, data, protocol.of(data), 1, out / KEPT / "features", workers=workers)
        views = [
            _view(judge, out, track, next(iter(bounds)), facts)
            for track, bounds in facts["tracks"].items()
        ]
    return write_standard_page(
        out / PAGE,
        facts,
        views,
        settings=settings or {},
        command=command,
        verify=_verify(out, data.root),
    )


def _result(out: Path) -> dict[str, Any]:
    path = out / RESULT
    if not path.exists():
        raise DataError(f"'{out}' holds no {RESULT}: run the evaluation to its end first")
    return read_result(path)


def _view(judge: Judge, out: Path, track: str, eps: str, facts: dict[str, Any]) -> View:
    """Return the pictures of one track at one bound."""
    folder, side = out / f"{track}-eps{eps}", SIDES[track]
    manifest = read_manifest(folder / COMPOSED)
    stored = {e.image_id: folder / COMPOSED / e.output for e in manifest.stored}
    data = judge.data
    clean = {r.image_id: r for name in SIDES.values() for r in data.side(name)}
    records = [dataclasses.replace(clean[name], path=path) for name, path in stored.items()]
    after = {**judge.clean[0]}
    if records:
        after[side] = after[side].replace(_features(judge, records, manifest))
    own = facts["tracks"][track][eps]
    paths = {name: record.path for name, record in clean.items()}
    target = TargetReport(
        name=data.name,
        results={"clean": own["clean"], "adversarial": own["robust"]},
        query=judge.clean[0]["query"],
        gallery=judge.clean[0]["gallery"],
        query_after=after["query"],
        gallery_after=after["gallery"],
        paths=paths,
        paths_after=paths | stored,
        attacked=frozenset(stored),
        side=side,
        eps=from_levels(float(eps)),
        protocol=judge.protocol,
    )
    gradient = facts["looks"]["no_gradient"] < 1
    return build_view(track, eps, target, judge.model, made_by(folder, manifest), gradient=gradient)


def _features(judge: Judge, records: list[Record], manifest: Manifest) -> Features:
    """Return the features of a composed folder's images, kept under its root."""
    path = judge.folder / f"composed-{manifest.root}.safetensors"
    found = load_features(path, records)
    if found is None:
        found = extract(
            judge.models[0],
            records,
            workers=judge.workers,
            description="features of the worst images",
        )
        save_features(path, found)
    return found


def made_by(folder: Path, composed: Manifest) -> dict[str, str]:
    """Return image_id -> the attack whose file it is, in a composed folder.

    Args:
        folder: of a track and bound; holds a folder of each attack that was run.
        composed: manifest of the images.
    """
    found: dict[str, str] = {}
    wanted = {(e.image_id, e.sha256) for e in composed.stored}
    for member in MEMBERS:
        if (folder / member.name / FILE_NAME).is_file():
            for entry in read_manifest(folder / member.name).stored:
                if (entry.image_id, entry.sha256) in wanted:
                    found.setdefault(entry.image_id, member.name)
    return found


def _verify(out: Path, root: Path) -> list[str]:
    """Return the command that checks the files of a run."""
    return [shlex.join(["torchreid-adv", "verify", str(out), "--root", str(root)])]
