"""A run of attack-gallery, checked by its files and, with its model, by its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.files import inside
from torchreid_adv.core.manifest import RUN, Manifest, is_count, is_number
from torchreid_adv.core.provenance import FIELD, without
from torchreid_adv.core.untrusted import read_json
from torchreid_adv.errors import AdvError, ConfigError, DataError, VerificationError, printable
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.evaluation.result import REPORTED_RANKS
from torchreid_adv.runs.attack_dataset import SCHEMA, configured_job
from torchreid_adv.runs.defended_run import ADAPTIVE
from torchreid_adv.runs.inputs import configured_model, given_weights
from torchreid_adv.runs.originals import DataFiles, Originals
from torchreid_adv.runs.stored import StoredImages
from torchreid_adv.runs.stored_run import StoredRun, read_stored_images
from torchreid_adv.runs.verify import UNSEEN, check_variant, described, network_sizes
from torchreid_adv.standard.relations import FAILURES, ROUNDING, share
from torchreid_adv.standard.replay import TOLERANCE, differences, leaves

RESULTS = "results.json"
LARGEST = 64 * 2**20  # bytes of results.json
CLAIMED = ("adversarial_float", "images_per_second", "query_curve", "figure")
_MACHINE = ("torch", "threads", "version", "ledger", "device", "format")
_RANKS = [str(rank) for rank in REPORTED_RANKS]
_SCORES = ("clean", "adversarial", "adversarial_float")

Replay = Callable[[dict[str, Any], str, StoredImages, StoredImages | None], dict[str, Any]]


def verify_results(folder: Path, originals: Originals, replay: Replay | None = None) -> str:
    """Verify a run of attack-gallery and return the result in sentences.

    Args:
        folder: of the run, that holds ``results.json``.
        originals: data sets that are loaded already, or are loaded on demand.
        replay: recomputes the results of a data set; None = files only.

    Raises:
        DataError: ``results.json`` is missing or invalid.
        VerificationError: something does not match; the message names all faults.
    """
    results = _read(folder / RESULTS, folder)
    run = without(_read(inside(folder, RUN), folder))
    faults, summaries, numbers = [*_run_faults(results, run)], [], 0
    for name, facts in results["targets"].items():
        try:
            all_stored = _variants(folder, name, facts, originals)
            target_faults = [*_target_faults(name, facts, all_stored, run, originals.files(name))]
            if not target_faults and not faults and replay is not None:
                again = replay(run, name, all_stored["adversarial"], all_stored.get(ADAPTIVE))
                told, again = _comparable(facts), _comparable(again)
                target_faults = [
                    *differences(told, again, tolerance(run), facts["clean"]["queries"])
                ]
                numbers += sum(1 for _ in leaves(again))
        except AdvError as error:
            target_faults = [str(error)]
        faults += [f"{name}: {fault}" for fault in target_faults]
        if not target_faults:
            summaries.append(f"{name}: {facts['images']['total']} images, root {facts['root']}")
    if faults:
        listed = ["", *("\n".join(map(printable, fault.split("\n"))) for fault in faults)]
        raise VerificationError(f"'{folder / RESULTS}' does not match: " + "\n  ".join(listed))
    lines = [f"Files checked: '{folder / RESULTS}' matches its images ({'; '.join(summaries)})."]
    lines += [
        f"Identities, cameras and sides were not checked: {reason}"
        for name in results["targets"]
        if isinstance(reason := originals.files(name), str)
    ]
    if replay is not None:
        how = f"to {TOLERANCE} (another machine or version)" if tolerance(run) else "exactly"
        lines.append(f"Scored again: the model gives its {numbers} values {how}.")
        lines.append(f"Not recomputed: {', '.join(CLAIMED)}, config, {FIELD}.")
    return "\n".join([*lines, UNSEEN])


def tolerance(run: dict[str, Any]) -> float:
    """Return how far numbers may differ: not at all if the versions and threads are the run's."""
    current = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    return 0.0 if all(run.get(name) == value for name, value in current.items()) else TOLERANCE


