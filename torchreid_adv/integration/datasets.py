"""Hook: our names in ``data.sources`` and ``data.targets``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.names import unknown
from torchreid_adv.integration.patching import Mirror, Replace
from torchreid_adv.registry import DATASETS, same_name

TABLES = {"image": "__image_datasets", "video": "__video_datasets"}


@contextlib.contextmanager
def no_download() -> Iterator[None]:
    """Keep torchreid from fetching a data set that is not there over the network.

    Raises:
        DataError: when the folder of a data set is missing.
    """

    def refuse(self: Any, dataset_dir: str, dataset_url: str) -> None:
        if not os.path.exists(dataset_dir):
            raise DataError(
                f"the data set {type(self).__name__} is not there: folder '{dataset_dir}' is "
                "missing; put it there or give another --root"
            )

    base: Any = torchreid_module("data.datasets.dataset").Dataset
    stock = base.download_dataset
    base.download_dataset = refuse
    try:
        yield
    finally:
        base.download_dataset = stock


def _is_video(name: str) -> bool:
    return bool(DATASETS.facts(name).get("video", False))


def _make(kind: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(stock: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(stock)
        def init_dataset(name: str, **kwargs: Any) -> Any:
            return stock(_checked(name, kind), **kwargs)

        return init_dataset

    return make


def _checked(name: str, kind: str) -> str:
    """Return a data set's name as it is registered."""
    module = vars(torchreid_module("data.datasets"))
    registered = same_name(name, module[TABLES[kind]])
    if registered is not None:
        return registered
    other = "image" if kind == "video" else "video"
    if same_name(name, module[TABLES[other]]) is not None:
        raise ConfigError(f"'{name}' is a data set of type {other}; set data.type to '{other}'")
    raise unknown(f"{kind} data set", name, module[TABLES[kind]])


REPLACES = tuple(
    Replace(("data.datamanager",), f"init_{kind}_dataset", _make(kind)) for kind in TABLES
)
MIRRORS = (
    Mirror("data.datasets", TABLES["image"], DATASETS, lambda name: not _is_video(name)),
    Mirror("data.datasets", TABLES["video"], DATASETS, _is_video),
)
