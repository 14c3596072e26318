"""The page of a paper's table: our numbers, the paper's below them, and how they are read."""

import re

import pytest

from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments import reproduce as module
from torchreid_adv.experiments.comparison import OurCell, compare, markdown
from torchreid_adv.experiments.reproduction_page import result_tables
from torchreid_adv.report.paper_table import paper_table

NAME = "bai2019.table2"


@pytest.fixture
def comparison():
    """Market-1501 with our number in the first cell."""
    table = paper_table(NAME)
    cell = {**table.cells[0], "target": "market1501"}
    return compare(table, [OurCell(cell, dict.fromkeys(table.measures, 0.1234), "white")])


def test_a_cell_shows_both_numbers_as_markdown_does(comparison):
    (table,) = result_tables(comparison)
    cell = table.cells(table.rows[0])[0]
    assert (cell.text, cell.strong) == ("12.34 w", True)
    assert cell.value == pytest.approx(0.1234)
    printed = cell.note.removeprefix("paper ")
    assert f"| **12.34** w [{printed}] |" in markdown(comparison)
    other = table.cells(table.rows[0])[1]
    assert other.value == ""
    assert other.note.startswith("paper ")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_page_is_written_where_one_is_wanted(wanted, comparison, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "reproduce", lambda cfg, name: module.Reproduction(comparison))
    cfg = default_config()
    cfg.data.save_dir, cfg.adv.report.page = str(tmp_path), wanted
    said = module.write_reproduction(cfg, NAME)
    path = tmp_path / f"{NAME}.html"
    assert path.exists() is wanted
    assert (f"Report: {path}" in said) is wanted
    if wanted:
        text = " ".join(re.sub("<[^>]*>", " ", path.read_text(encoding="utf-8")).split())
        assert "1 cells are ours" not in text
        assert "1 cell is ours, the paper prints 72, and 1 is in both" in text
        assert "Ours, below it the paper" in text
