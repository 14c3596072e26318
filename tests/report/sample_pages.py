"""One page of each kind, from results made by hand."""

import dataclasses

from matplotlib.figure import Figure
from report.standard_results import standard_report
from standard.results import flag, result

from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments.calibrated import Answered, Calibrated
from torchreid_adv.experiments.claims import Case, Claim, Printed, Reading
from torchreid_adv.experiments.comparison import OurCell, compare
from torchreid_adv.experiments.pictures import gallery_page
from torchreid_adv.experiments.reproduction_page import reproduction_page
from torchreid_adv.experiments.scenario_tables import ScenarioCell, scenarios_page, tables
from torchreid_adv.experiments.study_file import StudyFile
from torchreid_adv.experiments.study_page import study_page
from torchreid_adv.experiments.verdicts import verdicts
from torchreid_adv.experiments.zoo_table import Described, Row, zoo_page
from torchreid_adv.report.curves import sweep_figures
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.page import PageFigure, write_page
from torchreid_adv.report.paper_table import paper_table
from torchreid_adv.runs.grid_page import sweep_page, transfer_page
from torchreid_adv.runs.page import write_report
from torchreid_adv.standard.board_columns import CardMeasure
from torchreid_adv.standard.board_lines import Result
from torchreid_adv.standard.leaderboard import write_leaderboard


def rates(value):
    return {"mAP": value, "cmc": {"1": value, "5": value, "10": value, "20": 1.0}}


def cells(bounds=(8.0,)):
    labels = ("osnet_x1_0", "resnet50_market", "shufflenet")
    return [
        Cell(
            "market1501", made, "ifgsm", eps, "", tested,
            "white" if made == tested else "black",
            rates(0.8), rates(0.1 / eps if made == tested else 0.1 + 0.25 * labels.index(tested)),
        )
        for made in labels for eps in bounds for tested in labels
    ]  # fmt: skip


def zoo_rows():
    model = Described("normal", "osnet_x1_0", 2_200_000, 979_000_000, "softmax", (256, 128),
                      ("random_flip",), "", "")  # fmt: skip
    jpeg = dataclasses.replace(model, label="jpeg", defense="jpeg")
    return [
        Row(model, "market1501", "ifgsm", 8.0, rates(0.8), None, rates(0.05)),
        Row(jpeg, "market1501", "ifgsm", 8.0, rates(0.75), rates(0.5), None, "no gradient"),
    ]


def boards():
    red = {"flags": [flag()], "standard__called_standard": False}
    columns = ("corrupted", "worst kind", "occluded")
    card = {name: CardMeasure(0.456, (0.412, 0.501)) for name in columns}
    return [
        Result(result("osnet_x1_0", robust=0.1), "runs/osnet", card=card),
        Result(result("a_network_with_a_long_name_of_its_own", defended=True), "runs/long"),
        Result(result("resnet50", robust=0.7, **red), "runs/resnet"),
    ]


def scenario_cells():
    pairs = [(("a", "x"), ("a", "x")), (("a", "x"), ("b", "x")), (("a", "x"), ("a", "y"))]
    names = ("source", "cross-model", "cross-dataset")
    return [
        ScenarioCell(name, way, 8.0, *pair, rates(0.8), rates(0.3))
        for name, pair in zip(names, pairs, strict=True)
        for way in ("color", "delta", "both")
    ]


def study():
    """Return the page of a study with all four verdicts, readings, figures and a calibration."""
    claims = [
        Claim("An attack on the whole ensemble leaves less mAP of a further network", ("clean",)),
        Claim("White-box I-FGSM leaves less mAP than FGSM", (), Printed((), lambda: 0.07)),
        Claim("Momentum changes nothing", ()),
        Claim("Not decided", ("black-box",)),
    ]
    cases = [
        Case(claim, "a", seed, 0.2, 0.2 + effect + 0.001 * seed)
        for claim, effect in zip(claims, (0.1, -0.1, 0.0, 0.2), strict=True)
        for seed in range(5)
    ]
    readings = [
        Reading("mAP kept", row, column, seed, 0.1 * seed)
        for row in ("osnet_x1_0", "resnet50_with_a_long_name")
        for column in ("clean", "ifgsm", "mifgsm", "an_attack_with_a_long_name")
        for seed in range(5)
    ]
    outside = Answered("black-box I-FGSM: mAP kept", 0.4, 0.83, 0.99, False)
    known = Calibrated((Answered("clean mAP", 0.9, 0.85, 1.0, True), outside))
    config = {"data": {"targets": ["virtual_a"]}}
    result = StudyFile("attacks", config, readings, cases, known.to_dict(), 5, 5)
    return study_page(
        result,
        decided=verdicts(claims, cases, known),
        known=known,
        setting="virtual_a; five seeds.",
        figures=drawn(["frontier"]),
    )


def reproduction():
    """Return the page of a paper's table of which we have some cells."""
    table = paper_table("bai2019.table2")
    ours = [
        OurCell({**cell, "target": "market1501"}, dict.fromkeys(table.measures, 0.12), "white")
        for cell in table.cells[:5]
    ]
    return reproduction_page(compare(table, ours), {"ratio": Figure((2, 2))}, {})


def drawn(names):
    return {name: PageFigure(Figure((2, 2)), name) for name in names}


def write_pages(folder, make_target, make_results):
    """Write all kinds of pages and return their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg, target = default_config(use_gpu=False), make_target()
    curve = {"queries": [1, 10, 90], "mAP": [0.8, 0.35, 0.003], "objective": [0.1, 0.5, 0.9]}
    target.results["query_curve"] = curve
    defended = make_target(name="duke", side="query")
    defended.results["defense"] = {
        "name": "jpeg", **dict.fromkeys(("clean", "oblivious", "adaptive"), rates(0.5)),
    }  # fmt: skip
    results = make_results(target, defended)
    swept = cells((1.0, 4.0, 8.0))
    facts = {"version": "1", "schema": 1, "models": ["a", "b"], "eps": 8.0}
    one = {"clean_mAP": 0.8, "adversarial_mAP": 0.1, "attention_agreement": 0.5,
           "cosine_distance": {"adversarial": 0.7, "variants": 0.2},
           "noise": {"sparsity": 0.1}}  # fmt: skip
    shown = {"version": "1", "schema": 1, "data": "duke", "images": 24, "attack": {"name": "sma"},
             "models": {"N": one, "DL": one}}  # fmt: skip
    pages = {
        "transfer": transfer_page(cfg, cells()),
        "sweep": sweep_page(cfg, swept, sweep_figures(swept)),
        "zoo": zoo_page(cfg, zoo_rows()),
        "scenarios": scenarios_page(facts, tables(scenario_cells(), 8.0), [], {}),
        "study": study(),
        "reproduction": reproduction(),
        "pictures": gallery_page(shown, drawn(("attention", "features", "noise")), {}),
    }
    return {
        "report": write_report(folder / "run", results, [target, defended]),
        "standard": standard_report(folder / "standard" / "report.html", make_target),
        "leaderboard": write_leaderboard(folder, boards(), ["a file is no result"]),
        **{name: write_page(folder / f"{name}.html", page) for name, page in pages.items()},
    }
