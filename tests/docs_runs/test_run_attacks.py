import pytest
from pages import ROOT, blocks
from stories import pages_of, tell


@pytest.mark.parametrize("page", pages_of("attacks"))
def test_every_command_of_a_page_runs(page, place, capsys):
    tell(page, capsys)
    if page == "ranking_robustness":  # whose code reads what the commands wrote
        (code,) = blocks(ROOT / "docs" / f"{page}.md", "python")
        exec(compile(code, page, "exec"), {})
        name, score = capsys.readouterr().out.removeprefix("ERS of ").split(": ")
        assert name == "market1501"
        assert 0 <= float(score) <= 100
