"""Runs that a forger changes: one who knows every format, and makes all that depends on it fit."""

import contextlib
import copy
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from markets import write_market

from torchreid_adv import cli, config
from torchreid_adv.cli import command
from torchreid_adv.core.manifest import FILE_NAME, Entry, Manifest, read_manifest, sha256
from torchreid_adv.core.provenance import without
from torchreid_adv.errors import AdvError
from torchreid_adv.experiments.scoring_again import configured_originals, configured_scorer
from torchreid_adv.runs import verify
from torchreid_adv.runs.torchreid_checks import ready
from torchreid_adv.standard import replay, verify_results
from torchreid_adv.standard import verify as verify_standard
from torchreid_adv.standard.called import other_models, why_not
from torchreid_adv.standard.reading import RESULT, manifest_hash, read_result, sealed
from torchreid_adv.standard.told import Told
from torchreid_adv.standard.versions import LITE, VERSIONS

SHORT = {
    "steps": 2, "self_steps": 2, "pulls": 1, "square": 6, "noise": 2, "transfer_steps": 2,
    "epochs": 1, "sample": 4, "bootstrap": 20, "eps": (2,), "curve": (0, 1, 2, 255),
}  # fmt: skip
KEYS = ["data.height", "32", "data.width", "16", "data.workers", "0", "use_gpu", "False"]
KEYS += ["test.normalize_feature", "True", "adv.plugins", "['scripts.tiny_model']"]
KEYS += ["adv.job.threads", "1"]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a market, models and runs lie."""

    root: Path

    @property
    def data(self):
        return self.root / "data"

    @property
    def run(self):
        """The run of the standard evaluation."""
        return self.root / "std" / "market1501" / "mine"

    @property
    def attack(self):
        """The run of attack-gallery."""
        return self.root / "attack"

    def flags(self, label="a"):
        """Flags and keys of the standard run."""
        models = {name: f"tiny:{self.root / name}.pth" for name in "abc"}
        others = [f"{name}={models[name]}" for name in "bc"]
        return [
            *("-s", "market1501", "-t", "market1501", "--root", str(self.data), *KEYS),
            *("adv.standard.models", repr([f"mine={models[label]}"])),
            *("adv.standard.surrogates", repr(others), "adv.standard.version", "lite"),
        ]

    def attack_flags(self):
        """Flags and keys of the run of attack-gallery."""
        return [
            *("-s", "market1501", "-t", "market1501", "--root", str(self.data), *KEYS),
            *("model.name", "tiny", "model.load_weights", str(self.root / "a.pth")),
            *("adv.job.chunk", "4", "adv.attack.eps", "6", "adv.attack.steps", "2"),
            *("adv.report.page", "False", "data.save_dir", str(self.attack)),
        ]


@contextlib.contextmanager
def short_lite():
    """Inside the block the version ``lite`` is done in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VERSIONS, "lite", dataclasses.replace(LITE, **SHORT))
        yield


def make(root):
    """Write a market and models, and run both commands on them."""
    place = Place(root)
    write_market(
        place.data, identities=4, cameras=2, images=1, distractors=2, sizes=((24, 12), (20, 10))
    )
    from scripts.tiny_model import Tiny

    for seed, label in enumerate("abc"):
        torch.manual_seed(seed)
        torch.save({"state_dict": Tiny().state_dict()}, root / f"{label}.pth")
    torch.set_num_threads(1)
    out = ["data.save_dir", str(root / "std"), "adv.report.page", "False"]
    assert cli.main(["standard", *place.flags(), *out]) == 0
    config.forget()
    assert cli.main(["attack-gallery", *place.attack_flags()]) == 0
    config.forget()
    return place


def leaves(value, path=()):
    """Paths to everything in a tree that is no list or object, and to empty ones."""
    if isinstance(value, dict | list) and value:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


REMOVED = object()
COPIED = ("model", "data", "surrogates", "metric", "protocol", "version")  # told by run.json, too


def three_ways(value):
    """Three other values: one hard to see, one plainly other, and none at all."""
    if isinstance(value, bool):
        return [not value, "yes", REMOVED]
    if isinstance(value, int):
        return [value + 1, 0 if value else 7, REMOVED]
    if isinstance(value, float):
        small = value - 0.001 if value > 0.001 else value + 0.001
        return [small, (value + 1) / 2 if value < 0.9 else value / 2, REMOVED]
    if isinstance(value, str):
        digits = value and set(value) <= set("0123456789abcdef")
        other = "10"[value[0] == "1"] + value[1:] if digits else value + "x"
        return [other, "" if value else 0, REMOVED]
    if value is None:
        return [0.5, "x", REMOVED]
    return [[1], {"x": 0.5}, REMOVED]


def changed(tree, path, value):
    """A copy of a tree in which one leaf is another value, or gone."""
    tree = copy.deepcopy(tree)
    place = at(tree, path[:-1])
    if value is REMOVED:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return tree


def dotted(path):
    return ".".join(map(str, path))


