"""The command of pictures on tracklets: figures, numbers, and what is refused."""

import json

import pytest
import torch
from PIL import Image
from scripts.tiny_tracklets import TinyTracklets
from vcm import write_vcm

from torchreid_adv import cli, config

TRAINED = ("adv.virtual.train_model", "True")
LABELS = ("B", "B+ASAM+ADM+FRM-STIG*")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("tracklet_pictures")
    write_vcm(place / "data", train=2, test=3, frames=3)
    for number in range(len(LABELS)):
        torch.manual_seed(number)
        torch.save({"state_dict": TinyTracklets().state_dict()}, place / f"{number}.pth")
    return place


def pictures(place, *pairs):
    config.forget()
    models = [f"{label}=tiny_tracklets:{place / str(n)}.pth" for n, label in enumerate(LABELS)]
    return cli.main(
        [
            *("pictures", "--root", str(place / "data"), "-s", "vcm_i2v", "-t", "vcm_i2v"),
            *("vcm_v2i", "data.type", "video", "data.height", "32", "data.width", "16"),
            *("data.workers", "0", "data.save_dir", str(place / "out"), "video.seq_len", "2"),
            *("video.sample_method", "restricted", "test.dist_metric", "cosine"),
            *("test.normalize_feature", "True", "adv.video.min_length", "2"),
            *("adv.attack.steps", "2", "adv.attack.step_size", "4", "adv.job.chunk", "4"),
            *("adv.plugins", "['scripts.tiny_tracklets']", "adv.pictures.models", repr(models)),
            *pairs,
        ]
    )


@pytest.fixture(scope="module")
def done(place):
    assert pictures(place) == 0
    return place / "out"


def test_lists_of_both_directions_and_attention_stand_in_the_page(done):
    page = (done / "report.html").read_text()
    names = [f"{kind}_vcm_{way}" for kind in ("lists", "attacked") for way in ("i2v", "v2i")]
    for name in (*names, "attention"):
        with Image.open(done / "figures" / f"{name}.png") as picture:
            assert min(picture.size) > 300
    assert page.count("data:image/png;base64,") == 5
    assert "<script" not in page
    assert "do not defend against noise on images" in page


def test_numbers_are_those_of_the_runs(done):
    facts = json.loads((done / "pictures.json").read_text())
    assert facts["models"] == list(LABELS)
    assert [target["name"] for target in facts["targets"]] == ["vcm_i2v", "vcm_v2i"]
    folders = ("B", "B+ASAM+ADM+FRM-STIG_no_spatial")
    for target in facts["targets"]:
        for label, folder in zip(LABELS, folders, strict=True):
            run = json.loads((done / folder / "results.json").read_text())
            run = run["targets"][target["name"]]
            assert run["attack"]["side"] == "query"
            assert target["models"][label]["clean"] == run["clean"]
            assert target["models"][label]["adversarial"] == run["adversarial"]


def test_pictures_are_drawn_again_from_what_was_attacked_once(place, done, monkeypatch):
    before = (done / "figures" / "attacked_vcm_i2v.png").read_bytes()

    def forbidden(*arguments, **keywords):
        raise AssertionError("attacked again")

    monkeypatch.setattr("torchreid_adv.runs.attack_dataset.attack_targets", forbidden)
    assert pictures(place) == 0
    assert (done / "figures" / "attacked_vcm_i2v.png").read_bytes() == before


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (("adv.pictures.models", "[]"), "adv.pictures.models names no network"),
        (
            ("adv.pictures.models", "[]", *TRAINED, "adv.pictures.rows", "['B+ASAN']"),
            "unknown part 'ASAN'",
        ),
        (("data.type", "image"), "is of tracklets, and this command is for single images"),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, pairs, sentence):
    assert pictures(place, *pairs) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
