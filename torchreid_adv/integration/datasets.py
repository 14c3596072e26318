"""Hook: our data sets by name; all sets checked: labels, sides, files, no downloads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from torchreid_adv import config
from torchreid_adv.core.files import near_path
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.patching import Bridge, Mirror, Replace, unknown
from torchreid_adv.integration.rows import check_rows, one_identity
from torchreid_adv.registry import DATASETS, LAYOUTS, same_name

TABLES = {"image": "__image_datasets", "video": "__video_datasets"}
# name as written -> registered name; code that reads another kind of name adds a function here
RESOLVERS: list[Callable[[str], str]] = []
# the same for all names of a config, in place
CONFIG_RESOLVERS: list[Callable[[config.AdvConfig], None]] = []
TEST_ONLY = ("sensereid",)  # such a set trains with its test images
# torchreid's classes; their records are read by the layouts of these names
CLASSES = {
    "cuhk01": "CUHK01",
    "cuhk02": "CUHK02",
    "cuhk03": "CUHK03",
    "cuhksysu": "CUHKSYSU",
    "dukemtmcreid": "DukeMTMCreID",
    "dukemtmcvidreid": "DukeMTMCVidReID",
    "grid": "GRID",
    "ilids": "iLIDS",
    "ilidsvid": "iLIDSVID",
    "market1501": "Market1501",
    "mars": "Mars",
    "msmt17": "MSMT17",
    "prid": "PRID",
    "prid2011": "PRID2011",
    "sensereid": "SenseReID",
    "university1652": "University1652",
    "viper": "VIPeR",
}


@contextlib.contextmanager
def checked_sets() -> Iterator[None]:
    """Apply the hooks of data set classes in a block without :func:`hooks.install`.

    Torchreid's classes then return records that are checked against the files, and download
    nothing.
    """
    with _lock:
        if not _depth:
            _bridge.apply()
        _depth.append(None)
    try:
        yield
    finally:
        with _lock:
            _depth.pop()
            if not _depth:
                _bridge.revert()


def _reads(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a torchreid class read its records by a named layout."""

    def make(stock: Callable[..., None]) -> Callable[..., None]:
        @wraps(stock)
        def init(self: Any, root: str = "", *args: Any, **kwargs: Any) -> None:
            kind = getattr(torchreid_module("data.datasets"), CLASSES[name])
            if args or not _reads_alike(type(self), kind):  # a class that overrides reading
                stock(self, root, *args, **kwargs)
                return
            sides = LAYOUTS.get(name)(root, **kwargs)
            check_rows(name, *sides, shared=kind._train_only or name in TEST_ONLY)
            self.root = os.path.abspath(os.path.expanduser(root))
            self.dataset_dir = os.path.join(self.root, kind.dataset_dir)
            super(kind, self).__init__(*sides, **kwargs)

        return init

    return make


def _reads_alike(kind: type, stock: type) -> bool:
    """Tell whether a class reads like one of torchreid's: it is that class or inherits it all."""
    names = [name for name in vars(stock) if not name.startswith("__")]
    return all(getattr(kind, name, None) is vars(stock)[name] for name in names)


def _checks(stock: Callable[..., None]) -> Callable[..., None]:
    """Make ``Dataset.__init__`` refuse data that cannot be trained or tested on."""

    @wraps(stock)
    def init(self: Any, train: Any, query: Any, gallery: Any, *args: Any, **kwargs: Any) -> None:
        for side, rows in (("train", train), ("query", query), ("gallery", gallery)):
            if not rows:
                raise DataError(
                    f"the data set {type(self).__name__} has an empty split: no {side} images; its "
                    f"folder is '{getattr(self, 'dataset_dir', '')}'"
                )
        one_identity(train)
        stock(self, _labels_from_0(train), query, gallery, *args, **kwargs)

    return init


def _labels_from_0(rows: Any) -> Any:
    """Return training rows whose identities are numbered from 0, in the order of their pids."""
    pids = sorted({row[1] for row in rows})
    if pids == list(range(len(pids))):
        return rows
    labels = {pid: label for label, pid in enumerate(pids)}
    return [(row[0], labels[row[1]], *row[2:]) for row in rows]


def _combine_all(self: Any) -> None:
    """Replace torchreid's method, which needs each query's identity in the gallery.

    Identities of the gallery become training identities, numbered in torchreid's order, followed by
    those that only queries have; junk is left out.
    """
    if self._train_only:
        return
    query, gallery = (
        [row for row in side if row[1] not in self._junk_pids]
        for side in (self.query, self.gallery)
    )
    people = set()
    for row in gallery:
        people.add(row[1])
    alone = sorted({row[1] for row in query} - people)
    labels = {pid: self.num_train_pids + n for n, pid in enumerate([*people, *alone])}
    self.train = list(self.train)
    places = {row[0] for row in self.train}  # for a test-only set: its test images
    for row in (*query, *gallery):
        if row[0] not in places:
            places.add(row[0])
            self.train.append((row[0], labels[row[1]], *row[2:]))
    self.num_train_pids = self.get_num_pids(self.train)


def _refuse_download(self: Any, dataset_dir: str, dataset_url: str | None) -> None:
    """Replace torchreid's download by an error that names the missing folder."""
    if not os.path.exists(dataset_dir):
        raise DataError(
            f"the data set {type(self).__name__} was not found: folder '{dataset_dir}' is "
            f"missing; put it there or give another --root{near_path(dataset_dir)}"
        )


