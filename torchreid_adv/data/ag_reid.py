"""AG-ReID: people seen from a drone and from the ground, searched from one to the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.listing import Layout
from torchreid_adv.data.public_sets import from_0, home_of, images_in, numbered, warn_of_shared
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

VIEWS = ("aerial", "ground")
_VIEW_OF = {0: 0, 3: 1}  # camera -> number of its view
_LAYOUT = Layout(
    "ag_reid",
    "bounding_box_train, query_all_c0, query_all_c3, bounding_box_test_all_c0 and "
    "bounding_box_test_all_c3 with files P<person>T<time>A<altitude>C<camera>F<frame>.jpg; camera "
    "0 is aerial, camera 3 on the ground",
)
_NAME = re.compile(
    r"P(?P<person>\d+)T(?P<time>\d+)A(?P<altitude>\d+)C(?P<camera>\d+)F\d+", re.ASCII
)

_Row = tuple[str, tuple[int, int, int], int]


class AGReID(ImageDataset):
    """AG-ReID: the queries have one view, the gallery the other.

    Nguyen et al., Aerial-Ground Person Re-ID, 2023. Read from ``<root>/AG-ReID``. As in the
    authors' code, person, time and altitude together define an identity. Gallery and query cameras
    differ, so no gallery image is excluded. ``views`` maps each path to its view, 0 = aerial, 1 =
    ground.

    Args:
        root: data root.
        query: camera of the queries, 0 (aerial) or 3 (ground).
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a folder is missing or empty, or a name is not of the public layout.
    """

    def __init__(self, root: str = "", *, query: int, **kwargs: Any) -> None:
        folder = home_of("ag_reid", root, ("AG-ReID", "ag-reid"), _LAYOUT.text)
        self.dataset_dir, self.views = str(folder), dict[str, int]()
        self.names = {"view": VIEWS}
        (other,) = _VIEW_OF.keys() - {query}
        train = list(self._images(folder / "bounding_box_train"))
        queries = list(self._images(folder / f"query_all_c{query}", query))
        gallery = list(self._images(folder / f"bounding_box_test_all_c{other}", other))
        warn_of_shared("ag_reid", train, queries, gallery)
        labels = numbered(identity for _, identity, _ in (*queries, *gallery))
        sides = ([(p, labels[pid], camera) for p, pid, camera in s] for s in (queries, gallery))
        super().__init__(from_0(train), *sides, **kwargs)

    def _images(self, folder: Path, camera: int | None = None) -> Iterator[_Row]:
        for path, name in images_in(folder, _NAME, _LAYOUT):
            seen = int(name["camera"])
            if seen not in _VIEW_OF or camera not in (None, seen):
                allowed = "0 and 3" if camera is None else f"{camera} here"
                raise _LAYOUT.error(f"'{path}' is of camera {seen}; cameras are {allowed}")
            self.views[path] = _VIEW_OF[seen]
            identity = int(name["person"]), int(name["time"]), int(name["altitude"])
            yield path, identity, seen


@DATASETS.register("ag_reid_a2g", video=False)
def ag_reid_a2g(root: str = "", **kwargs: Any) -> Any:
    """Open AG-ReID, with aerial queries and a ground gallery."""
    return AGReID(root, query=0, **kwargs)


@DATASETS.register("ag_reid_g2a", video=False)
def ag_reid_g2a(root: str = "", **kwargs: Any) -> Any:
    """Open AG-ReID, with ground queries and an aerial gallery."""
    return AGReID(root, query=3, **kwargs)
