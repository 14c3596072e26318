import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import standins

from torchreid_adv.integration import hooks

sys.path.insert(0, str(standins.SCRIPTS))
import tiny_plugin  # noqa: F401 (registers entries)


@pytest.fixture
def hooked():
    """The hooks, for one test."""
    with hooks.installed():
        yield
