"""The notebook of first steps runs in a short form, and is kept without outputs."""

import json
import sys

import pytest
from pages import ROOT

from torchreid_adv import config
from torchreid_adv.core.tabular import Tabular

PATH = ROOT / "docs" / "notebooks" / "first_steps.ipynb"
CELLS = json.loads(PATH.read_text())["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


@pytest.fixture
def short(tmp_path, monkeypatch):
    """A folder for the run, and its toy form."""
    monkeypatch.setenv("NOTEBOOK_SHORT", "1")
    monkeypatch.setenv("NOTEBOOK_FOLDER", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    config.forget()
    yield tmp_path / "work"
    config.forget()


def last_value(source, scope):
    """Run a cell; return what a notebook shows of it, the value of an expression at its end."""
    body, _, last = source.rstrip().rpartition("\n")
    while True:
        try:
            end = compile(last, "cell", "eval")
            break
        except SyntaxError:
            body, newline, line = body.rpartition("\n")
            if not newline:
                exec(compile(source, "cell", "exec"), scope)
                return None
            last = f"{line}\n{last}"
    exec(compile(body, "cell", "exec"), scope)
    return eval(end, scope)


def test_the_notebook_runs(short, capsys, monkeypatch):
    installs = []
    monkeypatch.setattr("subprocess.check_call", lambda command: installs.append(command))
    scope = {"__name__": "__main__"}
    values = [last_value(source, scope) for source in CODE]
    assert not installs  # the package is there
    shown = [value for value in values if value is not None]
    assert [type(value).__name__ for value in shown] == [
        "PixelModel", "ReIDData", "RetrievalResult", "Rows", "AttackResult", "Comparison",
    ]  # fmt: skip
    for value in shown:
        assert "\n" not in repr(value)
        if isinstance(value, Tabular):
            assert value._repr_html_().startswith("<div>")
    assert "figure" in scope["attacked"].result._repr_html_()
    said = capsys.readouterr().out
    assert "largest change: 8 gray levels" in said
    assert "\\toprule" in said
    for run in ("ifgsm", "sma"):
        assert (short / run / "report.html").is_file()
    assert (short / "ifgsm.csv").read_text().startswith("data,attack,eps,condition,mAP")


def test_the_package_is_installed_where_it_is_missing(monkeypatch):
    commands = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("subprocess.check_call", lambda command: commands.append(command))
    exec(compile(CODE[0], "cell", "exec"), {"__name__": "__main__"})
    assert commands == [[sys.executable, "-m", "pip", "install", "-q", "torchreid_adv"]]


def test_no_outputs_are_kept():
    cells = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
