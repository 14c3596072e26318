"""The notebook runs from top to bottom in a short form, and what it shows is a whole run's."""

import base64
import io
import json

import matplotlib
import pytest
from pages import ROOT
from PIL import Image

from torchreid_adv import config

PATH = ROOT / "docs" / "tour.ipynb"
CELLS = json.loads(PATH.read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


@pytest.fixture
def short(tmp_path, monkeypatch):
    """A folder for the run, its toy form, and figures that nobody sees."""
    monkeypatch.setenv("TOUR_SHORT", "1")
    monkeypatch.setenv("TOUR_FOLDER", str(tmp_path / "tour"))
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    config.forget()
    yield tmp_path / "tour"
    matplotlib.pyplot.close("all")
    config.forget()


@pytest.mark.filterwarnings("ignore:.*non-interactive")
def test_the_notebook_runs(short, capsys):
    scope = {"__name__": "tour"}
    for number, cell in enumerate(CODE):
        exec(compile("".join(cell["source"]), f"tour.ipynb, cell {number}", "exec"), scope)
    printed = capsys.readouterr().out
    assert "match the manifest" in printed
    for run in ("attacked", "adaptive"):
        assert (short / run / "report.html").is_file()
        assert (short / run / "virtual_a" / "adversarial" / "manifest.jsonl").is_file()
    assert len(scope["scores"]) == 5
    assert all(0 <= score.mAP <= 1 for score in scope["scores"].values())
    assert len(matplotlib.pyplot.get_fignums()) == 3


def test_the_notebook_comes_with_the_outputs_of_one_run():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}
    assert all(output.get("name", "stdout") == "stdout" for output in outputs)
    assert PATH.stat().st_size < 400_000
    pictures = [content for o in outputs for content in o.get("data", {}).values()]
    assert len(pictures) == 3
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()
