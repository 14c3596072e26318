import pytest
import written
from stories import pages_of, tell


@pytest.mark.parametrize("page", pages_of("reproduction"))
def test_every_command_of_a_page_runs(page, place, capsys):
    tell(page, capsys)
    cells = written.content(place / "log/reproduce/bai2019.table5.json")["cells"]
    (trained,) = [c["ours"] for c in cells if (c["attacked"], c["tested"]) == ("B1", "B1")]
    assert set(trained) == {"mAP", "metric_preserving_mAP", "improvement"}  # both were trained
    cells = written.content(place / "log/reproduce/joint_defense.fig6.json")["cells"]
    ours = {cell["tested"] for cell in cells if cell["ours"]}
    assert ours == {"N", "CF", "DL-star", "DL", "AT_ifgsm", "AT_sma", "AT_lta", "SMA2"}
    cells = written.content(place / "log/reproduce_dmr/joint_defense.table8.json")["cells"]
    assert all(cell["ours"] and cell["paper"] for cell in cells)
