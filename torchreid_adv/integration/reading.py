"""Hook: image files are read by the registered reader, in worker processes, too."""

from __future__ import annotations

import multiprocessing
from typing import Any

from torchreid_adv import config
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.patching import Replace
from torchreid_adv.registry import READERS

MODULES = ("utils.tools", "utils", "data.datasets.dataset")

# torchreid's own reader tries a corrupt file again for ever
REPLACES = (Replace(MODULES, "read_image", lambda stock: READERS.get("image"), prepare=False),)


class Passenger:
    """Travels with a pickled transform and sets a worker process up as its parent is.

    A worker that is spawned, not forked, starts without hooks and without the config. Every data
    set carries its transform there, which carries this.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (config.current(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Passenger:
        return self


def _arrive(cfg: config.AdvConfig) -> Passenger:
    # a worker has its name while what it works on is unpickled; parent_process() is set later
    if multiprocessing.current_process().name != "MainProcess":
        config.add_adv_config(cfg)
        for module in MODULES:
            vars(torchreid_module(module))["read_image"] = READERS.get("image")
    return Passenger()
