"""attack-gallery on tracklets: stored frames, manifest, scores, and what is refused."""

import json

import numpy as np
import pytest
import torch
from scripts.tiny_model import Tiny
from scripts.tiny_tracklets import TinyTracklets
from vcm import write_vcm

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.cli import command
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.images import read_pixels
from torchreid_adv.engines.metric_attack import MetricAttackMixin
from torchreid_adv.engines.train import train
from torchreid_adv.errors import VerificationError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.runs.verify import verify

NAME = "tiny_tracklets"
QUIET = ("adv.report.page", "False")
ENGINE = ("test.evaluate", "True", "adv.engine", "metric_attack")
PLUGIN = ("adv.plugins", "['scripts.tiny_tracklets']")
LENGTH, FRAMES, EPS = 3, 4, 4  # of a clip, of a tracklet; gray levels
CLIP = (0, 2, 3)  # the first frame of each of three chunks of two, the last one once more


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("tracklets")
    root = write_vcm(place / "data", train=2, test=3, frames=FRAMES)
    _shorten(root / "HITSZ-VCM" / "info" / "track_test_info.txt")
    torch.manual_seed(0)
    torch.save({"state_dict": TinyTracklets().state_dict()}, place / "model.pth")
    torch.save({"state_dict": Tiny().state_dict()}, place / "image.pth")
    return place


def _shorten(path):
    """Leave the first infrared tracklet two frames, fewer than a clip has."""
    first, *rest = path.read_text().splitlines()
    m, start, _, *labels = first.split()
    path.write_text("\n".join([" ".join([m, start, str(int(start) + 1), *labels]), *rest]) + "\n")


def arguments(place, out, *pairs):
    return [
        *("--root", str(place / "data"), "-s", "vcm_i2v", "-t", "vcm_i2v", "data.type", "video"),
        *("data.height", "32", "data.width", "16", "data.workers", "0", "model.name", NAME),
        *("model.load_weights", str(place / "model.pth"), "model.pretrained", "False"),
        *("data.save_dir", str(place / out), "video.seq_len", str(LENGTH)),
        *("video.sample_method", "restricted", "adv.video.min_length", "2"),
        *("test.dist_metric", "cosine", "test.normalize_feature", "True", "test.batch_size", "4"),
        *("adv.attack.side", "query", "adv.attack.eps", str(EPS), "adv.attack.steps", "3"),
        *("adv.attack.step_size", "2", "adv.job.chunk", "4", *PLUGIN, *pairs),
    ]


def attack(place, out, *pairs):
    config.forget()
    return cli.main(["attack-gallery", *arguments(place, out, *pairs)])


@pytest.fixture(scope="module")
def frames(place):
    assert attack(place, "frames") == 0
    return place / "frames"


@pytest.fixture(scope="module")
def shared(place):
    assert attack(place, "shared", "adv.attack.tracklet", "shared", *QUIET) == 0
    return place / "shared"


def results(out):
    return json.loads((out / "results.json").read_text())["targets"]["vcm_i2v"]


def tracklets(out, root):
    """Tracklet -> (entry, stored levels, original levels) of each of its attacked frames."""
    found = {}
    folder = out / "vcm_i2v" / "adversarial"
    for entry in read_manifest(folder).side("query"):
        if entry.attacked:
            pair = read_pixels(folder / entry.output), read_pixels(root / entry.source)
            stored, original = (levels.astype(np.int16) for levels in pair)
            found.setdefault(entry.tracklet, []).append((entry, stored, original))
    return found


def test_the_frames_that_a_test_looks_at_are_attacked_and_all_others_copied(frames, place):
    manifest = read_manifest(frames / "vcm_i2v" / "adversarial")
    assert len(manifest.entries) == 2 * 2 * 2 * FRAMES + 3 * 2 * 2 * FRAMES - (FRAMES - 2)
    of = {}
    for entry in manifest.entries:
        of.setdefault((entry.side, entry.tracklet), []).append(entry)
        assert entry.modality == {"query": 1, "gallery": 0}.get(entry.side, entry.modality)
        assert entry.linf <= (EPS if entry.attacked else 0)
    for (side, _), entries in of.items():
        attacked = {entry.frame for entry in entries if entry.attacked}
        short = len(entries) == 2
        assert attacked == (set() if side != "query" else {0, 1} if short else set(CLIP))
    assert sum(len(entries) == 2 for entries in of.values()) == 1
    said = results(frames)
    assert said["tracklets"] == {"total": 20, "attacked": 6}
    assert said["images"]["attacked"] == 5 * 3 + 2
    assert said["linf"]["max"] == EPS
    page = (frames / "report.html").read_text()
    assert "6 of 20 attacked, separate noise for each frame" in page


