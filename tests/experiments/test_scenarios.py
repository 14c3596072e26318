"""The four scenarios of universal attacks on toy markets with tiny networks."""

import json
import shutil

import pytest
import torch
from scripts.tiny_model import TinyClassifier

import torchreid_adv as adv
from torchreid_adv import cli, config, errors
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.tensor_file import settings_in
from torchreid_adv.data.datasets import Record
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.learned import source_models
from torchreid_adv.experiments.scenario_tables import ScenarioCell, markdown, scenario_of
from torchreid_adv.models.specs import ModelSpec

VIRTUAL = {"height": 64, "width": 32, "distractors": 1, "train_identities": 4}
VIRTUAL |= {"test_identities": 3, "cameras_per_identity": 2, "images_per_camera": 2}
EPS = 64.0  # gray levels, with which tiny networks are wrong
LABELS = ("A-virtual_a", "B-virtual_a", "A-virtual_b", "B-virtual_b")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("scenarios")
    for number, label in enumerate(LABELS):
        torch.manual_seed(number)
        torch.save({"state_dict": TinyClassifier(4).state_dict()}, place / f"{label}.pth")
    return place


def scenarios(place, *pairs, labels=LABELS, out="out"):
    config.forget()
    models = [f"{label}=tiny_classifier:{place / label}.pth" for label in labels]
    arguments = ["-s", "virtual_a", "-t", "virtual_b", "--root", str(place / "data")]
    arguments += ["data.height", "32", "data.width", "16", "data.workers", "0"]
    arguments += ["data.save_dir", str(place / out), "adv.plugins", "['scripts.tiny_model']"]
    arguments += ["adv.scenarios.models", repr(models), "adv.scenarios.epochs", "1"]
    arguments += [
        "adv.scenarios.batch",
        "4",
        "adv.scenarios.instances",
        "2",
        "adv.attack.eps",
        str(EPS),
    ]
    arguments += ["adv.meta.iterations", "2", "adv.meta.virtual", "virtual_b"]
    arguments += ["adv.attack.space", "network", "adv.scenarios.perturbations", "['both']"]
    for key, value in VIRTUAL.items():
        arguments += [f"adv.virtual.{key}", str(value)]
    return cli.main(["scenarios", *arguments, *pairs])


@pytest.fixture(scope="module")
def done(place):
    assert scenarios(place) == 0
    config.forget()
    return json.loads((place / "out" / "scenarios.json").read_text())


FOUR = ("source", "cross-model", "cross-dataset", "cross-model-dataset")


def test_every_way_is_tested_in_every_scenario(done):
    found = [(c["way"], c["scenario"]) for c in done["cells"]]
    assert sorted(found) == sorted((way, one) for way in ("both", "meta both") for one in FOUR)
    assert [x["way"] for x in done["learned"]] == ["both", "meta both"]


@pytest.mark.slow
def test_kinds_and_further_bounds_are_learned_too(place):
    pairs = ["adv.scenarios.perturbations", "['color', 'delta']", "adv.scenarios.eps", "[4]"]
    assert scenarios(place, *pairs, out="more") == 0
    content = json.loads((place / "more" / "scenarios.json").read_text())
    ways = [(x["way"], x["eps"]) for x in content["learned"]]
    assert ways == [
        *((way, EPS) for way in ("color", "delta", "meta color", "meta delta")),
        ("meta delta", 4.0),
    ]
    found = {(c["way"], c["eps"], c["scenario"]) for c in content["cells"]}
    assert found == {(*way, one) for way in ways for one in FOUR}
    assert "### The bound" in (place / "more" / "scenarios.md").read_text()
    assert (place / "more" / "scenarios.html").read_text().count("<img ") >= 2


