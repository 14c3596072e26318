"""The model zoo in a toy form: its figures are those of its runs, its complexity torchreid's."""

import json
from dataclasses import replace

import pytest
import toys

from torchreid_adv import cli, config, errors
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.data.virtual.folder import VirtualOptions
from torchreid_adv.evaluation.of_models import evaluate
from torchreid_adv.experiments.zoo_table import Described, Row, page
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network, load_model
from torchreid_adv.report.units import DASH

MODELS = """{normal: {}, triplet: {loss: {name: triplet}, data.height: 48, data.width: 24},
scaled: {data.transforms: [random_flip, diversity], adv.defense.name: jpeg},
offline: {adv.engine: adversarial_training, adv.training.mode: offline},
online: {adv.engine: adversarial_training, adv.training: {mode: online, steps: 1}}}"""


def zoo(place, *options, models=MODELS, command="zoo"):
    config.forget()
    place.mkdir(exist_ok=True)
    file = place / "zoo.yaml"
    base = "model: {name: tiny_classifier, pretrained: False}"
    file.write_text(
        f"{base}\ndata: {{workers: 0, transforms: [random_flip]}}\nadv: {{zoo: {models}}}"
    )
    people = [part for k, v in toys.PEOPLE.items() for part in (f"adv.virtual.{k}", str(v))]
    toy = ["-s", "virtual_a", "-t", "virtual_a", "--root", str(place / "data")]
    toy += ["data.save_dir", str(place / "out"), "data.height", "64", "data.width", "32"]
    toy += ["train.max_epoch", "1", "train.batch_size", "8", "adv.attack.eps", "4", *people]
    toy += ["test.normalize_feature", "True"]
    toy += ["adv.plugins", "['scripts.tiny_model']", "use_gpu", "False"]
    code = cli.main([command, "--config-file", str(file), *options, *toy])
    config.forget()
    return code


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("zoo")
    assert zoo(place) == 0
    return place, json.loads((place / "out" / "zoo.json").read_text())


def rows_of(facts):
    return {row["model"]["label"]: row for row in facts["rows"]}


def results(place, folder):
    return json.loads((place / "out" / folder / "results.json").read_text())["targets"]["virtual_a"]


def test_every_model_stands_in_its_line_in_order(done):
    text = (done[0] / "out" / "zoo.md").read_text()
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [line[0].strip("| ") for line in lines] == [
        "normal",
        "triplet",
        "scaled",
        "offline",
        "online",
    ]
    assert [line[4] for line in lines] == ["softmax", "triplet", "softmax", "softmax", "softmax"]
    assert lines[1][5] == "48x24"
    assert lines[2][6:8] == ["random_flip, diversity", "jpeg"]
    assert lines[3][7] == "offline adversarial training"
    assert [line[-2] == DASH for line in lines] == [True, True, False, False, False]


def test_a_figure_is_that_of_its_run(done):
    place, facts = done
    rows = rows_of(facts)
    for label in ("normal", "triplet", "offline", "online"):
        run = results(place, f"attacks/{label}/ifgsm-eps4")
        assert rows[label]["clean"]["mAP"] == pytest.approx(run["clean"]["mAP"], abs=1e-6)
        assert rows[label]["adaptive"]["mAP"] == pytest.approx(run["adversarial"]["mAP"], abs=1e-6)
    behind = results(place, "defended/scaled")["defense"]
    for kind in ("clean", "oblivious", "adaptive"):
        assert rows["scaled"][kind] == behind[kind]


def test_oblivious_figures_of_training_are_of_images_attacked_through_the_first(done):
    place, facts = done
    row = rows_of(facts)["online"]
    stored = place / "out/attacks/normal/ifgsm-eps4/virtual_a/adversarial"
    people = VirtualOptions(**toys.PEOPLE)
    data = load_dataset("virtual_a", place / "data", options=people)
    files = {e.image_id: stored / e.output for e in read_manifest(stored).stored}
    gallery = tuple(replace(r, path=files.get(r.image_id, r.path)) for r in data.gallery)
    assert 0 < len(files) < len(gallery)
    weights = row["model"]["weights"]
    model = load_model("tiny_classifier", weights, size=(64, 32), device="cpu")
    found = evaluate(model, replace(data, gallery=gallery))
    assert row["oblivious"]["mAP"] == pytest.approx(found.mAP, abs=1e-6)


def test_the_trainings_differ(done):
    weights = {row["model"]["weights"] for row in done[1]["rows"]}
    assert len(weights) == 5
    assert len(list((done[0] / "out/training_sets/offline").rglob("*.png"))) == 32


def test_complexity_is_torchreids(done):
    network = build_network("tiny_classifier", classes=8)
    count = torchreid_module("utils").compute_model_complexity
    for label, size in (("normal", (64, 32)), ("triplet", (48, 24))):
        model = rows_of(done[1])[label]["model"]
        assert (model["params"], model["flops"]) == count(network, (1, 3, *size))


def test_the_same_command_computes_nothing_again(done, nothing_is_computed, capsys):
    assert zoo(done[0]) == 0
    assert json.loads((done[0] / "out" / "zoo.json").read_text()) == done[1]
    assert "| oblivious | adaptive |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("{}", "adv.zoo names no model"),
        ("{a: {adv.defense.name: jpeg}}", "the first model of adv.zoo, 'a'"),
        ("{a: {}, b: {adv.attack.eps: 3}}", "adv.zoo.b sets 'adv.attack.eps'"),
        ("{a: {}, b: {data: {targets: [virtual_b]}}}", "adv.zoo.b sets 'data.targets'"),
        ("{a: {}, b: {adv.engine: meta_defense}}", "got meta_defense"),
        ("{a: {}, b: {model.name: tinny}}", "unknown model 'tinny'; did you mean 'tiny'?"),
        ("{a: {}, b: {los.name: triplet}}", "adv.zoo.b sets 'los.name'"),
        ("{a: {}, b: {loss.nam: triplet}}", "unknown config key 'loss.nam'"),
        ("{a: {}, 'b/c': {}}", "'b/c=tiny_classifier' names no model"),
        ("{a: 3}", "adv.zoo.a is a section of keys"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(models, said, tmp_path, capsys):
    assert zoo(tmp_path, "--dry-run", models=models) == errors.ConfigError.exit_code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_table_by_hand():
    measures = {"mAP": 0.5, "cmc": {"1": 0.75}}
    model = Described("a", "net", 1_234_567, 89_000_000, "softmax", (4, 2), ("flip",), "", "a.pth")
    behind = Described("b", "net", 1_234_567, 89_000_000, "softmax", (4, 2), (), "jpeg", "b.pth")
    rows = [
        Row(model, "market1501", "ifgsm", 5.0, measures, None, {"mAP": 0.0, "cmc": {"1": 0.001}}),
        Row(behind, "market1501", "ifgsm", 5.0, measures, measures, None, "it has no gradient"),
    ]
    text = page(rows)
    assert (
        f"| a | net | 1.23 | 0.089 | softmax | 4x2 | flip | {DASH} | ifgsm | 5 | 75.0 (50.0) |"
        in text
    )
    assert f"| 75.0 (50.0) | {DASH} | 0.10 (0.0) |" in text
    assert f"| 75.0 (50.0) | 75.0 (50.0) | {DASH} |" in text
    assert "No adaptive attack: it has no gradient." in text