def test_noise_of_frames_differs_and_shared_noise_does_not(frames, shared, place):
    root = place / "data"
    for rows in tracklets(frames, root).values():
        noise = [stored - original for _, stored, original in rows]
        assert any((noise[0] != other).any() for other in noise[1:])
    said = results(shared)
    assert said["attack"]["tracklet"] == "shared"
    assert "tracklet" not in results(frames)["attack"]
    for rows in tracklets(shared, root).values():
        free = [np.where((s > 0) & (s < 255), s - o, -999) for _, s, o in rows]
        noise = np.max(free, axis=0)
        known = noise > -999
        assert np.abs(noise[known]).max() == EPS
        for _, stored, original in rows:
            assert (np.clip(original + noise, 0, 255) == stored)[known].all()


def test_scores_are_those_of_torchreid_s_engine_before_and_after(frames, place, monkeypatch):
    """Clean, and the stored variant as a data set of its own."""
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    monkeypatch.setattr(MetricAttackMixin, "_attack_targets", lambda self, out: None)
    folder = frames / "vcm_i2v" / "adversarial"
    for target, key in (("vcm_i2v", "clean"), ("adversarial_video", "adversarial")):
        config.forget()
        pairs = ("adv.data.adversarial_dir", str(folder), *ENGINE)
        given = arguments(place, key, *pairs)
        given[given.index("-t") + 1] = target
        parser = command.make_parser("test")
        engine = train(command.merged_config(parser.parse_args(given)))
        assert engine.results[target].mAP == pytest.approx(results(frames)[key]["mAP"], abs=1e-9)
    config.forget()


def test_verify_accepts_it_and_finds_one_changed_frame(frames, place):
    folder = frames / "vcm_i2v" / "adversarial"
    said = verify(folder, place / "data")
    assert said.startswith("Files checked: 78 images match the manifest")
    entry = next(e for e in read_manifest(folder).entries if e.attacked)
    path = folder / entry.output
    content = path.read_bytes()
    try:
        path.write_bytes((folder / read_manifest(folder).entries[0].output).read_bytes())
        with pytest.raises(VerificationError, match="its bytes have changed"):
            verify(folder, place / "data")
    finally:
        path.write_bytes(content)


def test_other_chunks_store_the_same_frames(frames, place):
    assert attack(place, "again", *QUIET, "adv.job.copies", "False", "adv.job.chunk", "3") == 0
    folders = [out / "vcm_i2v" / "adversarial" for out in (frames, place / "again")]
    first, again = (
        {e.output: e.sha256 for e in read_manifest(folder).entries if e.attacked}
        for folder in folders
    )
    assert first == again


def test_metric_attack_inside_an_engine_stores_the_same(frames, place, monkeypatch, capsys):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    config.forget()
    given = arguments(place, "engine", *QUIET, *ENGINE)
    assert cli.main(["train", *given]) == 0
    assert capsys.readouterr().out.count("mAP:") == 3  # the engine's, clean, adversarial
    ours, theirs = results(place / "engine"), results(frames)
    for key in ("clean", "adversarial", "linf", "images", "tracklets", "root"):
        assert ours[key] == theirs[key], key


def test_from_python(place, no_pages):
    config.forget()
    cfg = config.current()
    cfg.adv.video.min_length = 2
    settings = {"seq_len": LENGTH, "sample_method": "restricted"}
    data = adv.load_dataset("vcm_v2i", root=place / "data", **settings)
    assert data.tracklets
    assert {record.modality for record in data.query} == {0}
    model = adv.TrackletModel(TinyTracklets().eval(), size=(32, 16))
    attacked = adv.attack_dataset(
        model, data, adv.build_attack("fgsm", eps=4 / 255), side="query", out=place / "python"
    )
    assert [r.image_id for r in attacked.query] == [r.image_id for r in data.query]
    clean, after = adv.evaluate(model, data), adv.evaluate(model, attacked)
    assert clean.mAP == pytest.approx(results_of(place / "python", "vcm_v2i")["clean"]["mAP"])
    assert after.mAP == pytest.approx(results_of(place / "python", "vcm_v2i")["adversarial"]["mAP"])
    config.forget()


def results_of(out, name):
    return json.loads((out / "results.json").read_text())["targets"][name]


@pytest.mark.parametrize(
    ("pairs", "code", "sentence"),
    [
        (("adv.attack.name", "torchattacks"), 2, "is for single images"),
        (("video.sample_method", "random"), 2, "draws other frames for each test"),
        (("model.name", "tiny", "data.type", "image"), 2, "takes images"),
        (("adv.attack.name", "tifgsm", "adv.attack.tracklet", "shared"), 2, "cannot share its"),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, pairs, code, sentence):
    weights = place / ("image.pth" if "tiny" in pairs else "model.pth")
    assert attack(place, "never", "model.load_weights", str(weights), *QUIET, *pairs) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (place / "never").exists()