def _refuse_url(url: str, dst: str) -> None:
    """Replace torchreid's function that downloads a file."""
    raise DataError(f"'{dst}' is missing, and nothing is fetched; get {url} and put it there")


def check_files(dataset: Any) -> None:
    """Refuse a user's data set class with missing files.

    With ``adv.job.quarantine`` missing files are left to the check of all images.

    Raises:
        DataError: a file is missing.
    """
    if config.current().adv.job.quarantine:
        return
    for side in ("train", "query", "gallery"):
        for row in getattr(dataset, side):
            for path in (row[0],) if isinstance(row[0], str) else row[0]:
                if not os.path.isfile(path):
                    raise DataError(
                        f"the {side} images of the data set {type(dataset).__name__} name "
                        f"'{path}', and there is no such file"
                    )


def check_own(name: str, dataset: Any) -> None:
    """Check the records of a set of this package by :func:`check_rows`; users' sets are free."""
    shared = dataset._train_only or dataset.combineall or getattr(dataset, "test_only", False)
    if type(dataset).__module__.split(".")[0] == __name__.split(".")[0]:
        sides = (dataset.train, dataset.query, dataset.gallery)
        check_rows(name, *sides, shared=shared)


def has_no_training(dataset: Any) -> bool:
    """Tell whether a set trains with other images because it has no training images."""
    return bool(getattr(dataset, "test_only", False)) and not dataset.combineall


def _joins(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``Dataset.__add__`` remember that a part of the sum has no training images."""

    @wraps(stock)
    def add(self: Any, other: Any) -> Any:
        joined = stock(self, other)
        joined.test_only = any(getattr(part, "test_only", False) for part in (self, other))
        return joined

    return add


def _check_trainable(name: str, dataset: Any) -> None:
    """Refuse to train on a set without training images.

    Raises:
        DataError: it has none, and the config asks for more than a test.
    """
    tested = config.lookup(config.current(), "test.evaluate", False)
    if dataset.mode == "train" and has_no_training(dataset) and not tested:
        raise DataError(
            f"the data set '{name}' has no training images; give rows the split train, train on "
            "another set (-s), set data.combineall True to train on its test images, or set "
            "test.evaluate True to test alone"
        )


def _is_video(name: str) -> bool:
    return bool(DATASETS.facts(name).get("video", False))


def _make(kind: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(stock: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(stock)
        def init_dataset(name: str, **kwargs: Any) -> Any:
            name = resolved(name)
            with _known(name):
                registered = _checked(name, kind)
                dataset = stock(registered, **kwargs)
            if registered not in CLASSES:
                check_files(dataset)
                check_own(registered, dataset)
                _check_trainable(registered, dataset)
            return dataset

        return init_dataset

    return make


def resolved(name: str) -> str:
    """Return the registered name of a data set, which may be written differently."""
    len(DATASETS)  # imports the modules that add resolvers
    for resolve in RESOLVERS:
        name = resolve(name)
    return name


@contextlib.contextmanager
def _known(name: str) -> Iterator[None]:
    """Put a set that was registered after the hooks were installed into torchreid's table.

    Args:
        name: as returned by :func:`resolved`.
    """
    table: dict[str, Any] = {}
    if name in DATASETS and "entry" in DATASETS.facts(name):
        table = vars(torchreid_module("data.datasets"))[TABLES[_kind_of(name)]]
    added = bool(table) and name not in table
    if added:
        table[name] = DATASETS.get(name)
    try:
        yield
    finally:
        if added:
            table.pop(name, None)


def _kind_of(name: str) -> str:
    return "video" if _is_video(name) else "image"


def _checked(name: str, kind: str) -> str:
    """Check a data set's name and return its registered form."""
    module = vars(torchreid_module("data.datasets"))
    registered = same_name(name, module[TABLES[kind]])
    if registered is not None:
        return registered
    other = "image" if kind == "video" else "video"
    if same_name(name, module[TABLES[other]]) is not None:
        raise ConfigError(f"'{name}' is a data set of type {other}; set data.type to '{other}'")
    raise unknown(f"{kind} data set", name, module[TABLES[kind]])


_BASE = "data.datasets.dataset"
_SET_REPLACES = (
    Replace((_BASE,), "Dataset.__init__", _checks, prepare=False),
    Replace((_BASE,), "Dataset.__add__", _joins, prepare=False),
    Replace((_BASE,), "Dataset.combine_all", lambda stock: _combine_all, prepare=False),
    Replace((_BASE,), "Dataset.download_dataset", lambda stock: _refuse_download, prepare=False),
    Replace(
        (_BASE, "utils", "utils.tools"), "download_url", lambda stock: _refuse_url, prepare=False
    ),
    *(
        Replace(("data.datasets",), f"{kind}.__init__", _reads(name), prepare=False)
        for name, kind in CLASSES.items()
    ),
)
REPLACES = (
    *_SET_REPLACES,
    *(
        Replace(("data.datasets", "data.datamanager"), f"init_{kind}_dataset", _make(kind))
        for kind in TABLES
    ),
)
MIRRORS = (
    Mirror("data.datasets", TABLES["image"], DATASETS, lambda name: not _is_video(name)),
    Mirror("data.datasets", TABLES["video"], DATASETS, _is_video),
)

_bridge = Bridge(_SET_REPLACES, (), module=torchreid_module, prepare=lambda: None)
_lock = threading.RLock()
_depth: list[None] = []
