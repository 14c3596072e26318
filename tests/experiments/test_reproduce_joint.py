"""Tables of the joint defense's paper, done again on a toy market with tiny networks."""

import json
import shutil

import pytest
import torch
from markets import write_market
from scripts.tiny_model import Tiny

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.attacks.learned.generator import GeneratedNoise, save_generator
from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.evaluation import Reranking
from torchreid_adv.experiments.papers import joint_defense

LABELS = ("N", "N2", "CF", "DL-star", "DL")
TABLES = ("table3", "table4", "table5", "table6", "table9", "fig9")
VIRTUAL = {"height": 64, "width": 32, "distractors": 1, "train_identities": 3}
VIRTUAL |= {"test_identities": 3, "cameras_per_identity": 2, "images_per_camera": 2}


@pytest.fixture(scope="module", autouse=True)
def quick(no_pages):
    """Two borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint_defense, "BORDERS", (0, 10))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("joint")
    write_market(place / "data", identities=3, cameras=2, images=1, distractors=1)
    for number, label in enumerate(LABELS):
        torch.manual_seed(number)
        torch.save({"state_dict": Tiny().state_dict()}, place / f"{label}.pth")
    return place


def reproduce(place, name, *pairs, labels=LABELS, target="market1501", source="market1501"):
    models = [f"{label}=tiny:{place / label}.pth" for label in labels]
    config.forget()
    for key, value in VIRTUAL.items():
        pairs += (f"adv.virtual.{key}", str(value))
    return cli.main(
        [
            *("reproduce", f"joint_defense.{name}", "-s", source, "-t", target),
            *("--root", str(place / "data"), "data.height", "32", "data.width", "16"),
            *("data.workers", "0", "data.save_dir", str(place / "out")),
            *("adv.plugins", "['scripts.tiny_model']", "adv.transfer.models", repr(models)),
            *("adv.job.chunk", "3", *pairs),
        ]
    )


@pytest.fixture(scope="module")
def done(place):
    """All tables, made once in one folder, so that they share their attacks."""
    for name in TABLES:
        assert reproduce(place, name) == 0
    return place


def cells_of(place, name):
    return json.loads((place / "out" / f"joint_defense.{name}.json").read_text())["cells"]


def scored(place, label, data, defense=None, **rules):
    weights = str(place / f"{label}.pth")
    model = adv.load_model("tiny@resize=bicubic", weights, size=(32, 16))
    if defense:
        model = Defended(defense, model)
    sides = [adv.extract(model, data.side(side)) for side in ("query", "gallery")]
    distance = adv.build_distance("euclidean", normalize=True)
    return adv.evaluate(*sides, distance=distance, ap_rule="trapezoid", **rules)


def jad(preset="jad"):
    return build_defense("circuitous_scaling", preset=preset, final=(32, 16), proportional=True)


@pytest.mark.parametrize("name", ["table3", "table4", "table5", "table6", "table9"])
def test_every_cell_of_the_paper_is_filled(done, name):
    cells = cells_of(done, name)
    assert all(cell["ours"] and cell["paper"] for cell in cells)


def test_clean_cells_are_what_python_computes_with_and_without_reranking(done):
    config.forget()
    data = adv.load_dataset("market1501", root=done / "data")
    cells = {(c["tested"], c["rerank"]): c["ours"]["mAP"] for c in cells_of(done, "table3")}
    for tested, label, defense in (("N", "N", None), ("JAD", "DL", jad())):
        plain = scored(done, label, data, defense)
        again = scored(done, label, data, defense, rerank=Reranking())
        assert cells[tested, False] == pytest.approx(plain.mAP, abs=1e-6)
        assert cells[tested, True] == pytest.approx(again.mAP, abs=1e-6)


def stored(place, label, attack, eps=5):
    folder = place / "out" / "attacks" / label / f"{attack}-eps{eps}" / "market1501" / "adversarial"
    return adv.load_dataset("adversarial", folder=str(folder), root=str(place / "data"))


def test_a_defended_cell_is_the_attack_on_the_weights_behind_the_scaling(done):
    config.forget()
    cells = {(c["tested"], c["attack"], c["rerank"]): c for c in cells_of(done, "table4")}
    found = scored(done, "DL", stored(done, "DL", "lta"), jad())
    cell = cells["JAD", "lta", False]
    assert cell["ours"]["mAP"] == pytest.approx(found.mAP, abs=1e-6)
    assert (cell["attacked"], cell["kind"]) == ("DL", "oblivious")
    assert cell["paper"] == {"rank1": 56.5, "mAP": 41.1}
    run = json.loads((done / "out/attacks/DL/lta-eps5/results.json").read_text())
    assert run["targets"]["market1501"]["attack"]["side"] == "query"
    assert run["targets"]["market1501"]["defense"] is None


def test_chains_are_tested_on_one_attack(done):
    config.forget()
    cells = {(c["tested"], c["attack"]): c["ours"]["mAP"] for c in cells_of(done, "table6")}
    found = scored(done, "N", stored(done, "N", "lta"), jad("AB"), rerank=Reranking())
    assert cells["N+AB", "lta"] == pytest.approx(found.mAP, abs=1e-6)


def test_table_9_tests_the_normal_network_on_others_examples(done):
    config.forget()
    cells = {(c["attacked"], c["rerank"]): c for c in cells_of(done, "table9")}
    assert set(cells) == {(label, kind) for label in ("N2", "DL") for kind in (False, True)}
    assert {c["kind"] for c in cells.values()} == {"gray"}
    for kind, rules in ((False, {}), (True, {"rerank": Reranking()})):
        found = scored(done, "N", stored(done, "N2", "sma"), **rules)
        assert cells["N2", kind]["ours"]["mAP"] == pytest.approx(found.mAP, abs=1e-6)
        assert cells["N2", kind]["paper"]["mAP"] == 45.9


def test_figure_9_has_a_point_for_each_border(done):
    cells = cells_of(done, "fig9")
    points = {(c["tested"], c["attack"], c["border"]) for c in cells}
    assert points == {(m, a, b) for m in ("N", "DL") for a in ("", "sma") for b in (0.0, 10.0)}
    config.forget()
    data = adv.load_dataset("market1501", root=done / "data")
    (cell,) = [c for c in cells if (c["tested"], c["attack"], c["border"]) == ("N", "", 10.0)]
    behind = build_defense("rrp_paper", size=[14, 6], border=10, final=(32, 16))
    found = scored(done, "N", data, behind, rerank=Reranking())
    assert cell["ours"]["mAP"] == pytest.approx(found.mAP, abs=1e-6)
    assert (done / "out" / "joint_defense.fig9_market1501.png").stat().st_size > 10_000


def test_nothing_is_attacked_or_scored_twice(done, nothing_is_computed, capsys):
    before = cells_of(done, "table5")

    assert reproduce(done, "table5") == 0
    assert cells_of(done, "table5") == before
    printed = capsys.readouterr().out
    assert "oblivious" in printed
    assert "input of 32x16, the paper's in proportion: jad 14x6, 28x12, 14x6; then" in printed
    assert "Images are resized to the network's input by bicubic interpolation." in printed
    assert "[56.8]" in printed


def test_table_2_tests_on_another_data_set(place, capsys):
    assert reproduce(place, "table2", target="virtual_a") == 0
    printed = capsys.readouterr().out
    assert "Ours is trained on market1501" in printed
    cells = {(c["tested"], c["rerank"]): c for c in cells_of(place, "table2")}
    assert len(cells) == 6
    assert all(cell["ours"] and cell["paper"] for cell in cells.values())
    assert cells["DL*+LHT", True]["paper"] == {"rank1": 49.3, "mAP": 36.6}
    assert cells["DL*", False]["ours"] != cells["DL*+LHT", False]["ours"]


def test_table_8_is_of_networks_that_the_generator_never_saw(place, capsys):
    path = place / "generator.safetensors"
    save_generator(path, GeneratedNoise(eps=8 / 255, size=(32, 16), filters=4, blocks=1))
    for label, source in (("R50", "N2"), ("SB", "CF")):
        shutil.copy(place / f"{source}.pth", place / f"{label}.pth")
    pairs = ("adv.attack.eps", "8", "adv.attack.weights", str(path))
    assert reproduce(place, "table8", *pairs, labels=("R50", "N", "DL", "SB")) == 0
    assert "Ours has eps 8." in capsys.readouterr().out
    found = {(c["tested"], c["attack"]): c["ours"] for c in cells_of(place, "table8")}
    rows = {row for (row, _), ours in found.items() if ours}
    assert rows == {"N", "JAD", "SB"}
    config.forget()
    attacked = stored(place, "R50", "mis_ranking", eps=8)
    expected = scored(place, "SB", attacked, rerank=Reranking())
    assert found["SB", "dmr"]["mAP"] == pytest.approx(expected.mAP, abs=1e-6)


def test_figure_5_trains_both_and_draws_their_curves(place):
    recipe = ["data.transforms", "['random_flip', 'diversity']", "model.name", "tiny"]
    recipe += ["train.max_epoch", "2", "model.pretrained", "False", "train.batch_size", "2"]
    for again in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if again:
                patch.setattr("torchreid_adv.engines.trained._train", None)
            assert reproduce(place, "fig5", *recipe, source="virtual_a", target="virtual_a") == 0
    cells = {c["tested"]: c["ours"] for c in cells_of(place, "fig5")}
    assert set(cells) == {"DL*", "DL"}
    assert all(set(c) == set(cells["DL"]) and c["held_out_loss"] > 0 for c in cells.values())
    assert all(0 <= c["held_out_error"] <= 1 for c in cells.values())
    assert (place / "out" / "joint_defense.fig5_curves.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("name", "labels", "pairs", "sentence"),
    [
        ("table2", LABELS, (), "'market1501' is in both data.sources and data.targets"),
        ("table3", (), (), "'DL=resnet50:WEIGHTS'"),
        ("table9", ("N",), (), "at least one of N2 and DL is attacked"),
        ("table8", ("N", "DL"), (), "R50 is attacked"),
        ("table8", ("R50", "N"), (), "name its file in adv.attack.weights"),
        ("table4", LABELS, ("adv.attack.eps", "8"), "made with adv.attack.eps 5.0"),
        ("fig5", LABELS, (), "data.transforms must contain one of the two"),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, name, labels, pairs, sentence):
    assert reproduce(place, name, *pairs, labels=labels) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