def test_a_cell_is_what_python_computes(place, done):
    config.forget()
    (cell,) = [
        c
        for c in done["cells"]
        if (c["way"], c["eps"], c["scenario"]) == ("both", EPS, "cross-model-dataset")
    ]
    assert (cell["learned"], cell["tested"]) == (["A", "virtual_a"], ["B", "virtual_b"])
    (folder,) = (place / "out" / "attacks").glob("A-virtual_a-both-*@32x16/virtual_b/*/virtual_b")
    entries = read_manifest(folder / "adversarial").side("query")
    stored = [
        Record(e.image_id, folder / "adversarial" / e.output, e.pid, e.camid) for e in entries
    ]
    assert stored
    model = adv.load_model("tiny_classifier", str(place / "B-virtual_b.pth"), size=(32, 16))
    cfg = config.add_adv_config(config.AdvConfig())
    for key, value in VIRTUAL.items():
        cfg.adv.virtual[key] = value
    with config.using(cfg):
        clean = adv.load_dataset("virtual_b", root=place / "data")
    query = adv.extract(model, stored)
    gallery = adv.extract(model, clean.gallery)
    found = adv.evaluate(query, gallery, distance=adv.build_distance("euclidean"))
    assert cell["adversarial"]["mAP"] == pytest.approx(found.mAP, abs=1e-6)
    before = adv.extract(model, clean.query)
    found = adv.evaluate(before, gallery, distance=adv.build_distance("euclidean"))
    assert cell["clean"]["mAP"] == pytest.approx(found.mAP, abs=1e-6)


def first_matches(query, gallery):
    """Whether the nearest gallery image, but for the own camera's of the own pid, is right."""
    distances = torch.cdist(query.values.double(), gallery.values.double())
    for row, (pid, camid) in enumerate(zip(query.pids, query.camids, strict=True)):
        distances[row, (gallery.pids == pid) & (gallery.camids == camid)] = torch.inf
    return gallery.pids[distances.argmin(dim=1)] == query.pids


def test_queries_that_fail_are_counted_and_listed(place, done):
    page = (place / "out" / "scenarios.html").read_text()
    cfg = config.add_adv_config(config.AdvConfig())
    cfg.adv.virtual.update(VIRTUAL)
    seen = 0
    for label in LABELS:
        model, _, name = label.partition("-")
        with config.using(cfg):
            data = adv.load_dataset(name, root=place / "data")
        network = adv.load_model("tiny_classifier", str(place / f"{label}.pth"), size=(32, 16))
        sort = f"A-virtual_a-meta_both-*@32x16/{name}/*/{name}/adversarial"
        (folder,) = (place / "out" / "attacks").glob(sort)
        stored = [
            Record(e.image_id, folder / e.output, e.pid, e.camid)
            for e in read_manifest(folder).side("query")
        ]
        gallery = adv.extract(network, data.gallery)
        before = first_matches(adv.extract(network, data.query), gallery)
        after = first_matches(adv.extract(network, stored), gallery)
        right, failed = int(before.sum()), int((before & ~after).sum())
        told = f"Of {right} queries of {name} that {model} ranks correctly, {failed} fail under"
        assert (told in page) == (failed > 0)
        seen += failed
    assert seen


def test_the_page_holds_the_tables_and_the_pictures(place, done):
    page = (place / "out" / "scenarios.html").read_text()
    drawn = 1 + page.count("<h2>Queries that fail: ")
    assert page.count("<img ") == page.count("data:image/png;base64,") == drawn
    assert "A → B, virtual_a → virtual_b" in page
    assert "Color, delta and both" in page
    assert "http://" not in page
    assert "https://" not in page
    assert (place / "out" / "figures" / "ways.png").stat().st_size > 10_000


def test_the_same_command_computes_nothing_again(place, done, monkeypatch, capsys):
    def forbidden(*arguments, **keywords):
        raise AssertionError("computed again")

    monkeypatch.setattr("torchreid_adv.experiments.learned.train_quietly", forbidden)
    monkeypatch.setattr("torchreid_adv.runs.attack_dataset.attack_targets", forbidden)
    monkeypatch.setattr("torchreid_adv.runs.grid.extract", forbidden)
    assert scenarios(place) == 0
    assert json.loads((place / "out" / "scenarios.json").read_text()) == done
    printed = capsys.readouterr().out
    assert "### Cross-model: " in printed
    assert "| model, data | none | both | meta both |" in printed
    assert "| A → B, virtual_a → virtual_b |" in printed


