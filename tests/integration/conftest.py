import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import standins

from torchreid_adv import config
from torchreid_adv.integration import hooks

sys.path.insert(0, str(standins.SCRIPTS))
import tiny_plugin  # noqa: F401 (registers entries)


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    return standins.write_market(tmp_path_factory.mktemp("data"))


@pytest.fixture
def hooked():
    """The hooks for one test, with a config of its own."""
    config.forget()
    with hooks.installed():
        yield
    config.forget()
