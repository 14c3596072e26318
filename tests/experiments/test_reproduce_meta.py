"""Tables on universal attackers, done again on virtual people with tiny networks."""

import json
import shutil
import statistics

import pytest
import torch
from scripts.tiny_model import TinyClassifier

from torchreid_adv import cli, config
from torchreid_adv.report.noise import file_similarity
from torchreid_adv.report.paper_table import paper_table

VIRTUAL = {"height": 64, "width": 32, "distractors": 1, "train_identities": 4}
VIRTUAL |= {"test_identities": 3, "cameras_per_identity": 2, "images_per_camera": 2}
A, B = "virtual_a", "virtual_b"
LABELS = tuple(f"{model}-{data}" for data in (A, B) for model in ("IDE", "PCB"))
DEFENDED = ("M_C", "M_D", "M_CD", "M_SMA", "M_adv", "M_msmt", "M_joint", "M_ce", "M_tri")
WAYS = [f"{how}{kind}" for how in ("", "meta ") for kind in ("color", "delta", "both")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("meta")
    for number, label in enumerate([*LABELS, *(f"{label}-{A}" for label in DEFENDED)]):
        torch.manual_seed(number)
        torch.save({"state_dict": TinyClassifier(4).state_dict()}, place / f"{label}.pth")
    return place


def reproduce(place, number, *pairs, labels=LABELS, source=A, target=A, out="out"):
    config.forget()
    models = [f"{label}=tiny_classifier:{place / label}.pth" for label in labels]
    arguments = ["-s", source, "-t", *target.split(), "--root", str(place / "data")]
    arguments += ["data.height", "32", "data.width", "16", "data.workers", "0"]
    arguments += ["data.save_dir", str(place / out), "adv.plugins", "['scripts.tiny_model']"]
    arguments += ["adv.scenarios.models", repr(models), "adv.scenarios.epochs", "1"]
    arguments += ["adv.scenarios.batch", "4", "adv.scenarios.instances", "2"]
    arguments += ["adv.meta.iterations", "1", "adv.meta.virtual", B, "adv.meta.centroids", "4"]
    for key, value in VIRTUAL.items():
        arguments += [f"adv.virtual.{key}", str(value)]
    code = cli.main(["reproduce", f"meta.table{number}", *arguments, *pairs])
    config.forget()
    return code


def cells_of(place, number, out="out"):
    return json.loads((place / out / f"meta.table{number}.json").read_text())["cells"]


def ours(place, number, *fields, out="out"):
    """Return our cells by their fields."""
    return {
        tuple(cell.get(name, "") for name in fields): cell
        for cell in cells_of(place, number, out)
        if cell["ours"]
    }


def test_a_bound_and_a_network_trained_against_attacks_share_what_was_learned(place, capsys):
    bounds = ("adv.scenarios.eps", "[8]")
    assert reproduce(place, 8, *bounds, labels=("IDE-virtual_a",)) == 0
    found = ours(place, 8, "eps")
    assert list(found) == [(8.0,)]
    assert found[(8.0,)]["paper"] == {"mAP": 0.4, "rank1": 0.1}
    assert found[(8.0,)]["kind"] == "white"
    (run,) = (place / "out" / "attacks").glob("*/virtual_a/*/results.json")
    scores = json.loads(run.read_text())["targets"][A]["adversarial"]
    assert found[(8.0,)]["ours"]["mAP"] == pytest.approx(scores["mAP"], abs=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchreid_adv.experiments.learned.train_quietly", None)
        labels = ("IDE-virtual_a", "M_CD-virtual_a", "M_tri-virtual_a")
        assert reproduce(place, 18, labels=labels) == 0
    found = ours(place, 18, "tested")
    assert set(found) == {("M_CD",), ("M_tri",)}
    assert found[("M_CD",)]["kind"] == "black"  # as that paper counts
    printed = capsys.readouterr().out
    assert "Not given in adv.scenarios.models, so only in the paper: M_ce" in printed
    assert "The paper's numbers are for dukemtmcreid, ours for virtual_a" in printed


@pytest.mark.parametrize(
    ("number", "labels", "pairs", "sentence"),
    [
        (1, ("M_C-virtual_a",), (), "'IDE-dukemtmcreid=ide_resnet50:WEIGHTS'"),
        (13, ("PCB-virtual_a",), (), "takes models under the paper's labels"),
        (3, ("IDE-virtual_a",), (), "finds no pair of models"),
        (1, LABELS, ("adv.attack.eps", "4"), "made with adv.attack.eps 8.0"),
        (1, LABELS, ("test.normalize_feature", "True"), "made with test.normalize_feature False"),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, number, labels, pairs, sentence):
    assert reproduce(place, number, *pairs, labels=labels) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_tables_of_scenarios_hold_every_way_of_every_pair(place):
    for number, target in ((1, A), (2, A), (3, B), (4, B)):
        assert reproduce(place, number, target=target) == 0
    first = ours(place, 1, "tested", "attack")
    assert set(first) == {(m, way) for m in ("IDE", "PCB") for way in ("", *WAYS)}
    assert first["PCB", "meta both"]["paper"] == {"mAP": 3.7, "rank1": 4.7}
    second = ours(place, 2, "learned", "tested", "attack")
    assert {key[:2] for key in second} == {("IDE", "PCB"), ("PCB", "IDE")}
    assert second["IDE", "PCB", "color"]["paper"]["mAP"] == 29.1
    third = ours(place, 3, "tested", "source", "target", "attack")
    assert set(third) == {(m, A, B, way) for m in ("IDE", "PCB") for way in ("", *WAYS)}
    fourth = ours(place, 4, "learned", "tested", "source", "target")
    assert set(fourth) == {("IDE", "PCB", A, B), ("PCB", "IDE", A, B)}
    assert all(cell["paper"] for cell in cells_of(place, 1))


@pytest.mark.slow
def test_other_attacks_come_by_their_losses_or_as_files(place):
    (file,) = (place / "out" / "learned").glob("IDE-virtual_a-meta_both-eps8-*/*.safetensors")
    shutil.copy(file, place / "other.safetensors")
    pairs = ("adv.scenarios.files", f"['MisRank-PersonX.IDE-{A}=universal:{place / 'other'}."
             "safetensors']")  # fmt: skip
    assert reproduce(place, 5, *pairs, labels=("IDE-virtual_a",)) == 0
    found = ours(place, 5, "attack")
    names = ["", "UAP-Retrieval", "UAP w/ SMA", "meta both", "MisRank+PersonX"]
    assert {key[0] for key in found} == set(names)
    same = found[("meta both",)]["ours"], found[("MisRank+PersonX",)]["ours"]
    assert same[0] == same[1]
    runs = [json.loads(p.read_text()) for p in (place / "out" / "attacks").rglob("results.json")]
    attacks = [run["targets"][A]["attack"] for run in runs if A in run["targets"]]
    assert {a["perturbation"] for a in attacks} >= {"delta", "both"}


@pytest.mark.slow
def test_further_data_is_joined_or_the_meta_test_set(place):
    pairs = ("adv.scenarios.extra", "['virtual_b', 'virtual_c']")
    one = {"labels": ("IDE-virtual_a", "IDE-virtual_b"), "target": "virtual_a virtual_b"}
    assert reproduce(place, 6, *pairs, **one) == 0
    found = ours(place, 6, "learning", "extra", "perturbation", "target")
    rows = {("source", "")} | {(h, e) for h in ("joined", "meta") for e in (B, "virtual_c")}
    assert {key[:2] for key in found} == rows
    assert len(found) == 5 * 3 * 2
    means = {found["meta", e, "both", A]["ours"]["mAP"] for e in (B, "virtual_c")}
    assert all(0 <= mean <= 1 for mean in means)
    assert reproduce(place, 12, *pairs, labels=one["labels"], target=B) == 0
    twelfth = ours(place, 12, "source", "extra")
    assert set(twelfth) == {(A, B), (A, "virtual_c")}
    same = found["meta", B, "both", B]["ours"]["mAP"]
    assert twelfth[A, B]["ours"]["mAP"] == same


@pytest.mark.slow
def test_tables_on_training_data_and_targets(place):
    labels = ("IDE-virtual_a", "IDE-virtual_b")
    assert reproduce(place, 7, labels=labels) == 0
    assert {key[0] for key in ours(place, 7, "learning")} == {"source", "virtual", "meta"}
    assert reproduce(place, 10, labels=labels, target="virtual_a virtual_b") == 0
    tenth = ours(place, 10, "source", "extra", "target")
    assert set(tenth) == {(s, e, t) for s, e in (("", ""), (A, B)) for t in (A, B)}
    assert tenth["", "", A]["paper"] == {"mAP": 66.7, "rank1": 80.9}
    assert reproduce(place, 11, labels=labels, target=B) == 0
    eleventh = ours(place, 11, "source", "attack")
    assert set(eleventh) == {(A, name) for name in ("", "UAP", "meta both")}


@pytest.mark.slow
def test_similarity_is_between_each_query_and_its_own_form(place):
    step = ("adv.attack.step_size", "8")
    assert reproduce(place, 9, *step, labels=("IDE-virtual_a",), out="similar") == 0
    found = ours(place, 9, "attack", out="similar")
    assert {key[0] for key in found} == {"meta color", "meta delta", "meta both"}
    assert all(0.5 < cell["ours"]["ssim"] < 1 for cell in found.values())
    assert found[("meta delta",)]["paper"] == {"ssim": 0.2141}
    (folder,) = (place / "similar" / "attacks").glob(
        "IDE-virtual_a-meta_delta-*@32x16/virtual_a/*/*/"
    )
    images = sorted((folder / "adversarial" / "query").glob("*.png"))
    (data,) = (place / "data").glob("*virtual_a*/**/query")
    mean = statistics.fmean(file_similarity(data / f"{im.stem}.jpg", im) for im in images)
    assert found[("meta delta",)]["ours"]["ssim"] == pytest.approx(mean)


@pytest.mark.slow
def test_defended_networks_are_further_weights(place):
    labels = ("IDE-virtual_a", "PCB-virtual_a", *(f"{label}-{A}" for label in DEFENDED))
    for number in (13, 14, 15, 16, 17):
        pairs = ("adv.scenarios.eps", "[4, 8]") if number == 16 else ()
        assert reproduce(place, number, *pairs, labels=labels) == 0
    found = ours(place, 13, "tested", "attack")
    attacks = ("", *WAYS[3:], "UAP-Retrieval", "SMA", "SMA, itself")
    cells = {(m, a) for m in ("IDE", "M_C", "M_D", "M_CD") for a in attacks}
    assert set(found) == cells - {("IDE", "SMA, itself")}
    assert found["M_D", "meta delta"]["kind"] == "black"  # as that paper counts
    assert found["M_D", "SMA"]["kind"] == "black"  # as that paper counts
    assert found["M_D", "SMA, itself"]["kind"] == found["IDE", "SMA"]["kind"] == "white"
    fourteenth = ours(place, 14, "tested", "attack")
    assert set(fourteenth) == {(m, a) for m in ("M_SMA", "M_CD") for a in attacks[4:]}
    assert fourteenth["M_CD", "SMA"]["ours"] == found["M_CD", "SMA"]["ours"]
    fifteenth = ours(place, 15, "learned", "attack", "tested")
    rows = {("", "")} | {(m, way) for m in ("IDE", "PCB") for way in WAYS}
    assert set(fifteenth) == {(*row, m) for row in rows for m in ("IDE", "M_CD")}
    assert fifteenth["IDE", "meta both", "M_CD"]["ours"] == found["M_CD", "meta both"]["ours"]
    sixteenth = ours(place, 16, "attack", "eps", "tested")
    bounds = [("", ""), ("meta both", 4.0), ("meta both", 8.0)]
    assert set(sixteenth) == {(*row, m) for row in bounds for m in ("IDE", "M_CD")}
    assert sixteenth["", "", "M_CD"]["paper"]
    assert {key[0] for key in ours(place, 17, "tested")} == {"M_adv", "M_msmt", "M_joint", "M_CD"}


@pytest.mark.slow
def test_the_cost_is_measured(place):
    pairs = ("model.name", "tiny_classifier", "adv.scenarios.batch", "16")
    assert reproduce(place, 19, *pairs) == 0
    found = ours(place, 19, "method", "learning")
    assert set(found) == {(m, how) for m in ("attack", "defense") for how in ("meta", "source")}
    seconds = {key: cell["ours"]["seconds"] for key, cell in found.items()}
    assert seconds["defense", "meta"] > seconds["defense", "source"]
    assert found["defense", "meta"]["paper"] == {"seconds": 271.0}
    assert found["attack", "meta"]["paper"] == {"seconds": 63.0}
    assert all(cell["ours"]["seconds"] > 0 for cell in found.values())
    assert len(cells_of(place, 19)) == len(paper_table("meta.table19").cells)
