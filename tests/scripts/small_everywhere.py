"""A plugin: every network is a small one, in processes that a test starts."""

import pytest
from small_networks import swap

swap(pytest.MonkeyPatch(), victims=False)  # ours are in torchreid's table by now
