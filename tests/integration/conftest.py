import sys

import pytest
import standins

from torchreid_adv.integration import hooks

sys.path.insert(0, str(standins.SCRIPTS))
import tiny_plugin  # noqa: F401 (registers entries)


@pytest.fixture
def hooked():
    """The hooks, for one test."""
    with hooks.installed():
        yield
