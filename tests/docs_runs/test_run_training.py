import pytest
from stories import GROUPS, tell


@pytest.mark.parametrize("page", GROUPS["training"])
def test_every_command_of_a_page_runs(page, place, capsys):
    tell(page, capsys)
