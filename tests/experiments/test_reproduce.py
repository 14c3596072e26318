"""Tables of papers, done again on a toy market with tiny networks of random weights."""

import json
from pathlib import Path

import pytest
import torch
from markets import write_market
from scripts.tiny_model import Tiny

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.paper_table import paper_table

LABELS = ("B1", "B2", "B3", "B4", "HA", "N")
PAGE = Path(__file__).parents[2] / "docs" / "reproduction.md"
FEW = ("B1", "B4", "HA", "N")  # for the tables of single-model attacks
TRAINED = ("bai2019.table5", "joint_defense.table7", "joint_defense.fig6")
ELSEWHERE = {f"joint_defense.{n}" for n in ("fig5", "fig9")}  # test_reproduce_joint.py
ELSEWHERE |= {f"joint_defense.table{n}" for n in (2, 3, 4, 5, 6, 8, 9)}
ELSEWHERE |= {f"meta.table{n}" for n in range(1, 20)}  # test_reproduce_meta.py
ELSEWHERE |= {"vi_video.table1", "vi_video.table2"}  # test_reproduce_video.py
ELSEWHERE |= {"bai2019.cross_modality"}  # the same
ELSEWHERE |= {"bai2019.text"}  # test_reproduce_text.py
NAMES = ("table1", "table2", "table4", "fig3", "fig5")
pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A market, checkpoints, and the folder in which all tables of the module are made."""
    place = tmp_path_factory.mktemp("reproduce")
    write_market(place / "data", identities=3, cameras=2, images=1, distractors=1)
    for number, label in enumerate(LABELS):
        torch.manual_seed(number)
        torch.save({"state_dict": Tiny().state_dict()}, place / f"{label}.pth")
    return place


def reproduce(place, name, *pairs, labels=LABELS, out="out", target="market1501"):
    models = [f"{label}=tiny:{place / label}.pth" for label in labels]
    config.forget()
    return cli.main(
        [
            *("reproduce", name, "-s", target, "-t", target, "--root", str(place / "data")),
            *("data.height", "32", "data.width", "16", "data.workers", "0"),
            *("data.save_dir", str(place / out), "adv.plugins", "['scripts.tiny_model']"),
            *("adv.transfer.models", repr(models), *pairs),
        ]
    )


def cells_of(place, name, out="out"):
    return json.loads((place / out / f"{name}.json").read_text())["cells"]


@pytest.fixture(scope="module")
def done(place):
    """All tables, made once in one folder, so that they share their attacks."""
    for name in (*(f"bai2019.{name}" for name in NAMES), "joint_defense.table1"):
        assert make(place, name) == 0
    return place


def make(place, name):
    pairs = ("adv.transfer.eps", "[5]") if name == "bai2019.fig5" else ()
    if name == "joint_defense.table1":
        pairs = ("adv.attack.name", "fgsm")  # the attack of a config file does not matter
    labels = FEW if name in ("bai2019.table2", "bai2019.fig3") else LABELS
    return reproduce(place, name, *pairs, labels=labels)


def test_every_name_is_tested_here(done):
    names = {*(f"bai2019.{n}" for n in (*NAMES, "table3")), "joint_defense.table1"}
    assert {n for n in REPRODUCTIONS if n not in ELSEWHERE} == names | set(TRAINED)


@pytest.mark.parametrize("name", ["table1", "table4"])
def test_every_cell_that_has_a_model_is_filled(done, name):
    cells = cells_of(done, f"bai2019.{name}")
    assert {c["tested"] for c in cells if not c["ours"]} == {"MC"}
    assert "MC" not in {c["tested"] for c in cells if c["ours"]}
    assert all(c["paper"] for c in cells)


def test_a_cell_is_filled_if_both_of_its_models_are_there(done):
    for name in ("bai2019.table2", "bai2019.fig3"):
        for cell in cells_of(done, name):
            there = cell["attacked"] in FEW and cell["tested"] in FEW
            assert bool(cell["ours"]) is there, cell
            assert cell["paper"]


def test_the_numbers_of_the_paper_are_in_their_places(done):
    cells = {
        (c["attacked"], c["attack"], c["tested"]): c
        for name in ("table2", "table4")
        for c in cells_of(done, f"bai2019.{name}")
    }
    assert cells["B1", "ifgsm", "B1"]["paper"] == {"mAP": 0.367}
    assert cells["B4", "mifgsm", "MC"]["paper"] == {"mAP": 43.16}
    assert cells["-B4", "mifgsm", "hold-out"]["paper"] == {"mAP": 16.66}
    assert cells["-B1", "fgsm", "ensemble"]["paper"] == {"mAP": 20.61}
    kinds = {key: cell["kind"] for key, cell in cells.items()}
    assert kinds["B1", "ifgsm", "B1"] == "white"
    assert kinds["B1", "ifgsm", "HA"] == "black"  # one network in this test, as the paper counts
    assert kinds["-B1", "ifgsm", "ensemble"] == "white"
    assert kinds["B1", "ifgsm", "MC"] is None


def test_a_cell_is_what_python_computes(done):
    config.forget()
    model = adv.load_model("tiny", str(done / "B4.pth"), size=(32, 16))
    data = adv.load_dataset("market1501", root=done / "data")
    clean = adv.evaluate(model, data, ap_rule="trapezoid")
    (cell,) = [c for c in cells_of(done, "bai2019.table1") if c["tested"] == "B4"]
    assert abs(cell["ours"]["mAP"] - clean.mAP) < 1e-6
    assert abs(cell["ours"]["rank1"] - clean.rank(1)) < 1e-6
    folder = done / "out" / "attacks" / "B1" / "fgsm-eps5" / "market1501" / "adversarial"
    stored_images = adv.load_dataset("adversarial", folder=str(folder), root=str(done / "data"))
    after = adv.evaluate(model, stored_images, ap_rule="trapezoid").mAP
    (cell,) = [
        c
        for c in cells_of(done, "bai2019.table2")
        if (c["attacked"], c["attack"], c["tested"]) == ("B1", "fgsm", "B4")
    ]
    assert abs(cell["ours"]["mAP"] - after) < 1e-6
    assert abs(cell["ours_clean"]["mAP"] - clean.mAP) < 1e-6
    assert abs(cell["ours"]["map_ratio"] - after / clean.mAP) < 1e-6


def test_figure_3_is_the_ratios_of_the_tables(done):
    table = {
        tuple(c[k] for k in ("attacked", "attack", "tested")): c
        for c in cells_of(done, "bai2019.table2")
    }
    for cell in cells_of(done, "bai2019.fig3"):
        same = table[cell["attacked"], cell["attack"], cell["tested"]]
        if cell["ours"]:
            assert cell["ours"]["map_ratio"] == same["ours"]["map_ratio"]
        clean = paper_table("bai2019.table1").cells
        (first,) = [
            c for c in clean if c["target"] == "market1501" and c["tested"] == cell["tested"]
        ]
        assert abs(cell["paper"]["map_ratio"] - same["paper"]["mAP"] / first["mAP"]) < 6e-4
    assert (done / "out" / "bai2019.fig3_market1501.png").stat().st_size > 10_000


def test_figure_5_crosses_attacked_and_ranking_metrics(done):
    cells = cells_of(done, "bai2019.fig5")
    ours = {
        (c["attack"], c["metric"], c["ranked"], c["eps"]): c["ours"] for c in cells if c["ours"]
    }
    metrics = ("euclidean", "xqda")
    assert set(ours) == {
        (attack, metric, ranked, eps)
        for attack in ("fgsm", "ifgsm")
        for metric in metrics
        for ranked in metrics
        for eps in (0.0, 5.0)
    }
    plain = ours["ifgsm", "euclidean", "euclidean", 0.0]
    assert plain != ours["ifgsm", "euclidean", "xqda", 0.0]
    results = done / "out" / "attacks" / "B1" / "ifgsm-eps5-xqda" / "results.json"
    run = json.loads(results.read_text())["targets"]["market1501"]
    assert run["attack"]["metric"] == "xqda"
    scored = ours["ifgsm", "xqda", "euclidean", 5.0]
    assert abs(run["adversarial"]["mAP"] - scored["mAP"]) < 1e-6
    for attack in ("fgsm", "ifgsm"):
        path = done / "out" / f"bai2019.fig5_market1501_{attack}.png"
        assert path.stat().st_size > 10_000


def test_the_joint_defense_attacks_queries(done):
    cells = {c["attack"]: c for c in cells_of(done, "joint_defense.table1")}
    assert list(cells) == ["", "sma", "lta_minus", "lta"]
    assert cells["lta"]["paper"] == {"rank1": 13.3, "rank5": 22.4, "rank10": 28.1, "mAP": 9.6}
    assert [c["kind"] for c in cells.values()] == [None, "white", "white", "white"]
    for name in ("sma", "lta_minus", "lta"):
        path = done / "out" / "attacks" / "N" / f"{name}-eps5" / "results.json"
        run = json.loads(path.read_text())["targets"]["market1501"]
        attack, distance = run["attack"], run["positive_distance"]
        assert attack | {"side": "query", "steps": 15, "step_size": 1.0, "eps": 5.0} == attack
        assert distance["adversarial"] > distance["clean"]
        assert abs(run["adversarial"]["mAP"] - cells[name]["ours"]["mAP"]) < 1e-6


@pytest.fixture(scope="module")
def trained(place):
    """The tables of trained networks: two of each kind are given."""
    labels = ("B1", "B4", "B4-M", "N", "AT_ifgsm", "AT_lta", "SMA2")
    for number, label in enumerate(labels):
        if label not in LABELS:
            torch.manual_seed(100 + number)
            torch.save({"state_dict": Tiny().state_dict()}, place / f"{label}.pth")
    for name in TRAINED:
        assert reproduce(place, name, labels=labels, out="trained") == 0
    return place


def results_of(place, label, attack, measure="adversarial"):
    path = place / "trained" / "attacks" / label / f"{attack}-eps5" / "results.json"
    return json.loads(path.read_text())["targets"]["market1501"][measure]


def test_metric_preserving_networks_stand_beside_the_normal_ones(trained):
    cells = cells_of(trained, "bai2019.table5", "trained")
    found = {(c["attacked"], c["tested"]): c for c in cells if c["ours"]}
    both = found["B1", "B4"]
    assert set(both["ours"]) == {"mAP", "metric_preserving_mAP", "improvement"}
    own = both["ours"]
    assert own["improvement"] == own["metric_preserving_mAP"] / own["mAP"] - 1
    printed = {"mAP": 24.11, "metric_preserving_mAP": 53.58, "improvement": 122.0}
    assert both["paper"] == printed
    assert set(found["B4", "B1"]["ours"]) == {"mAP"}
    assert found["B4", "B4"]["kinds"] == {"mAP": "white", "metric_preserving_mAP": "black"}
    itself = found["itself", "B4"]
    assert set(itself["kinds"].values()) == {"white"}
    assert itself["paper"] is None
    for label, measure in (("B4", "mAP"), ("B4-M", "metric_preserving_mAP")):
        mean = results_of(trained, label, "ifgsm")["mAP"]
        assert itself["ours"][measure] == pytest.approx(mean, abs=1e-6)
    assert found["", "B1"]["paper"]["mAP"] == 77.52
    assert {tested for _, tested in found} == {"B1", "B4"}
    assert "B4-M" not in {attacked for attacked, _ in found}


GIVEN = ("", "ifgsm", "lta")


def test_networks_trained_against_an_attack_are_under_it_and_re_ranked(trained):
    cells = cells_of(trained, "joint_defense.table7", "trained")
    found = {(c["tested"], c["attack"]): c["ours"] for c in cells if c["ours"]}
    rows = {"N": ("", "ifgsm", "sma", "lta")} | dict.fromkeys(("AT", "AT_CS", "RRP"), GIVEN)
    assert set(found) == {(row, attack) for row, attacks in rows.items() for attack in attacks}
    run = results_of(trained, "AT_lta", "lta")["rerank"]
    assert found["AT", "lta"]["mAP"] == pytest.approx(run["mAP"], abs=1e-6)
    clean = [results_of(trained, f"AT_{a}", a, "clean")["rerank"]["mAP"] for a in ("ifgsm", "lta")]
    assert found["AT", ""]["mAP"] == pytest.approx(sum(clean) / 2, abs=1e-6)
    kinds = {(c["tested"], c["attack"]): c["kind"] for c in cells if c["ours"]}
    assert kinds["AT", "lta"] == kinds["N", "lta"] == "white"
    assert kinds["AT_CS", "lta"] == kinds["RRP", "lta"] == "oblivious"
    columns = {row: [found[row, attack] for attack in GIVEN] for row in ("AT", "AT_CS", "RRP")}
    assert columns["AT"] not in (columns["AT_CS"], columns["RRP"])
    assert not (trained / "trained" / "attacks" / "AT_lta" / "sma-eps5").exists()


def test_the_bars_are_of_the_models_that_are_given(trained):
    cells = cells_of(trained, "joint_defense.fig6", "trained")
    assert [c["tested"] for c in cells if c["ours"]] == ["N", "AT_ifgsm", "AT_lta", "SMA2"]
    assert not any(c["paper"] for c in cells)
    path = trained / "trained" / "joint_defense.fig6_market1501.png"
    assert path.stat().st_size > 10_000


def test_what_is_printed_holds_both(done, capsys):
    assert make(done, "bai2019.table2") == 0
    printed = capsys.readouterr().out
    assert (done / "out" / "bai2019.table2.md").read_text().strip() in printed
    assert "| market1501: attacked, attack | B1 | B2 | B3 | B4 | HA | MC |" in printed
    assert "** w [0.367]" in printed
    assert "because torchreid has no such network: MC (Mancs)" in printed
    assert "the table has no such model: N." in printed
    assert "trapezoid, as in the paper" in printed


def test_nothing_is_attacked_or_tested_twice(done, nothing_is_computed):
    before = {name: cells_of(done, f"bai2019.{name}") for name in ("table1", "table4", "fig5")}

    for name, cells in before.items():
        assert make(done, f"bai2019.{name}") == 0
        assert cells_of(done, f"bai2019.{name}") == cells


def test_missing_models_leave_the_paper_alone_and_are_named(place, capsys):
    """On a data set that the paper does not have."""
    pairs = ["adv.virtual.train_identities", "2", "adv.virtual.test_identities", "2"]
    pairs += ["adv.virtual.distractors", "1", "adv.virtual.images_per_camera", "2"]
    pairs += ["adv.virtual.cameras_per_identity", "2", "adv.virtual.height", "64"]
    pairs += ["adv.virtual.width", "32"]
    one = {"labels": ("B4",), "out": "one", "target": "virtual_a"}
    assert reproduce(place, "bai2019.table3", *pairs, **one) == 0
    printed = capsys.readouterr().out
    assert "only in the paper: B1 (ResNet-50, cross-entropy), B2" in printed
    assert "The paper's numbers are for dukemtmcreid, ours for virtual_a" in printed
    cells = cells_of(place, "bai2019.table3", "one")
    filled = {(c["attacked"], c["tested"]) for c in cells if c["ours"]}
    assert filled == {("B4", "B4")}
    assert len(cells) == 72
    assert {c["paper_target"] for c in cells} == {"dukemtmcreid"}
    assert {c["target"] for c in cells} == {"virtual_a"}


@pytest.mark.parametrize(
    ("name", "labels", "pairs", "sentence"),
    [
        ("bai2019.tabel2", ("B1",), (), "did you mean 'bai2019.table2'"),
        ("bai2019.table2", (), (), "'HA=hacnn@160x64:WEIGHTS'"),
        ("bai2019.table2", ("N",), (), "under the paper's labels"),
        ("bai2019.table2", ("HA",), (), "one of B1, B2, B3, B4 at least"),
        ("bai2019.table4", ("B1", "B2", "HA"), (), "at least three of B1, B2, B3, B4"),
        ("bai2019.table2", ("B1",), ("adv.attack.eps", "8"), "made with adv.attack.eps 5.0"),
        ("bai2019.table2", ("B1",), ("adv.attack.side", "query"), "adv.attack.side 'gallery'"),
        ("bai2019.table1", ("B1",), ("test.dist_metric", "cosine"), "made with test.dist_metric"),
        ("--config-file", ("B1",), (), "the name of a table comes first"),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, name, labels, pairs, sentence):
    assert reproduce(place, name, *pairs, labels=labels, out="none") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (place / "none").exists()


def test_the_list_has_a_line_for_each(capsys):
    for arguments in (["reproduce"], ["reproduce", "--list"]):
        assert cli.main(arguments) == 0
        printed = capsys.readouterr().out
        for name in REPRODUCTIONS:
            assert f"  {name} " in printed


def test_the_page_names_every_table():
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in REPRODUCTIONS)
