"""Numbers of a paper's text, done again on a toy market with a network that has a classifier."""

import json

import pytest
import torch
from markets import write_market
from scripts.tiny_model import TinyClassifier

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.evaluation.of_models import positive_distance

pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("text")
    write_market(place / "data", identities=3, cameras=2, images=1, distractors=1)
    torch.manual_seed(0)
    torch.save({"state_dict": TinyClassifier(3).state_dict()}, place / "B1.pth")
    return place


def reproduce(place):
    config.forget()
    return cli.main(
        [
            *("reproduce", "bai2019.text", "-s", "market1501", "-t", "market1501"),
            *("--root", str(place / "data"), "data.height", "32", "data.width", "16"),
            *("data.workers", "0", "data.save_dir", str(place / "out")),
            *("adv.plugins", "['scripts.tiny_model']"),
            *("adv.transfer.models", f"['B1=tiny_classifier:{place / 'B1.pth'}']"),
        ]
    )


def mean_of_pairs(query, gallery):
    """Return the mean distance of unit features over pairs of one person and two cameras."""
    found = []
    for value, pid, camid in zip(query.values, query.pids, query.camids, strict=True):
        for other, own, camera in zip(gallery.values, gallery.pids, gallery.camids, strict=True):
            if own == pid and camera != camid:
                units = value / value.norm(), other / other.norm()
                found.append(float((units[0] - units[1]).norm()))
    return sum(found) / len(found)


def test_the_texts_numbers_stand_beside_ours(place, capsys):
    assert reproduce(place) == 0
    printed = capsys.readouterr().out
    cells = json.loads((place / "out" / "bai2019.text.json").read_text())["cells"]
    (xqda,) = [cell for cell in cells if cell["ranked"] == "xqda"]
    assert xqda["paper"] == {"mAP": 75.86, "rank1": 89.73}
    found = {cell["attack"]: cell for cell in cells if cell is not xqda}
    assert xqda["ours"]["mAP"] != found[""]["ours"]["mAP"]
    assert set(found) == {"", "ifgsm", "classification_ifgsm"}
    assert found["classification_ifgsm"]["paper"] == {"mAP": 52.93}
    assert found["ifgsm"]["paper"] == {"mAP": 0.367, "positive_distance": 1.42}
    assert all(f"[{number}]" in printed for number in ("52.93", "1.42", "0.8"))
    config.forget()
    model = adv.load_model("tiny_classifier", str(place / "B1.pth"), size=(32, 16))
    data = adv.load_dataset("market1501", root=place / "data")
    clean = [adv.extract(model, data.side(side)) for side in ("query", "gallery")]
    for attack, cell in found.items():
        sides = clean
        if attack:
            folder = place / f"out/attacks/B1/{attack}-eps5/market1501/adversarial"
            stored = adv.load_dataset("adversarial", folder=str(folder), root=str(place / "data"))
            sides = [clean[0], adv.extract(model, stored.side("gallery"))]
        expected = mean_of_pairs(*sides)
        assert cell["ours"]["positive_distance"] == pytest.approx(expected, abs=1e-5)
        assert 0 < expected <= 2
    far = {attack: cell["ours"]["positive_distance"] for attack, cell in found.items()}
    assert far["ifgsm"] > max(far[""], far["classification_ifgsm"])
    assert "mean distance to true positives" in printed


def test_nothing_is_computed_twice(place, nothing_is_computed):
    path = place / "out" / "bai2019.text.json"
    before = path.read_text()
    assert reproduce(place) == 0
    assert path.read_text() == before


def test_the_root_of_what_is_no_square_is_refused(place):
    model = adv.load_model("tiny_classifier", str(place / "B1.pth"), size=(32, 16))
    data = adv.load_dataset("market1501", root=place / "data")
    sides = [adv.extract(model, data.side(side)) for side in ("query", "gallery")]
    protocol = Protocol(distance=build_distance("cosine"))
    with pytest.raises(ConfigError, match="not a squared distance"):
        positive_distance(*sides, protocol, squared=False)
