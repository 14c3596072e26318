"""The command of pictures on a toy market: files, numbers, and what is refused."""

import json

import pytest
import torch
from markets import write_market
from PIL import Image
from scripts.tiny_model import Tiny

import torchreid_adv as adv
from torchreid_adv import cli, config


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("pictures")
    write_market(place / "data", identities=4, cameras=2, images=1, distractors=1)
    for number, label in enumerate(("N", "DL")):
        torch.manual_seed(number)
        torch.save({"state_dict": Tiny().state_dict()}, place / f"{label}.pth")
    return place


def pictures(place, *pairs):
    config.forget()
    models = [f"{label}=tiny:{place / label}.pth" for label in ("N", "DL")]
    return cli.main(
        [
            *("pictures", "--root", str(place / "data"), "data.height", "64", "data.width", "32"),
            *("data.workers", "0", "data.save_dir", str(place / "out"), "adv.attack.name", "sma"),
            *("adv.attack.steps", "2", "adv.attack.step_size", "4", "test.normalize_feature"),
            *("True", "adv.plugins", "['scripts.tiny_model']", "adv.job.chunk", "8"),
            *("adv.pictures.models", repr(models), "adv.pictures.identities", "2", *pairs),
        ]
    )


@pytest.fixture(scope="module")
def done(place):
    assert pictures(place) == 0
    return place / "out"


def test_a_picture_of_each_kind_stands_in_the_page(done):
    page = (done / "report.html").read_text()
    for name in ("attention", "features", "noise"):
        with Image.open(done / "figures" / f"{name}.png") as picture:
            assert min(picture.size) > 300
    assert page.count("data:image/png;base64,") == 2
    assert page.count("<svg") == 1  # features
    assert "<script" not in page
    assert "N and DL" in page


def test_numbers_are_those_of_the_runs(done, place):
    facts = json.loads((done / "pictures.json").read_text())
    assert list(facts["models"]) == ["N", "DL"]
    for label, numbers in facts["models"].items():
        run = json.loads((done / label / "results.json").read_text())["targets"]["market1501"]
        assert run["attack"]["side"] == "query"
        assert numbers["clean_mAP"] == run["clean"]["mAP"]
        assert numbers["adversarial_mAP"] == run["adversarial"]["mAP"]
        assert -1 <= numbers["attention_agreement"] <= 1
        assert len(numbers["noise"]["energy_kept"]) == 3
    config.forget()
    data = adv.load_dataset("market1501", root=place / "data")
    firsts = {record.pid for record in data.query}
    assert facts["images"] == len(firsts)


def test_pictures_are_drawn_again_from_what_was_attacked_once(place, done, monkeypatch):
    before = (done / "figures" / "features.png").read_bytes()

    def forbidden(*arguments, **keywords):
        raise AssertionError("attacked again")

    monkeypatch.setattr("torchreid_adv.runs.attack_dataset.attack_targets", forbidden)
    assert pictures(place) == 0
    assert (done / "figures" / "features.png").read_bytes() == before


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (("adv.pictures.models", "[]"), "adv.pictures.models names no model"),
        (("adv.defense.name", "jpeg"), "leave adv.defense.name empty"),
        (("adv.pictures.identities", "1"), "adv.pictures.identities"),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, pairs, sentence):
    assert pictures(place, *pairs) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