def with_own_checks(content):
    """Make checks, flags and what the result is called fit its measurements."""
    told = Told(content)
    rest = content["checks"][len(told.given) :]
    content["checks"] = [check.to_dict() for check in told.given] + rest
    flags = [check for check in Told(content).checks if check.raised]
    content["flags"] = [flag.to_dict() for flag in flags]
    others = other_models(content["surrogates"], content["model"])
    reasons = why_not(told.asked, others, flags, told.inspection.black_box, content["tracks"],
                      content["protocol"]["ap_rule"])  # fmt: skip
    content["standard"] |= {"reasons": reasons, "called_standard": not reasons}


def resealed(folder, result, untouched=()):
    """Write a result, and make all that depends on it fit: run.json, manifests, hashes, seal."""
    if untouched[:1] in (("curve",), ("looks",)):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            with_own_checks(result)
    with contextlib.suppress(KeyError, TypeError):
        run = json.loads((folder / "run.json").read_text())
        run |= {key: result[key] for key in COPIED}
        run["budget"] = result["standard"]["definition"]
        run["torch"], run["threads"] = (result["environment"][k] for k in ("torch", "threads"))
        run["attacked_metric"] = run["metric"]
        text = json.dumps(run, indent=1, sort_keys=True) + "\n"
        if text != (folder / "run.json").read_text():
            (folder / "run.json").write_text(text)
            header = {"run": sha256(json.dumps(without(run), sort_keys=True).encode())}
            header["data"] = result["data"]["name"]
            for path in folder.glob("*-eps*/*/" + FILE_NAME):
                manifest = read_manifest(path.parent)
                Manifest({**manifest.header, **header}, manifest.entries).write(path.parent)
    if "manifest" not in untouched:
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            result["manifest"] = manifest_hash(result["tracks"])
    result = result if "sha256" in untouched else sealed(result)
    (folder / RESULT).write_text(json.dumps(result))


class Court:
    """Checks files and scores again, as the commands do; work on the same files is done once."""

    def __init__(self, place):
        self.place, self._stack = place, contextlib.ExitStack()
        self._known = {}

    def __enter__(self):
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        self._stack.enter_context(short_lite())
        self._remember(patch, verify_standard, "check_variant", self._files)
        self._remember(patch, verify_results, "check_variant", self._files)
        self._remember(patch, replay, "_content", self._told)
        self._remember(patch, verify, "faults_of_image", self._image)
        self.standard = self._config(self.place.flags())
        self.originals = configured_originals(self.standard)
        self._stack.enter_context(ready(self.standard))
        return self

    def __exit__(self, *error):
        self._stack.close()
        config.forget()

    def _config(self, flags):
        parser = command.make_parser("court")
        return command.merged_config(parser.parse_args(flags))

    def _remember(self, patch, module, name, key):
        function = getattr(module, name)

        def remembered(*arguments):
            own = (name, key(*arguments))
            if own not in self._known:
                try:
                    found = function(*arguments)
                    self._known[own] = list(found) if name == "_image_faults" else found
                except AdvError as error:
                    self._known[own] = error
            found = self._known[own]
            if isinstance(found, AdvError):
                raise found
            return found

        patch.setattr(module, name, remembered)

    @staticmethod
    def _files(folder, originals):
        names = sorted((p.name, p.stat().st_size) for p in folder.rglob("*") if p.is_file())
        return str(folder), (folder / FILE_NAME).read_bytes(), str(names)

    @staticmethod
    def _told(folder, told, scorer, scratch, tolerance):
        manifests = sorted((str(p), sha256(p.read_bytes())) for p in folder.rglob(FILE_NAME))
        parts = [told[key] for key in ("standard", "curve", "surrogates", "model")]
        return json.dumps([parts, list(told["tracks"]), manifests, tolerance])

    @staticmethod
    def _image(folder, path, entry, bound, scaled):
        stored = folder / entry.output
        return str(path), entry, bound, scaled, stored.is_file() and sha256(stored.read_bytes())

    def of_run(self, folder):
        """Who detects what is wrong with a standard run: ``files``, ``scoring`` or nobody, ""."""
        try:
            result = read_result(folder / RESULT)
            if verify_standard.check_run(folder, result, self.originals).faults:
                return "files"
        except AdvError:
            return "files"
        try:
            scorer = configured_scorer(result, self.standard, self.originals)
            verify_standard.score_again(folder, result, scorer)
        except AdvError:
            return "scoring"
        return ""

    def of_attack(self, folder):
        """The same of a run of attack-gallery."""
        try:
            verify_results.verify_results(folder, self.originals)
        except AdvError:
            return "files"
        try:
            cfg = self._config(self.place.attack_flags())
            scored = verify_results.configured_replay(cfg, self.originals)
            verify_results.verify_results(folder, self.originals, scored)
        except AdvError:
            return "scoring"
        return ""


@contextlib.contextmanager
def kept(folder, *names):
    """Files of a folder are what they were after the block."""
    before = {path: path.read_bytes() for name in names for path in folder.glob(name)}
    yield
    for path, content in before.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def copied(place, folder):
    """A copy of the runs that a test may spoil; data and models stay where they are."""
    shutil.copytree(place.run, folder / "run", ignore=shutil.ignore_patterns(".job"))
    shutil.copytree(place.attack, folder / "attack", ignore=shutil.ignore_patterns(".job"))
    return folder


def with_entry(manifest, number, facts):
    """A manifest in which one entry is another."""
    entries = list(manifest.entries)
    entries[number] = Entry.of(facts)
    return Manifest(manifest.header, tuple(entries))
