"""The names of own data sets: a list, a folder, or tracking sequences.

``data.targets ['people.csv']`` becomes ``['people']``, and ``adv.data.lists`` stores what
``people`` is. So the rest of the package, including results and folders, uses plain names.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config.own_sets import place_in
from torchreid_adv.data.own.table import columns_of, unread
from torchreid_adv.errors import ConfigError, printable
from torchreid_adv.integration.datasets import CONFIG_RESOLVERS, RESOLVERS, TABLES
from torchreid_adv.integration.layout import imported_module
from torchreid_adv.integration.stock_names import stock_names
from torchreid_adv.registry import DATASETS, same_name

KEYS = ("data.sources", "data.targets", "adv.start.sources")
_USUAL = ("train", "test", "val", "query", "gallery", "images", "data", "list")
_LABEL = re.compile(r"[^\w.-]+", re.ASCII)
_SHOWN = 80
_STOCK = "data.datasets"  # the module with torchreid's tables


@dataclass(frozen=True)
class Entry:
    """An own data set.

    Args:
        kind: "list", "folder" or "mot".
        place: file or folder.
    """

    kind: str
    place: str

    @property
    def path(self) -> Path:
        """Its absolute path."""
        return Path(os.path.abspath(os.path.expanduser(self.place)))

    @property
    def label(self) -> str:
        """A plain name, for results and folders: the name of the file or folder.

        If a folder has a common name of splits, such as ``train``, its parent's name is put in
        front.
        """
        name = self.path.stem if self.kind == "list" else self.path.name
        if name.lower() in _USUAL:
            name = f"{self.path.parent.name}_{name}"
        label = _LABEL.sub("_", name).strip("._-") or self.kind
        registered = same_name(label, _of_others())
        return label if registered is None else f"{label}_{self.kind}"

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"


def entry_of(name: str) -> Entry | None:
    """Return the entry that a name stands for, None for the name of a registered set.

    Args:
        name: such as ``people.csv``, ``list:people.txt``, ``folder:crops``, ``mot:MOT17/train``.

    Raises:
        ConfigError: a kind has no place.
    """
    named = place_in(name)
    return None if named is None else Entry(*named)


def registered(name: str) -> str:
    """Return the registered name of a data set; a user's own set is registered first.

    Raises:
        ConfigError: the entry of the user's set is invalid.
        DataError: the list is missing or lacks columns.
    """
    entry = entry_of(name)
    return name if entry is None else register(entry.label, entry)


def register(label: str, entry: Entry) -> str:
    """Register an own set by a label, replacing one with that label, and return the label."""
    if same_name(label, _of_others()) is not None:
        raise ConfigError(f"'{label}' is a registered data set; give {entry} another name")
    taken = same_name(label, DATASETS)
    if taken is not None and taken != label:
        forget(taken)
    opener = _OPENERS.setdefault(label, Opener(label))
    facts: dict[str, Any] = {"video": "tracklet" in _columns(entry), "entry": _facts(entry)}
    facts["internal"] = True  # names from files are not listed
    if taken == label and DATASETS.facts(label)["video"] != facts["video"]:
        forget(label)
    opener.entry = entry
    DATASETS.register(label, force=True, **facts)(opener)
    return label


class Opener:
    """The entry of an own set in the registry and in torchreid's tables.

    Args:
        label: name of the set.
    """

    entry: Entry

    def __init__(self, label: str) -> None:
        self.label = label

    def __call__(self, root: str = "", **kwargs: Any) -> Any:
        """Open the set.

        Args:
            root: data root, below which crops of boxes are stored.
            kwargs: torchreid's keywords; unknown ones are ignored.

        Raises:
            DataError: the error names the line or file, and how to fix it.
        """
        from torchreid_adv.data.own.opened import opened

        return opened(self.entry.kind, self.entry.path, self.label, root, **kwargs)


_OPENERS: dict[str, Opener] = {}


def resolve(cfg: config.AdvConfig) -> None:
    """Register the user's own sets that a config names, and replace them by their plain names.

    Raises:
        ConfigError: two sets would have the same name, or an entry is invalid.
    """
    if "data" not in cfg or "sources" not in cfg.data:  # not torchreid's complete tree
        return
    known = dict(map(_pair, cfg.adv.data.lists))
    for key in KEYS:
        section, _, name = key.rpartition(".")
        names = config.lookup(cfg, key) or []
        if isinstance(names, list):
            config.lookup(cfg, section)[name] = [_named(text, known) for text in names]
    selection = cfg.adv.selection.data
    cfg.adv.selection.data = _named(selection, known) if selection else selection
    cfg.adv.data.lists = [f"{label}={entry}" for label, entry in known.items()]
    for label, entry in known.items():
        register(label, entry)


def _named(text: str, known: dict[str, Entry]) -> str:
    """Return the plain name of a set; record what it is if it is an own one."""
    entry = entry_of(text) if isinstance(text, str) else None
    if entry is None:
        return text
    label = entry.label
    if _facts(known.setdefault(label, entry)) != _facts(entry):
        raise ConfigError(
            f"'{known[label].place}' and '{entry.place}' would both be the data set '{label}'; "
            f"name one in adv.data.lists, such as ['{label}_2={entry}'], and call it '{label}_2'"
        )
    return label


def _pair(text: str) -> tuple[str, Entry]:
    """Return name and entry of an item of ``adv.data.lists``."""
    label, equals, place = text.partition("=")
    entry = entry_of(place)
    if not equals or entry is None or _LABEL.search(label) or not label:
        raise ConfigError(
            f"adv.data.lists has '{printable(text[:_SHOWN])}'; write NAME=FILE.csv, "
            "NAME=list:FILE, NAME=folder:DIR or NAME=mot:DIR"
        )
    return label, entry


def _facts(entry: Entry) -> str:
    return f"{entry.kind}:{entry.path}"


def _columns(entry: Entry) -> list[str]:
    """Return the columns of a list; none for a folder or a missing list."""
    if entry.kind != "list" or not entry.path.is_file():
        return []
    columns = columns_of(entry.path)
    warning = unread(entry.path, columns)
    if warning:
        warnings.warn(warning, stacklevel=2)
    return columns


def _of_others() -> Iterable[str]:
    """Return the names of all sets that are not own sets."""
    stock = (name for table in TABLES.values() for name in stock_names(_STOCK, table))
    own_names = {name for name in DATASETS if "entry" in DATASETS.facts(name)}
    return [name for name in (*stock, *DATASETS) if name not in own_names]


def forget(label: str) -> None:
    """Remove an own set by its label from the registry and torchreid's tables."""
    entry, module = DATASETS.get(label), imported_module(_STOCK)
    DATASETS.remove(label)
    for table in TABLES.values() if module is not None else ():
        if vars(module)[table].get(label) is entry:
            del vars(module)[table][label]


def forget_all() -> None:
    """Remove all own sets registered in this process."""
    for label in [name for name in _OPENERS if name in DATASETS]:
        forget(label)


RESOLVERS.append(registered)
CONFIG_RESOLVERS.append(resolve)