def configured_replay(
    cfg: AdvConfig, originals: Originals, weights: Callable[[AdvConfig], str] = given_weights
) -> Replay:
    """Return the function that recomputes the results of a run with the run's config.

    Args:
        cfg: of the run.
        originals: its data sets.
        weights: finds the weights of ``model.name``, or trains them.
    """
    job = configured_job(cfg)
    stored = StoredRun(**{field.name: getattr(job, field.name) for field in fields(job)})
    model, facts = configured_model(cfg, weights)

    def replay(
        run: dict[str, Any], name: str, stored_images: StoredImages, adaptive: StoredImages | None
    ) -> dict[str, Any]:
        identity = job.key(model, facts["name"]).facts
        wrong = [key for key in identity if key not in _MACHINE and identity[key] != run.get(key)]
        if wrong:
            raise ConfigError(
                f"the config differs from the run in its {', '.join(wrong)}; give the flags of "
                "the run"
            )
        files = originals.files(name)
        if not isinstance(files, DataFiles):
            raise ConfigError(files)
        return stored.rescored(model, files.data, stored_images, adaptive)

    return replay


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _comparable(facts: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(facts)
    return {key: value for key, value in plain.items() if key not in CLAIMED}


def _read(path: Path, folder: Path) -> dict[str, Any]:
    content = read_json(path, LARGEST)
    if not isinstance(content, dict):
        raise DataError(f"'{path}' is not a file of a run of attack-gallery")
    if path.name == RESULTS and not (
        content.get("schema") == SCHEMA
        and isinstance(content.get("version"), str)
        and isinstance(content.get("config"), dict)
        and isinstance(content.get("model"), dict)
        and isinstance(content.get("targets"), dict)
        and content["targets"]
        and all(isinstance(facts, dict) for facts in content["targets"].values())
    ):
        raise DataError(f"'{path}' is no {RESULTS} of attack-gallery, schema {SCHEMA}")
    return content


def _run_faults(results: dict[str, Any], run: dict[str, Any]) -> Iterator[str]:
    """Yield the differences between the results and ``run.json``."""
    model = results["model"]
    name = model.get("name") if model.get("weights") or run.get("model") else ""
    size = model.get("size")
    sizes = size if isinstance(size, list) and size and isinstance(size[0], list) else [size]
    pairs: dict[str, tuple[Any, Any]] = {
        "version": (run.get("version"), results["version"]),
        "model": (run.get("model"), name),
        "size": (sorted(map(list, network_sizes(run.get("network")))), sizes),
    }
    for key, (recorded, told) in pairs.items():
        if recorded != told and not (
            key == "size" and all(told_size in recorded for told_size in told)
        ):
            yield f"its {key} is not that of {RUN}"
    if results["config"] and not _is_config(results["config"], run):
        yield f"its config is not that of the attack in {RUN}"


def _is_config(content: dict[str, Any], run: dict[str, Any]) -> bool:
    """Return whether a config names the attack of a run."""
    try:
        told, attack = content["adv"]["attack"], run["attack"]
        return all(told[key] == attack[key] for key in ("name", "side", "space", "seed"))
    except FAILURES:
        return False


def _variants(
    folder: Path, name: str, facts: dict[str, Any], originals: Originals
) -> dict[str, StoredImages]:
    """Return the variants of a data set, whose files match their manifests."""
    defense, variants = facts.get("defense"), {}
    through = isinstance(defense, dict) and defense.get("adaptive") is not None
    for part in ("adversarial", *([ADAPTIVE] if through else [])):
        place = inside(folder, f"{name}/{part}")
        checked = check_variant(place, originals)
        if checked.faults:
            raise VerificationError(described(place, checked.faults))
        variants[part] = read_stored_images(place, checked.manifest)
    return variants


def _target_faults(
    name: str,
    facts: dict[str, Any],
    all_stored: dict[str, StoredImages],
    run: dict[str, Any],
    data: Any,
) -> Iterator[str]:
    """Yield the differences between results and files."""
    manifest = all_stored["adversarial"].manifest
    for stored_images in all_stored.values():
        header = dict(stored_images.manifest.header)
        header.pop("protocol", None)
        header.pop("names", None)  # names of the identities and cameras
        if header.pop("data", None) != name or header != run:
            yield f"'{stored_images.folder}' belongs to another run than {RUN} says"
    broken = [sentence for sentence, test in RELATIONS if not _holds(test, facts, manifest)]
    yield from (f"it does not hold that {sentence}" for sentence in broken)
    if isinstance(data, DataFiles) and not broken:
        bad = {entry.image_id for entry in manifest.entries if entry.status != "ok"}
        queries = [record for record in data.data.query if not record.is_of(bad)]
        # a query counts once in each sampled gallery
        expected = len(queries) * Protocol.drawn_galleries(str(facts["protocol"]["name"]))
        if facts["clean"]["queries"] + facts["clean"]["skipped"] != expected:
            yield f"the data set has {len(queries)} queries, the results say another number"


def _holds(test: Callable[..., bool], facts: dict[str, Any], manifest: Manifest) -> bool:
    try:
        return test(facts, manifest)
    except FAILURES:
        return False


def _measures(facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all measures of a ranking in a data set's results."""
    rows = [facts[name] for name in _SCORES]
    defense = facts["defense"] or {}
    rows += [row for name in ("clean", "oblivious", "adaptive") if (row := defense.get(name))]
    for row in rows:
        yield row
        if row["rerank"] is not None:
            yield {**row, **row["rerank"]}


def _is_ranking(row: dict[str, Any], first: dict[str, Any], whole: bool) -> bool:
    shares = [row["cmc"][rank] for rank in _RANKS]
    counts = [row["queries"] * value for value in shares]
    return (
        list(row["cmc"]) == _RANKS
        and all(map(share, [row["mAP"], row["mINP"], *shares]))
        and shares == sorted(shares)
        and (not whole or all(abs(n - round(n)) < 1e-6 for n in counts))
        and all(is_count(row[key]) and row[key] == first[key] for key in ("queries", "skipped"))
        and row["queries"] > 0
    )


def _linf(facts: dict[str, Any], manifest: Manifest) -> bool:
    attacked = [entry.linf for entry in manifest.stored if entry.attacked]
    largest = max(entry.linf for entry in manifest.stored)
    return bool(
        facts["linf"]["max"] == largest
        and abs(facts["linf"]["mean"] - sum(attacked) / len(attacked)) <= ROUNDING
    )


def _images(facts: dict[str, Any], manifest: Manifest) -> bool:
    attacked = [entry for entry in manifest.stored if entry.attacked]
    return bool(
        facts["images"]
        == {
            "total": len(manifest.stored),
            "attacked": len(attacked),
            "unchanged": sum(not entry.changed for entry in attacked),
            "left_out": len(manifest.entries) - len(manifest.stored),
        }
    )


def _tracklets(facts: dict[str, Any], manifest: Manifest) -> bool:
    total = {entry.tracklet for entry in manifest.stored if entry.tracklet}
    attacked = {entry.tracklet for entry in manifest.stored if entry.attacked and entry.tracklet}
    expected = {"total": len(total), "attacked": len(attacked)} if total else None
    return bool(facts.get("tracklets") == expected)


RELATIONS: tuple[tuple[str, Callable[[dict[str, Any], Manifest], bool]], ...] = (
    (
        "its attack is the one of the manifest",
        lambda f, m: (
            {k: v for k, v in f["attack"].items() if k in m.header["attack"]} == m.header["attack"]
        ),
    ),
    (
        "mAP, mINP and Rank-k are shares of the queries, and Rank-k does not fall with k",
        lambda f, m: all(
            _is_ranking(row, f["clean"], not (f["defense"] or {}).get("draws"))
            for row in _measures(f)
        ),
    ),
    (
        "map_ratio is adversarial mAP over clean mAP",
        lambda f, m: f["map_ratio"] == f["adversarial"]["mAP"] / max(f["clean"]["mAP"], 1e-12),
    ),
    ("its largest and mean differences are those of the manifest", _linf),
    ("it counts the images of the manifest", _images),
    ("it counts the tracklets of the manifest", _tracklets),
    ("its root is that of the manifest", lambda f, m: f["root"] == m.root),
    (
        "distances, shifts and rates are numbers of their range",
        lambda f, m: (
            all(is_number(v) and v >= 0 for v in f["positive_distance"].values())
            and is_number(f["feature_shift"])
            and -1e-6 <= f["feature_shift"] <= 2 + 1e-6
            and is_number(f["images_per_second"])
            and f["images_per_second"] > 0
        ),
    ),
    (
        "its protocol is the one of the manifest",
        lambda f, m: m.header["protocol"] in ("", f["protocol"]["name"]),
    ),
    (
        "its AP rule is a known one",
        lambda f, m: (
            f["ap_rule"] == f["protocol"]["ap_rule"] and f["ap_rule"] in ("standard", "trapezoid")
        ),
    ),
    (
        "it names a defense if and only if the run has one",
        lambda f, m: (f["defense"] is not None) == bool(m.header["defense"]),
    ),
)
