"""Hook: image files are read by the registered reader, also in worker processes."""

from __future__ import annotations

import multiprocessing
from typing import Any

from torchreid_adv import config
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.patching import Replace
from torchreid_adv.registry import READERS

MODULES = ("utils.tools", "utils", "data.datasets.dataset")

# torchreid's own reader retries a corrupt file forever
REPLACES = (Replace(MODULES, "read_image", lambda stock: READERS.get("image"), prepare=False),)


class Passenger:
    """Travels with a pickled transform and gives a worker process the setup of its parent.

    A spawned (not forked) worker starts without hooks and config. Every data set takes its
    transform there, and the transform takes this object.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (config.current(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Passenger:
        return self


def _arrive(cfg: config.AdvConfig) -> Passenger:
    # a worker has its name already during unpickling; parent_process() is set later
    if multiprocessing.current_process().name != "MainProcess":
        config.add_adv_config(cfg)
        for module in MODULES:
            vars(torchreid_module(module))["read_image"] = READERS.get("image")
    return Passenger()
