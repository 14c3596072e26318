import pytest
from stories import pages_of, tell


@pytest.mark.parametrize("page", pages_of("training"))
def test_every_command_of_a_page_runs(page, place, capsys):
    tell(page, capsys)
