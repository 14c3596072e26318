"""Data sets as lists of image files, read through torchreid's classes; held-out sides."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv import config
from torchreid_adv.core.files import near_path
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.data.records import Record, image_records, tracklet_records
from torchreid_adv.data.warned import collected
from torchreid_adv.errors import AdvError, ConfigError, DataError
from torchreid_adv.integration.datasets import (
    CLASSES,
    TABLES,
    check_files,
    check_own,
    checked_sets,
    resolved,
)
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS, same_name, unknown


@dataclass(frozen=True)
class ReIDData:
    """A data set: its training, query and gallery images or tracklets, each sorted by image_id.

    Args:
        name: registered name.
        root: data root, paths are shown relative to it.
        train: records of the training images.
        query: records of the queries.
        gallery: records of the gallery.
        protocol: its evaluation protocol, an entry of PROTOCOLS; "" = as Market-1501.
        names: "train", "test", "camera" and "view" -> names by number, if identities, cameras and
            views have names.
        warnings: what makes numbers on it doubtful; runs record them with their results.
    """

    name: str
    root: Path
    train: tuple[Record, ...] = field(repr=False)
    query: tuple[Record, ...] = field(repr=False)
    gallery: tuple[Record, ...] = field(repr=False)
    protocol: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __repr__(self) -> str:
        parts = [f"{side} {_counted(self.side(side))}" for side in SIDES if self.side(side)]
        records = [record for side in SIDES for record in self.side(side)]
        parts.append(f"{len({record.camid for record in records})} cameras")
        parts += [f"protocol {self.protocol}"] if self.protocol else []
        return f"{type(self).__name__}({self.name}: {', '.join(parts)})"

    def side(self, name: str) -> tuple[Record, ...]:
        """Return the records of ``train``, ``query`` or ``gallery``."""
        if name not in SIDES:
            raise ConfigError(f"a side is one of {', '.join(SIDES)}, got '{name}'")
        records: tuple[Record, ...] = getattr(self, name)
        return records

    def training(self, purpose: str) -> tuple[Record, ...]:
        """Return the training records.

        Args:
            purpose: their purpose, for errors: "fit the distance 'xqda' to".

        Raises:
            DataError: there are none.
        """
        if not self.train:
            raise DataError(
                f"the data set '{self.name}' has no training images to {purpose}; give rows the "
                "split train, or choose what needs none"
            )
        return self.train

    @property
    def tracklets(self) -> bool:
        """Whether it consists of tracklets."""
        return any(record.frames for record in self.query)

    def files(self) -> list[Record]:
        """Return every image file of the data set, those of a tracklet in order."""
        return [file for side in SIDES for record in self.side(side) for file in record.files]

    def without(self, image_ids: Collection[str]) -> ReIDData:
        """Return the data set without some images, and without their tracklets.

        Raises:
            DataError: a side would be empty.
        """
        left: dict[str, Any] = {
            s: tuple(r for r in self.side(s) if not r.is_of(image_ids)) for s in SIDES
        }
        if not all(left[side] for side in SIDES if self.side(side)):
            raise DataError(f"all images of a side of '{self.name}' are bad; nothing is left of it")
        return replace(self, **left)


def _counted(records: Sequence[Record]) -> str:
    """Return how many images, or tracklets, of how many identities."""
    unit = "tracklets" if any(record.frames for record in records) else "images"
    return f"{len(records):,} {unit} of {len({r.pid for r in records}):,} identities"


def load_dataset(
    name: str,
    root: str | Path = "reid-data",
    *,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> ReIDData:
    """Load a data set by a name of torchreid or this package.

    Args:
        name: ``market1501``, ``dukemtmcreid``..., ``virtual_a``..., ``adversarial``; or your own
            data: ``people.csv``, ``folder:DIR``, ``mot:DIR``.
        root: data root; sets are below it in torchreid's layout.
        settings: config keys, such as ``{"adv.virtual.test_identities": 30}``. Pass those that a
            model was trained with, so that virtual people are the same ones.
        options: further keywords of torchreid's data set classes (``split_id``; ``seq_len`` and
            ``sample_method`` of tracklets, as ``video.*`` in a config...).

    Raises:
        ConfigError: the name or a key is unknown, or a value is wrong.
        DataError: the root or a folder is missing, or a split is empty.
    """
    root, (name, _) = Path(os.path.expanduser(root)), _factory(name)
    with _configured(settings), collected() as messages:
        data = from_torchreid(name, root, open_dataset(name, root, **options))
    return replace(data, warnings=tuple(messages))


@contextlib.contextmanager
def _configured(settings: Mapping[str, Any] | None) -> Iterator[None]:
    """Inside the block the current config has further values, which are checked."""
    cfg = config.current()
    if settings:
        cfg = cfg.clone()
        for key, value in settings.items():
            cfg.merge_from_list([key, value])
        config.setup(cfg)
    with config.using(cfg):
        yield


def open_dataset(name: str, root: str | Path, **options: Any) -> Any:
    """Return torchreid's object of a data set; arguments and errors as in :func:`load_dataset`."""
    name, factory = _factory(name)
    root = Path(os.path.expanduser(root))
    if name not in DATASETS and not os.path.isdir(root):
        hint = near_path(root)
        raise DataError(f"the data root '{root}' does not exist; give it with --root{hint}")
    with reading(f"the data set '{name}' below '{root}'"):
        dataset = factory(
            root=str(root), mode="query", verbose=False, transform=_unchanged, **options
        )
        if name not in CLASSES:
            check_files(dataset)
            check_own(name, dataset)
    return dataset


