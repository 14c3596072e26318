"""Records of a data set as a whole: no duplicate files, none in both training and test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchreid_adv.errors import DataError


def check_rows(name: str, train: Any, query: Any, gallery: Any, *, shared: bool = False) -> None:
    """Refuse records of a data set that repeat a file within a side or across sides.

    Args:
        name: name of the data set.
        train: rows of path or paths, identity, camera.
        query: as train.
        gallery: as train.
        shared: training and test may share images, for example if one replaces the other.

    Raises:
        DataError: the error names the file.
    """
    for side, rows in (("training", train), ("query", query), ("gallery", gallery)):
        once(name, rows, side)
    if not shared:
        apart(name, train, (*query, *gallery))
    alike(name, query, gallery)


def once(name: str, rows: Iterable[Any], side: str) -> None:
    """Refuse rows of one side of a data set that repeat a file or tracklet.

    Args:
        name: name of the data set.
        rows: path or paths, identity and camera, in this order, possibly followed by more.
        side: name of the side, for errors.

    Raises:
        DataError: the error names the first duplicate.
    """
    labels: dict[Any, tuple[int, int]] = {}
    for place, pid, camid, *_ in rows:
        key = place if isinstance(place, str) else tuple(place)
        if key in labels:
            first = labels[key]
            same = first == (pid, camid)
            labels_text = "" if same else f", of identity {first[0]} and of identity {pid}"
            raise DataError(
                f"the data set '{name}' has '{place if key is place else key[0]}' twice among its "
                f"{side} images{labels_text}; do its lists have a line or a number twice?"
            )
        labels[key] = pid, camid


def one_identity(rows: Iterable[Any]) -> None:
    """Refuse training rows in which a file or tracklet has two identities.

    Raises:
        DataError: the error names the file.
    """
    identities: dict[Any, int] = {}
    for place, pid, *_ in rows:
        key = place if isinstance(place, str) else tuple(place)
        if identities.setdefault(key, pid) != pid:
            raise DataError(
                f"'{place if key is place else key[0]}' would be trained as two identities, "
                f"{identities[key]} and {pid}; is a data set named twice in data.sources, or a "
                "file twice in a list?"
            )


def apart(name: str, train: Iterable[Any], test: Iterable[Any]) -> None:
    """Refuse a data set with the same file in training and test.

    Args:
        name: name of the data set.
        train: rows of path or paths, identity...
        test: rows of queries and gallery.

    Raises:
        DataError: the error names the first such file.
    """
    trained = {path for row in train for path in paths_of(row)}
    for row in test:
        for path in paths_of(row):
            if path in trained:
                raise DataError(
                    f"the data set '{name}' has '{path}' in training and in the test; is one of "
                    "its lists, or the list of the split, that of another split?"
                )


def alike(name: str, query: Iterable[Any], gallery: Iterable[Any]) -> None:
    """Refuse a data set with the same file in query and gallery as two identities.

    Args:
        name: name of the data set.
        query: rows of path or paths, identity...
        gallery: as query.

    Raises:
        DataError: the error names the first such file.
    """
    asked = {path: row[1] for row in query for path in paths_of(row)}
    for row in gallery:
        for path in paths_of(row):
            if asked.get(path, row[1]) != row[1]:
                raise DataError(
                    f"the data set '{name}' has '{path}' as a query of identity {asked[path]} and "
                    f"in the gallery as identity {row[1]}; correct its lists"
                )


def paths_of(row: Any) -> tuple[str, ...]:
    """Return the files of a row: a single file, or the frames of a tracklet."""
    return (row[0],) if isinstance(row[0], str) else tuple(row[0])
