"""Transfer tables on a toy market, with networks of random weights."""

import json

import pytest
import torch
from markets import write_market

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.pixel_model import BlackBox

SIZE = {"osnet_x0_25": (64, 32), "shufflenet": (48, 24)}
pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two weights of one network and one of another, at an input size of its own."""
    place = tmp_path_factory.mktemp("models")
    entries = []
    for number, (label, name) in enumerate(
        [("a", "osnet_x0_25"), ("a2", "osnet_x0_25"), ("b", "shufflenet")]
    ):
        torch.manual_seed(number)
        path = place / f"{label}.pth"
        torch.save({"state_dict": build_network(name).state_dict()}, path)
        size = "" if name == "osnet_x0_25" else "@48x24"
        entries.append(f"{label}={name}{size}:{path}")
    return entries


def transfer(market, models, out, **settings):
    pairs = ["data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["data.save_dir", str(out), "test.normalize_feature", "True"]
    pairs += ["adv.transfer.models", repr(models), "adv.attack.eps", "8"]
    for key, value in {"attacks": ["fgsm"], **settings}.items():
        pairs += [f"adv.transfer.{key}", repr(value)]
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(market)]
    return cli.main(["transfer", *flags, *pairs])


@pytest.fixture(scope="module")
def table(tmp_path_factory, models):
    place = tmp_path_factory.mktemp("transfer")
    market = write_market(place / "data", sizes=((64, 32), (40, 24)))
    assert transfer(market, models, place / "out", attacked=["a", "a+b", "-a"]) == 0
    config.forget()
    cells = json.loads((place / "out" / "transfer.json").read_text())
    return market, place / "out", {(c["attacked"], c["tested"]): c for c in cells}


def test_every_cell_is_there_and_labeled(table):
    kinds = {key: cell["kind"] for key, cell in table[2].items()}
    assert kinds == {
        ("a", "a"): "white",
        ("a", "a2"): "gray",
        ("a", "b"): "black",
        ("a+b", "a"): "white",
        ("a+b", "a2"): "gray",
        ("a+b", "b"): "white",
        ("a+b", "ensemble"): "white",
        ("a2+b", "a"): "gray",
        ("a2+b", "a2"): "white",
        ("a2+b", "b"): "white",
        ("a2+b", "ensemble"): "white",
    }


class Small(torch.nn.Module):
    """Networks of this class have another architecture for each width."""

    def __init__(self, width, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Conv2d(3, width, 3, 2)
        self.classifier = torch.nn.Linear(width, 5 + seed)  # of other identities

    def forward(self, images):
        features = self.first(images).relu().mean((2, 3))
        return self.classifier(features) if self.training else features


def test_networks_decide_what_an_attack_knows_and_not_their_names(tmp_path):
    market = write_market(tmp_path / "data", sizes=((32, 16), (40, 24)))
    parts = {"a": (4, 0), "same": (4, 0), "twin": (4, 1), "wide": (8, 0)}
    plain = {"size": (32, 16), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    models = {n: adv.PixelModel(Small(*part), **plain).eval() for n, part in parts.items()}
    unseen = Unseen(Small(4, 2))
    models["unseen"] = adv.PixelModel(unseen, **plain).eval()
    asked = {"a": "queries", "same": "queries", "twin": "gray", "wide": "black", "unseen": ""}
    options = {"fgsm": {}, "square": {"adv.attack.options.queries": 2}}
    for name, kinds in {"fgsm": asked | {"a": "white", "same": "white"}, "square": asked}.items():
        found = adv.transfer(
            models, "market1501", attacks=name, eps=8 / 255, attacked=["a"], root=market,
            out=tmp_path / name, device="cpu", settings={"adv.attack.name": name} | options[name],
        )  # fmt: skip
        assert {cell.tested: cell.kind for cell in found.cells} == kinds
        assert "No letter: it is not known" in found.markdown()
        assert ("q: made by the answers" in found.markdown()) == (name == "square")


class Unseen(BlackBox):
    """A network whose layers are not known."""

    def __init__(self, network):
        super().__init__()
        self.inside = [network.eval()]

    def key_facts(self):
        return "unseen"

    def forward(self, images):
        with torch.no_grad():
            return self.inside[0](images)


def test_a_cell_is_what_python_computes(table, models):
    market, out, cells = table
    model = adv.load_model("shufflenet", models[2].split(":")[1], size=(48, 24))
    folder = out / "attacks" / "a" / "fgsm-eps8" / "market1501" / "adversarial"
    stored_images = adv.load_dataset("adversarial", folder=str(folder), root=str(market))
    cell = cells["a", "b"]
    assert abs(adv.evaluate(model, stored_images).mAP - cell["adversarial"]["mAP"]) < 1e-6
    clean = adv.evaluate(model, adv.load_dataset("market1501", root=market))
    assert abs(clean.mAP - cell["clean"]["mAP"]) < 1e-6
    assert cell["map_ratio"] == cell["adversarial"]["mAP"] / cell["clean"]["mAP"]


def test_the_white_box_cell_is_that_of_the_run_itself(table):
    _, out, cells = table
    for label in ("a", "a+b"):
        path = out / "attacks" / label / "fgsm-eps8" / "results.json"
        own = json.loads(path.read_text())["targets"]["market1501"]
        cell = cells[label, "ensemble" if "+" in label else label]
        assert abs(own["adversarial"]["mAP"] - cell["adversarial"]["mAP"]) < 1e-6
        assert abs(own["clean"]["mAP"] - cell["clean"]["mAP"]) < 1e-6


def test_the_table_is_printed_and_kept(table):
    _, out, _ = table
    text = (out / "transfer.md").read_text()
    assert "| market1501, mAP: attacked | a | a2 | b | ensemble |" in text
    assert "| market1501, Rank-1: attacked | a | a2 | b | ensemble |" in text
    assert "a2+b: fgsm, eps 8" in text
    assert (out / "transfer_market1501.png").stat().st_size > 10_000
    assert "<svg" in (out / "transfer_market1501.svg").read_text()


def test_nothing_is_attacked_or_tested_twice(table, models, nothing_is_computed, capsys):
    market, out, cells = table
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.png") if "attacks" in p.parts}

    assert transfer(market, models, out, attacked=["a", "a+b", "-a"]) == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before
    again = json.loads((out / "transfer.json").read_text())
    assert {(c["attacked"], c["tested"]): c for c in again} == cells
    capsys.readouterr()


def test_another_setting_of_the_attack_is_not_taken_for_the_same(table, models, capsys):
    market, out, _ = table
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(market)]
    pairs = ["data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["data.save_dir", str(out), "adv.transfer.models", repr(models)]
    pairs += ["adv.transfer.attacks", "['fgsm']", "adv.attack.eps", "8", "adv.attack.side", "query"]
    assert cli.main(["transfer", *flags, *pairs, "test.normalize_feature", "True"]) == 2
    assert "belongs to another run (attack.reference" in capsys.readouterr().err


def test_several_data_sets_stand_side_by_side(models, tmp_path, request):
    market = write_market(tmp_path / "data", identities=2, images=1)
    folder = tmp_path / "twin" / "adversarial"
    flags = ["-s", "market1501", "--root", str(market)]
    pairs = ["data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["test.normalize_feature", "True", "adv.attack.eps", "8"]
    stored_images = ["model.name", "osnet_x0_25", "model.load_weights", models[0].split(":")[1]]
    stored_images += ["data.save_dir", str(tmp_path / "run"), "adv.attack.name", "fgsm"]
    assert cli.main(["attack-gallery", *flags, "-t", "market1501", *pairs, *stored_images]) == 0
    (tmp_path / "twin").mkdir()
    (tmp_path / "run" / "market1501" / "adversarial").rename(folder)
    table = [*flags, "-t", "market1501", "adversarial", *pairs]
    table += ["adv.data.adversarial_dir", str(folder), "adv.transfer.attacks", "['fgsm']"]
    table += ["adv.transfer.models", repr(models[:1]), "data.save_dir", str(tmp_path / "out")]
    assert cli.main(["transfer", *table]) == 0
    results = tmp_path / "out" / "attacks" / "a" / "fgsm-eps8" / "results.json"
    assert set(json.loads(results.read_text())["targets"]) == {"market1501", "adversarial"}
    cells = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert [cell["target"] for cell in cells] == ["market1501", "adversarial"]
    request.getfixturevalue("nothing_is_computed")
    assert cli.main(["transfer", *table]) == 0


def test_a_sweep_goes_over_bounds_and_metrics(market, models, tmp_path, capsys):
    pairs = ["data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["data.save_dir", str(tmp_path), "test.normalize_feature", "True"]
    pairs += ["model.name", "osnet_x0_25", "model.load_weights", models[0].split(":")[1]]
    pairs += ["adv.transfer.attacks", "['fgsm']", "adv.transfer.eps", "[4, 12]"]
    pairs += ["adv.transfer.metrics", "['euclidean', 'cosine']"]
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(market)]
    assert cli.main(["sweep", *flags, *pairs]) == 0
    printed = capsys.readouterr().out
    assert "Curve: " in printed
    assert "CMC curve" not in printed  # of many runs, each score takes a line
    scores = [line for line in printed.splitlines() if line.startswith("Adversarial, from")]
    assert scores
    assert all("mAP " in line and "Rank-1 " in line for line in scores)
    cells = json.loads((tmp_path / "transfer.json").read_text())
    assert sorted({(c["eps"], c["metric"]) for c in cells}) == [
        (4.0, "cosine"),
        (4.0, "euclidean"),
        (12.0, "cosine"),
        (12.0, "euclidean"),
    ]
    assert (tmp_path / "sweep_market1501.png").stat().st_size > 10_000


def test_the_configured_metric_is_attacked_and_ranked_by(market, models, tmp_path):
    """A fitted distance ranks with a map of the tested model's own training features."""
    from torchreid_adv.distances import load_distance

    flags = ["-s", "market1501", "-t", "market1501", "--root", str(market)]
    pairs = ["data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["data.save_dir", str(tmp_path), "test.normalize_feature", "True"]
    pairs += ["adv.transfer.models", repr(models[:2]), "adv.transfer.attacks", "['fgsm']"]
    pairs += ["adv.transfer.attacked", "['a']", "test.dist_metric", "xqda"]
    assert cli.main(["transfer", *flags, *pairs, "adv.attack.metric", "cosine"]) == 0
    run = json.loads(next(tmp_path.glob("attacks/a/*/results.json")).read_text())
    facts = run["targets"]["market1501"]
    assert facts["attack"]["metric"] == "cosine"
    cells = {c["tested"]: c for c in json.loads((tmp_path / "transfer.json").read_text())}
    assert cells["a"]["metric"] == "cosine"
    assert abs(cells["a"]["adversarial"]["mAP"] - facts["adversarial"]["mAP"]) < 1e-6
    (path,) = (tmp_path / "distances").glob("a2-market1501-*/distance.safetensors")
    other = adv.load_model("osnet_x0_25", models[1].split(":")[1], size=(64, 32))
    data = adv.load_dataset("market1501", root=market)
    clean = adv.evaluate(other, data, distance=load_distance(path)).mAP
    assert abs(cells["a2"]["clean"]["mAP"] - clean) < 1e-6


def test_several_models_are_attacked_as_one(market, models, tmp_path):
    pairs = ["data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["data.save_dir", str(tmp_path), "test.normalize_feature", "True"]
    pairs += ["adv.attack.models", repr([models[0], models[2]])]
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(market)]
    assert cli.main(["attack-gallery", *flags, *pairs]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["model"]["name"] == "a+b"
    assert results["model"]["size"] == [[64, 32], [48, 24]]
    assert read_manifest(tmp_path / "market1501" / "adversarial").entries


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attacked": ["c"]}, "no model of adv.transfer.models is 'c'"),
        ({"tested": ["a3"]}, "no model of adv.transfer.models is 'a3'"),
        ({"attacks": ["fsgm"]}, "did you mean 'fgsm'"),
        ({"eps": [0.03]}, "gray levels"),
        ({"models": []}, "'transfer' needs models, for example"),
        ({"models": ["x"]}, "unknown model 'x'"),
    ],
)
def test_what_cannot_be_is_a_sentence(market, models, tmp_path, capsys, settings, sentence):
    named = settings.get("models", models)
    others = {key: value for key, value in settings.items() if key != "models"}
    assert transfer(market, named, tmp_path / "out", **others) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
