"""Own data sets, read and opened as torchreid's objects."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchreid_adv.data.listing import Layout
from torchreid_adv.data.own.classes import open_sides
from torchreid_adv.data.own.crops import with_crops
from torchreid_adv.data.own.folder import rows_of_folder
from torchreid_adv.data.own.listed import Listed, listed
from torchreid_adv.data.own.mot import rows_of_mot
from torchreid_adv.data.own.sides import sides_of
from torchreid_adv.data.own.table import columns_of, layout_of, rows_of, unread
from torchreid_adv.data.warned import collect


def opened(kind: str, path: Path, label: str, root: str, **kwargs: Any) -> Any:
    """Open an own set.

    Args:
        kind: "list", "folder" or "mot".
        path: file or folder.
        label: name of the set.
        root: data root, below which crops of boxes are stored.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: the error names the line or file, and how to fix it.
    """
    rows, layout = _READERS[kind](path)
    cut = functools.partial(with_crops, root=root or ".", label=label, layout=layout)
    folder = path.parent if kind == "list" else path
    return open_sides(str(folder), sides_of(rows, layout, cut), **kwargs)


def _rows_of_list(path: Path) -> tuple[Sequence[Listed], Layout]:
    layout = layout_of(path)
    collect(unread(path, columns_of(path)))  # the warning came when the set was registered
    return list(listed(rows_of(path), path.parent, layout)), layout


_READERS = {"list": _rows_of_list, "folder": rows_of_folder, "mot": rows_of_mot}
