import os

import pytest
from markets import write_market

from torchreid_adv import config


def pytest_configure(config):
    """Tests compare with what a CPU computes, but those marked gpu, run by ``-m gpu``."""
    chosen = config.getoption("markexpr", "")
    if "gpu" not in chosen or "not gpu" in chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


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