def _unchanged(image: Any) -> Any:
    """Replace the transform that torchreid's tracklet sets require."""
    return image


@contextlib.contextmanager
def reading(source: str) -> Iterator[None]:
    """Check what data set classes return, turn their errors into messages, download nothing.

    Args:
        source: the data set and its folder, for errors.

    Raises:
        DataError: a folder or file is missing, a split is empty, a file name cannot be parsed, or
            the data set's class raises any other error.
    """
    try:
        with checked_sets():
            yield
    except AdvError:
        raise
    except _RAISED as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"cannot read {source}: {str(error) or type(error).__name__} (at '{last.line}' in "
            f"{last.name}, line {last.lineno} of '{last.filename}')"
        ) from error


# raised by classes of data sets, which may be the user's
_RAISED = (
    *(RuntimeError, OSError, AssertionError, AttributeError, ValueError, LookupError, TypeError),
    *(ArithmeticError, ImportError),
)


def from_torchreid(name: str, root: str | Path, dataset: Any) -> ReIDData:
    """Build a :class:`ReIDData` from a torchreid data set object.

    Raises:
        ConfigError: tests would draw frames of tracklets at random.
        DataError: a split is empty, or two images would get the same name.
    """
    items = {side: getattr(dataset, side) for side in SIDES}
    if getattr(dataset, "test_only", False) and not dataset.combineall:
        items["train"] = []  # dummy records for torchreid
    for side, rows in items.items():
        if side == "train" and getattr(dataset, "test_only", False):
            continue
        if not rows:
            raise DataError(f"the data set '{name}' below '{root}' has no {side} images")
    video = not isinstance(items["query"][0][0], str)
    paths = {
        side: [path for row in rows for path in (row[0] if video else row[:1])]
        for side, rows in items.items()
    }
    make = tracklet_records if video else image_records
    folders = _split_folders(paths)
    attributes: dict[str, Any] = {
        side: make(dataset, rows, *folders[side]) for side, rows in items.items()
    }
    attributes |= {
        key: getattr(dataset, key) for key in ("protocol", "names") if hasattr(dataset, key)
    }
    return ReIDData(name=name, root=Path(root), **attributes)


def _factory(name: str) -> tuple[str, Any]:
    """Return a data set's registered name, and its class."""
    name = resolved(name)
    module = vars(torchreid_module("data.datasets"))
    known = {key: kind for table in TABLES.values() for key, kind in module[table].items()}
    known.update({entry: DATASETS.get(entry) for entry in DATASETS})
    registered = same_name(name, known)
    if registered is None:
        raise unknown("data set", name, known)
    return registered, known[registered]


def _split_folders(paths: dict[str, list[str]]) -> dict[str, tuple[Path, str]]:
    """Return side -> (common folder, name of the split): the folder's name if it is unique."""
    common = {
        s: Path(os.path.commonpath([os.path.dirname(p) for p in ps]) if ps else "-")
        for s, ps in paths.items()
    }
    nested = any(
        a != b and (common[a] == common[b] or common[a] in common[b].parents)
        for a in common
        for b in common
    )
    distinct = len({folder.name.lower() for folder in common.values()}) == len(common)
    tell_apart = distinct and not nested
    return {side: (folder, folder.name if tell_apart else side) for side, folder in common.items()}


def held_out_sides(
    data: ReIDData, *, identities: int, seed: int
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Return queries and gallery of some training identities, without any test image.

    The gallery is all images of these identities; the queries are the first image by each camera.
    The evaluation excludes an identity's images by the query's camera.

    Args:
        data: the data set.
        identities: largest number to draw; identities seen by only one camera do not count.
        seed: seed of the draw.

    Raises:
        DataError: no identity is seen by two cameras.
    """
    cameras: dict[int, set[int]] = {}
    for record in data.train:
        cameras.setdefault(record.pid, set()).add(record.camid)
    seen = sorted(pid for pid, camids in cameras.items() if len(camids) > 1)
    if not seen:
        raise DataError(
            f"no training identity of '{data.name}' is seen by two cameras, so that none can be "
            "searched for; choose another adv.selection.data"
        )
    order = np.random.default_rng(seed).permutation(len(seen))
    drawn_pids = {seen[place] for place in order[:identities]}
    gallery = tuple(record for record in data.train if record.pid in drawn_pids)
    first: dict[tuple[int, int], Record] = {}
    for record in gallery:
        first.setdefault((record.pid, record.camid), record)
    return tuple(first.values()), gallery
