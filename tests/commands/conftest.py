import pytest
import standins


@pytest.fixture(scope="session")
def github(tmp_path_factory):
    """A folder in which torchreid lies as in its GitHub repository."""
    return standins.write_github_layout(tmp_path_factory.mktemp("github"))