def test_a_file_learned_elsewhere_is_a_way_of_its_own(place, done):
    file = place / "mine.safetensors"
    shutil.copy(next(x["file"] for x in done["learned"] if x["way"] == "both"), file)
    pairs = ["adv.scenarios.files", f"['Mine.A-virtual_a=universal:{file}']"]
    pairs += ["adv.scenarios.perturbations", "['both']", "adv.scenarios.learning", "['source']"]
    assert scenarios(place, *pairs) == 0
    cells = json.loads((place / "out" / "scenarios.json").read_text())["cells"]
    found = {(c["way"], *c["tested"]): c["adversarial"] for c in cells}
    assert {way for way, *_ in found} == {"both", "Mine"}
    assert all(found[("Mine", *rest)] == value for (way, *rest), value in found.items())


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (("adv.scenarios.models", "['A=tiny:x.pth']"), "write 'A-DATA=tiny:x.pth'"),
        (("adv.scenarios.models", "[]"), "adv.scenarios.models names no model"),
        (("adv.scenarios.learned", "['C-virtual_a']"), "is 'C-virtual_a'"),
        (("adv.scenarios.learning", "[]"), "nothing is learned"),
        (
            ("data.sources", "['virtual_c']", "data.targets", "['virtual_c']"),
            "no model of virtual_c",
        ),
        (("adv.scenarios.files", "['M.Z-virtual_a=universal:x']"), "learned against 'Z-virtual_a'"),
        (
            ("adv.scenarios.files", "['M.A-virtual_a=universal:x']"),
            "'x', and there is no such file",
        ),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, pairs, sentence):
    assert scenarios(place, *pairs, out="none") == errors.ConfigError.exit_code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_models_are_trained_on_each_data_set_where_none_are_given(place):
    pairs = ["adv.scenarios.models", "[]", "adv.study.models", "['a=tiny_classifier']"]
    pairs += ["train.max_epoch", "1", "train.batch_size", "4", "model.pretrained", "False"]
    pairs += ["adv.scenarios.perturbations", "['delta']", "adv.scenarios.learning", "['source']"]
    assert scenarios(place, *pairs, out="own") == 0
    content = json.loads((place / "own" / "scenarios.json").read_text())
    assert [entry.split("=")[0] for entry in content["models"]] == ["a-virtual_a", "a-virtual_b"]
    assert {c["scenario"] for c in content["cells"]} == {"source", "cross-dataset"}


def test_labels_say_model_and_data():
    (victim,) = source_models(["M-CD-market1501=resnet50@256x128:w.pth"])
    assert (victim.model, victim.data) == ("M-CD", "market1501")
    assert victim.spec == ModelSpec("M-CD-market1501", "resnet50", "w.pth", (256, 128))
    with pytest.raises(ConfigError, match="IDE-market1501"):
        source_models(["IDE=resnet50:w.pth"])


def test_the_page_puts_a_cell_where_it_belongs():
    def outcome(way, eps, learned, tested, after):
        scores = [{"mAP": x, "cmc": {"1": x + 0.1}} for x in (0.8, after)]
        return ScenarioCell(scenario_of(learned, tested), way, eps, learned, tested, *scores)

    found = [
        outcome("delta", 8.0, ("A", "x"), ("A", "x"), 0.1),
        outcome("delta", 8.0, ("A", "x"), ("B", "y"), 0.5),
        outcome("delta", 4.0, ("A", "x"), ("A", "x"), 0.3),
    ]
    text = markdown(found, 8.0)
    assert "| A, x | 80.0/90.0 | 10.0/20.0 |" in text
    assert "| A → B, x → y | 80.0/90.0 | 50.0/60.0 |" in text
    assert "| eps 4 | 30.0/40.0 |  |" in text
    assert text.index("eps 4") < text.index("eps 8")


def test_ways_of_learning_differ_in_steps_and_data(place):
    ways = ("source", "twice", "meta", "two_step")
    pairs = ["adv.scenarios.perturbations", "['delta']", "adv.scenarios.learning", repr(ways)]
    pairs += ["adv.meta.iterations", "2"]
    assert scenarios(place, *pairs, out="ways") == 0
    config.forget()
    found = json.loads((place / "ways" / "scenarios.json").read_text())
    assert {c["way"] for c in found["cells"]} == {"delta", *(f"{w} delta" for w in ways[1:])}
    told = {}
    for path in (place / "ways" / "learned").glob("*/universal.safetensors"):
        about = settings_in(path)
        told[about["learning"]] = (about["steps"], bool(about["virtual"]))
    assert told == {
        "source": (2, False),
        "twice": (4, False),
        "meta": (2, True),
        "two_step": (4, True),
    }
