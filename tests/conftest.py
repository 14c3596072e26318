import pytest
from markets import write_market

from torchreid_adv import config


@pytest.fixture(autouse=True)
def fresh_config():
    """No test sees another one's config."""
    config.forget()
    yield
    config.forget()


@pytest.fixture
def market(tmp_path):
    """A small data set in Market-1501's layout, images of three sizes."""
    return write_market(tmp_path / "data", sizes=((64, 32), (70, 29), (50, 40)))
