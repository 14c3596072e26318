"""Ours beside the paper's, for every table there is."""

import pytest

from torchreid_adv.experiments.comparison import OurCell, compare, markdown, measured, to_json
from torchreid_adv.report.paper_table import names, paper_table
from torchreid_adv.report.units import DASH

MEASURES = {"mAP": 0.25, "cmc": {"1": 0.3, "5": 0.4, "10": 0.5, "20": 0.6}}


def found(table, target, place=0, **changes):
    """A finding at the place of one of the table's cells."""
    cell = [c for c in table.cells if c["target"] == table.target_for(target)][place]
    where = {key: value for key, value in cell.items() if key not in table.measures}
    return OurCell({**where, "target": target, **changes}, measured(MEASURES), "black")


def body(text):
    """The rows of all tables below their heads: row name -> cells."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.replace(DASH, "-") for cell in line] for line in lines]


@pytest.mark.parametrize("name", names())
def test_every_printed_number_is_shown_once(name):
    table = paper_table(name)
    comparison = compare(table, [found(table, target) for target in table.targets])
    text = markdown(comparison)
    numbers = [value for cell in table.cells for value in table.printed(cell).values()]
    assert text.count(" [") - text.count("Ours [") == len(numbers)
    for value in numbers:
        assert f" [{value:g}]" in text
    cells = to_json(comparison)["cells"]
    assert [c["paper"] for c in cells] == [
        table.printed(c) for target in table.targets for c in table.cells if c["target"] == target
    ]
    assert sum(c["ours"] is not None for c in cells) == len(table.targets)


def test_a_layout_by_hand():
    table = paper_table("joint_defense.table4")
    text = markdown(compare(table, [found(table, "dukemtmcreid", 4)]))
    rows = body(text)
    assert rows[0] == [
        "dukemtmcreid: tested, rerank",
        *(f"{a} {m}" for a in ("ifgsm", "sma", "lta") for m in ("Rank-1", "mAP")),
    ]
    assert rows[1][0] == "N, plain"
    assert rows[2] == [
        "N, re-ranked",
        *("- [16.8]", "- [16.3]", "30.00 b [18.8]", "25.00 b [19.8]", "- [15.2]", "- [16.3]"),
    ]
    assert "The table has market1501, too, which data.targets does not name." in text


def test_numbers_stand_in_order_and_ours_alone_is_shown():
    table = paper_table("bai2019.fig5")
    text = markdown(
        compare(table, [found(table, "market1501", eps=16.0), found(table, "market1501", eps=2.0)])
    )
    rows = body(text)
    assert rows[0][1:] == ["eps 0", "eps 2", "eps 5", "eps 16"]
    assert rows[1][1:] == ["- [77.52]", "25.00 b", "- [7.054]", "25.00 b"]


def test_a_data_set_of_ours_stands_beside_the_first_of_the_paper():
    table = paper_table("bai2019.table1")
    comparison = compare(table, [found(table, "virtual_a"), found(table, "dukemtmcreid")])
    assert comparison.targets == ["virtual_a", "dukemtmcreid"]
    assert [e.paper["mAP"] for e in comparison.of("virtual_a")][:2] == [77.52, 78.21]
    assert [e.paper["mAP"] for e in comparison.of("dukemtmcreid")][:2] == [67.72, 67.85]
    (first, *_) = comparison.notes
    assert first.startswith("The paper's numbers are for market1501, ours for virtual_a:")
