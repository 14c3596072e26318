import sys

import pytest

from torchreid_adv.integration.console import kept_console
from torchreid_adv.integration.layout import torchreid_module


def test_console_survives_torchreids_logger(tmp_path, capsys):
    logger = torchreid_module("utils").Logger
    before = sys.stdout
    for run in range(2):
        with kept_console():
            sys.stdout = logger(str(tmp_path / f"{run}.log"))
            print(f"run {run}")
            sys.stdout = logger(str(tmp_path / f"{run}-nested.log"))
            print("nested")
            left = sys.stdout
        assert sys.stdout is before
        assert left.file.closed
        del left
        print("still open")
    assert capsys.readouterr().out == "run 0\nnested\nstill open\nrun 1\nnested\nstill open\n"
    assert (tmp_path / "1.log").read_text() == "run 1\nnested\n"
    assert (tmp_path / "1-nested.log").read_text() == "nested\n"


def test_console_survives_a_logger_that_the_script_drops(tmp_path, capsys):
    with kept_console():
        console = sys.stdout
        sys.stdout = torchreid_module("utils").Logger(str(tmp_path / "a.log"))
        sys.stdout = console
        print("on")
        assert not sys.stdout.isatty()
    print("and on")
    assert capsys.readouterr().out == "on\nand on\n"


def test_console_is_back_after_an_error(tmp_path):
    streams = sys.stdout, sys.stderr

    def script():
        sys.stdout = sys.stderr = torchreid_module("utils").Logger(str(tmp_path / "a.log"))
        raise RuntimeError

    with pytest.raises(RuntimeError), kept_console():
        script()
    assert (sys.stdout, sys.stderr) == streams
