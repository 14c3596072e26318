"""Every kind of work that can be killed: its command line, and what it must leave in its folder."""

import io
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import torch

from torchreid_adv.core.provenance import FIELD
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.runs.plan import _records
from torchreid_adv.standard.reading import SEAL

PEOPLE = {"height": 64, "width": 32, "distractors": 1, "train_identities": 4}
PEOPLE |= {"test_identities": 3, "cameras_per_identity": 2, "images_per_camera": 2}
NOTES = "files.json"  # digests of files that were not too young to be noted
BY_TIME = ("train.log-", "test.log-", "events.out.tfevents.")  # and so new in every run
VARIES = ("images_per_second", "seconds")
ZOO = "{normal: {}, scaled: {adv.defense.name: bit_depth}}"


def arguments(kind, jobs, place):
    """Return the command line of a kind of work that reads and writes below ``place`` only."""
    data = place / "data"
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "market1501").exists():
        shutil.copytree(
            jobs.small_market / "market1501", data / "market1501", copy_function=os.link
        )
    command, options = KINDS[kind](jobs, place)
    name = "virtual_a" if kind == "rendering" else "market1501"
    flags = ["--root", str(data), "-s", name, "-t", name]
    if kind == "zoo":
        (place / "zoo.yaml").write_text(f"adv: {{zoo: {ZOO}}}")
        flags += ["--config-file", str(place / "zoo.yaml")]
    shared = {
        "data.save_dir": place / "out",
        "data.height": 64,
        "data.width": 32,
        "data.workers": 0,
        "adv.plugins": ["tiny_model"],
        "adv.report.page": False,
        "use_gpu": False,
        "adv.job.chunk": 2,
        "adv.attack.eps": 8,
    }
    return [command, *flags, *_pairs({**shared, **options})]


def _standard(jobs, place):
    models = [f"mine=tiny:{jobs.weights}"]
    surrogates = [f"s=tiny:{jobs.other_weights}", f"t=tiny_classifier:{jobs.classifier}"]
    names = {"models": models, "surrogates": surrogates, "version": "lite"}
    return "standard", {f"adv.standard.{key}": value for key, value in names.items()}


def _transfer(jobs, place):
    models = [f"a=tiny:{jobs.weights}", f"b=tiny:{jobs.other_weights}"]
    return "transfer", {"adv.transfer.models": models, "adv.transfer.attacks": ["ifgsm", "odfa"]}


def _universal(jobs, place):
    return "scenarios", {
        "adv.scenarios.models": [f"A-market1501=tiny_classifier:{jobs.classifier}"],
        "adv.scenarios.epochs": 2,
        "adv.scenarios.batch": 4,
        "adv.scenarios.instances": 2,
        "adv.scenarios.perturbations": ["delta", "color"],
        "adv.scenarios.learning": ["source"],
        "adv.attack.space": "network",
        "adv.attack.steps": 2,
    }


def _rendering(jobs, place):
    options = {f"adv.virtual.{key}": value for key, value in PEOPLE.items()}
    options |= {"model.name": "tiny", "model.load_weights": jobs.weights, "adv.attack.steps": 1}
    return "attack-gallery", options


def _training(jobs, place):
    return "train", {**TRAINED, "train.max_epoch": 4, "test.eval_freq": 1}


def _robust(jobs, place):
    # goes on from its last checkpoint, as a user would
    done = (place / "out" / "model").glob("model.pth.tar-[123]")  # of 4 epochs
    last = max(done, key=lambda path: int(path.name.rpartition("-")[2]), default="")
    engine = {"adv.engine": "adversarial_training", "adv.training.steps": 1}
    return _training(jobs, place)[0], {**_training(jobs, place)[1], **engine, "model.resume": last}


def _zoo(jobs, place):
    return "zoo", {**TRAINED, "train.max_epoch": 1}


TRAINED = {
    "model.name": "tiny_classifier",
    "model.pretrained": False,
    "train.batch_size": 8,
    "data.transforms": ["random_flip"],
}
KINDS = {
    "standard": _standard,
    "transfer": _transfer,
    "zoo": _zoo,
    "scenarios": _universal,
    "rendering": _rendering,
    "training": _training,
    "robust training": _robust,
}


def _pairs(options):
    for key, value in options.items():
        yield key
        yield str(value) if not isinstance(value, list) else repr([str(v) for v in value])


def kept(place):
    """Return what finished work left: name -> bytes, without what may differ."""
    contents = {}
    for path in sorted(place.rglob("*")):
        if path.suffix == ".ledger" or path.name == NOTES or not path.is_file():
            continue
        if path.name.startswith(BY_TIME):
            continue
        contents[path.relative_to(place).as_posix()] = _same(path, path.read_bytes())
    return contents


def _same(path, content):
    if path.name.startswith("model.pth.tar-"):
        return _untested(path)
    if path.suffix != ".json":
        return content
    values = json.loads(content)
    _forget(values)
    return json.dumps(values, sort_keys=True).encode()


def _untested(path):
    """Return a checkpoint without its rank-1, unknown where a kill came before the test's end."""
    written = io.BytesIO()
    torch.save({k: v for k, v in read_checkpoint(path).items() if k != "rank1"}, written)
    return written.getvalue()


def _forget(values):
    """Drop what is measured by a clock, and the checkpoint that a training went on from."""
    if isinstance(values, dict):
        for key in VARIES:
            values.pop(key, None)
        values.pop("resume", None)
        if values.pop(FIELD, None):  # where a result comes from: command and date
            values.pop(SEAL, None)
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, dict | list):
            _forget(value)


def done_twice(place):
    """Return how many units the ledgers of a run record more than once."""
    twice = 0
    for folder in {path.parent for path in place.rglob("*.ledger")}:
        paths = sorted(Path(folder).glob("*.ledger"))
        counts = Counter(record.unit for path in paths for record in _records(path))
        twice += sum(count - 1 for count in counts.values())
    return twice
