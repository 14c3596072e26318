"""Networks from elsewhere in the commands: attacked, transferred to, and not trained."""

import json
import warnings

import pytest
import torch
import torchvision
from markets import write_market
from scripts.tiny_model import Tiny

from torchreid_adv import cli

pytestmark = pytest.mark.usefixtures("no_pages")
COMMON = ["data.height", "32", "data.width", "16", "data.workers", "0", "use_gpu", "False"]
COMMON += ["test.normalize_feature", "True"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("foreign")
    write_market(place / "data", identities=2, cameras=2, images=1, sizes=((24, 12),))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Tiny().eval(), torch.rand(2, 3, 32, 16)).save(str(place / "net.pt"))
    return place


def run(place, out, command, *pairs):
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(place / "data")]
    return cli.main([command, *flags, *COMMON, "data.save_dir", str(out), *pairs])


def test_a_torchscript_file_is_attacked(place, tmp_path):
    own = ["model.name", "torchscript", "model.load_weights", str(place / "net.pt")]
    assert run(place, tmp_path, "attack-gallery", *own, "adv.attack.name", "fgsm") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    found = results["targets"]["market1501"]
    assert results["model"]["name"] == "torchscript"
    assert found["linf"]["max"] == 5
    assert found["positive_distance"]["adversarial"] > found["positive_distance"]["clean"]


def test_files_and_callables_stand_in_a_transfer_table(place, tmp_path):
    models = [f"file=torchscript:{place / 'net.pt'}", "code=python:scripts.tiny_model:Tiny"]
    own = ["adv.transfer.models", repr(models), "adv.transfer.attacks", "['fgsm']"]
    assert run(place, tmp_path, "transfer", *own, "adv.transfer.attacked", "['file']") == 0
    cells = json.loads((tmp_path / "transfer.json").read_text())
    assert {(cell["attacked"], cell["tested"]) for cell in cells} == {
        ("file", "file"),
        ("file", "code"),
    }


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "r18.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), path)
    return path


def test_a_format_of_several_sources_is_a_model_s_name_and_its_weights(place, classifier, tmp_path):
    own = ["model.name", "torchvision", "model.load_weights", f"resnet18:{classifier}"]
    assert run(place, tmp_path, "attack-gallery", *own, "adv.attack.name", "fgsm") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["model"]["size"] == [32, 16]
    assert "preprocessing" not in results["model"]
    found = results["targets"]["market1501"]
    assert found["positive_distance"]["adversarial"] > found["positive_distance"]["clean"]


def test_what_is_unusual_about_a_model_s_input_is_written(place, classifier, tmp_path):
    entry = f"x=torchvision@32x16@resize=cv2@flip=sum:resnet18:{classifier}"
    own = ["adv.attack.models", repr([entry]), "adv.attack.name", "fgsm"]
    assert run(place, tmp_path, "attack-gallery", *own) == 0
    model = json.loads((tmp_path / "results.json").read_text())["model"]
    assert model["flip"] == "sum"
    assert model["preprocessing"].startswith("32x16, cv2, rgb 0..1")


def test_options_of_entries_hold_in_a_table(place, classifier, tmp_path):
    models = [f"a=torchvision@64x32:resnet18:{classifier}"]
    models += [f"b=torchvision@64x32@resize=cv2@flip=sum@order=bgr:resnet18:{classifier}"]
    own = ["adv.transfer.models", repr(models), "adv.transfer.attacks", "['fgsm']"]
    assert run(place, tmp_path, "transfer", *own) == 0
    cells = json.loads((tmp_path / "transfer.json").read_text())
    assert {(cell["attacked"], cell["tested"]) for cell in cells} == {
        (one, other) for one in "ab" for other in "ab"
    }


@pytest.mark.parametrize(
    ("command", "pairs", "reason"),
    [
        ("train", ["model.name", "torchscript", "model.load_weights", "NET"], "not trained here"),
        ("attack-gallery", ["model.name", "onnx", "model.load_weights", "NET"], "onnx"),
        ("attack-gallery", ["model.name", "export", "model.load_weights", "NET"], "is no exported"),
        ("train", ["model.name", "fastreid", "model.load_weights", "a:b"], "not trained here"),
        ("attack-gallery", ["model.name", "fastreid", "model.load_weights", "NET"], "is written"),
        ("attack-gallery", ["model.name", "torchscrip"], "did you mean 'torchscript'"),
        ("attack-gallery", ["model.name", "onnx", "model.load_weights", "gone"], "no such file"),
    ],
)
def test_what_cannot_be_is_said(place, tmp_path, capsys, command, pairs, reason):
    own = [str(place / "net.pt") if word == "NET" else word for word in pairs]
    assert run(place, tmp_path, command, *own) == 2
    assert reason in capsys.readouterr().err
