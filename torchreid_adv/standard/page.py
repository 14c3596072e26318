"""The page of the standard evaluation: one file that a reviewer can read in five minutes."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchreid_adv.core.manifest import FILE_NAME, Manifest, read_manifest
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import DataError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.models import Features, extract
from torchreid_adv.models.cuda import repeatable
from torchreid_adv.models.features import load_features, save_features
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.report import text as words
from torchreid_adv.report.curves import bounds_figure
from torchreid_adv.report.page import Page, PageFigure, write_figures, write_page
from torchreid_adv.report.rules import rule_sentence
from torchreid_adv.standard import page_tables as tables
from torchreid_adv.standard import page_text as said
from torchreid_adv.standard.identity import KEPT
from torchreid_adv.standard.judge import Judge
from torchreid_adv.standard.page_view import View, build_view
from torchreid_adv.standard.reading import RESULT, read_result
from torchreid_adv.standard.tracks import COMPOSED
from torchreid_adv.standard.versions import SIDES


def write_standard_page(
    path: Path,
    facts: Mapping[str, Any],
    views: Sequence[View],
    *,
    settings: Mapping[str, Any],
    command: str = "",
    verify: Sequence[str] = (),
) -> Path:
    """Write the page, and its figures into ``figures`` next to it; return its path.

    Args:
        path: of the page.
        facts: content of ``standard.json``.
        views: pictures, one per track.
        settings: the config.
        command: that repeats the run, "" if it was started from Python.
        verify: commands that check stored images against their originals.
    """
    content = dict(facts)
    figures = {"curve": _curve(content)} | {
        f"{name}_{view.track}": figure for view in views for name, figure in view.figures.items()
    }
    write_figures(path.parent / "figures", figures)
    page = Page(
        title=str(content["model"]["name"]),
        kicker=f"Standard robustness evaluation · {content['data']['name']}, "
        f"{words.number(content['data']['query'])} queries, "
        f"{words.number(content['data']['gallery'])} gallery images",
        config=dict(settings),
        provenance=_provenance(content, command),
        template="standard.html",
        facts=_told(content, views, figures["curve"], command, verify),
        written_by=f"torchreid_adv {content['version']}, schema {content['schema']}",
    )
    return write_page(path, page)


_VERSIONS = ("torchreid_adv", "torch", "numpy", "python")


def _provenance(facts: dict[str, Any], command: str) -> dict[str, Any]:
    """Return the provenance of a result, for an older one as far as it is recorded."""
    known = {"torchreid_adv": facts["version"], **facts["environment"]}
    versions = {name: known[name] for name in _VERSIONS if known.get(name)}
    device = known.get("gpu") or f"cpu ({known.get('machine', 'unknown')})"
    origin = {"command": command, "device": device, "versions": versions}
    return origin | dict(facts.get("provenance") or {})


def _told(
    content: dict[str, Any],
    views: Sequence[View],
    curve: PageFigure,
    command: str,
    verify: Sequence[str],
) -> dict[str, Any]:
    """Return the values of the template."""
    track, eps, main = said.main_result(content)
    return {
        "facts": content,
        "sortable": True,
        "views": views,
        "command": command,
        "verify": verify,
        "main": {"track": track, "eps": eps, "facts": main},
        "name": said.name_of(content),
        "headline": said.headline(content),
        "rule": rule_sentence(content.get("protocol", {}).get("name", "")),
        "defense": said.defense_sentence(content),
        "questions": said.questions(content),
        "track_names": said.TRACKS,
        "span": tables.span,
        "headlines": tables.headlines(content),
        "defense_table": tables.defense_table(content),
        "curve": curve,
        "asked": said.CHECKS,
        "measured": said.measured,
        "allowed": tables.allowed,
        "checks": tables.check_table(content),
        "attacks": _places(content, tables.attack_table),
        "wins": _wins(content),
        "threat": said.threat(content),
        "ensemble": tables.attacks_known(content),
        "draws": content["standard"]["definition"]["draws"] if said.is_random(content) else 1,
        "contents": _contents(content, views),
    }


def _places(facts: dict[str, Any], table: Any) -> list[Any]:
    """Return a table for each track and bound."""
    return [
        table(place_facts, f"{said.TRACKS[track].capitalize()} attacked, eps {eps}")
        for track, bounds in facts["tracks"].items()
        for eps, place_facts in bounds.items()
    ]


def _wins(facts: dict[str, Any]) -> list[tuple[str, tables.Wins]]:
    bounds = facts["tracks"].get("Q", {})
    titled = [
        (f"Queries attacked, eps {eps}", tables.wins(place_facts))
        for eps, place_facts in bounds.items()
    ]
    return [(title, table) for title, table in titled if len(table.names) > 1]


def _curve(facts: dict[str, Any]) -> PageFigure:
    """Draw the curve of the sample, and the robust numbers of all queries."""
    lines = {
        name: {int(bound): value for bound, value in facts["curve"][key].items()}
        for name, key in (("mAP", "curve"), ("Rank-1", "rank1"))
    }
    points = {
        f"mAP, {said.TRACKS[track]} attacked by the ensemble": {
            int(eps): place_facts["robust"]["mAP"] for eps, place_facts in bounds.items()
        }
        for track, bounds in facts["tracks"].items()
    }
    return PageFigure(
        bounds_figure(lines, points, facts["curve"]["chance"]),
        "mAP and Rank-1 against the bound",
        f"Lines: push and margin on a sample of {words.number(facts['curve']['queries'])} queries. "
        f"Marks: mAP under the whole ensemble, on all queries. {said.breaking(facts)}",
        wide=True,
    )


def _contents(facts: dict[str, Any], views: Sequence[View]) -> list[tuple[str, str]]:
    sections = [
        ("figures", "Numbers"), ("curve", "Over the bound"), ("checks", "Checks"),
        ("attacks", "Attacks"),
    ]  # fmt: skip
    if _wins(facts):
        sections.append(("wins", "Pairwise comparison"))
    for view in views:
        of = f" ({said.TRACKS[view.track]})" if len(views) > 1 else ""
        sections += [
            (f"worst-{view.track}", f"Worst lists{of}"),
            (f"attention-{view.track}", f"Attention{of}"),
            (f"features-{view.track}", f"Features{of}"),
        ]
    return [*sections, ("threat", "Threat model"), ("reproduce", "Reproduce")]


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
    """Write ``report.html`` next to the ``standard.json`` of a run and return its path.

    Args:
        model: the evaluated model; behind a defense as :class:`Defended`.
        data: the data set of the run.
        out: folder of the run.
        protocol: of the run; None = torchreid's rules by Euclidean distances of normalized
            features.
        workers: processes that read images.
        settings: the config, for the page.
        command: that made the run, for the page.

    Raises:
        DataError: the folder holds no finished run, or an image of it is missing.
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
    place_facts = facts["tracks"][track][eps]
    paths = {name: record.path for name, record in clean.items()}
    target = AttackedData(
        name=data.name,
        results={"clean": place_facts["clean"], "adversarial": place_facts["robust"]},
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
    attacks = made_by(folder, manifest, place_facts.get("attacks") or place_facts["galleries"])
    return build_view(track, eps, target, judge.model, attacks, gradient=gradient)


def _features(judge: Judge, records: list[Record], manifest: Manifest) -> Features:
    """Return the features of a composed folder's images, cached under its hash."""
    path = judge.folder / f"composed-{manifest.root}.safetensors"
    features = load_features(path, records)
    if features is None:
        features = extract(
            judge.models[0],
            records,
            workers=judge.workers,
            description="features of the worst images",
        )
        save_features(path, features)
    return features


def made_by(folder: Path, composed: Manifest, names: Iterable[str]) -> dict[str, str]:
    """Return image_id -> the attack that made the file, for a composed folder.

    Args:
        folder: of a track and bound; holds a folder for each attack that was run.
        composed: manifest of the images.
        names: attacks in the order they were run.
    """
    attack_of: dict[str, str] = {}
    composed_files = {(e.image_id, e.sha256) for e in composed.stored}
    for name in names:
        if (folder / name / FILE_NAME).is_file():
            for entry in read_manifest(folder / name).stored:
                if (entry.image_id, entry.sha256) in composed_files:
                    attack_of.setdefault(entry.image_id, name)
    return attack_of


def _verify(out: Path, root: Path) -> list[str]:
    """Return the command that checks the files of a run."""
    return [shlex.join(["torchreid-adv", "verify", str(out), "--root", str(root)])]
