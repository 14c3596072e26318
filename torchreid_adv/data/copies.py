"""Images with equal bytes that a data set says different things of.

A copied file, or a link to a file under another name, makes average precisions wrong: the copy is
the nearest match of its original, whatever a model does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from torchreid_adv.core.contents import Contents
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.data.warned import collected, warn

# protocols that leave out gallery images of the query's identity and camera
SAME_CAMERA = ("", "market1501", "vehicleid", "clothes_changed", "clothes_same")
_TRAIN = "train"
_SHOWN = 3  # pairs that a warning names

IDENTITIES, SPLITS, SIDES_OF_TEST, TWICE = "identities", "splits", "sides", "twice"
_KINDS = {
    IDENTITIES: "under two identities",
    SPLITS: "in training and in the test",
    SIDES_OF_TEST: "as query and in the gallery, where one finds the other",
    TWICE: "in one split, which count twice",
}
WRONG = (IDENTITIES, SPLITS, SIDES_OF_TEST)  # kinds that make scores wrong


@dataclass(frozen=True)
class Labeled:
    """An image file, and what a data set says of it.

    Args:
        path: the file.
        side: train, query or gallery.
        pid: identity, as readers know it.
        camera: camera, likewise.
        where: how a message names it.
    """

    path: str
    side: str
    pid: str
    camera: str
    where: str

    def __str__(self) -> str:
        return f"{self.where} ({self.side}, identity {self.pid})"


@dataclass(frozen=True)
class Doubt:
    """Equal files that contradict each other in one way.

    Args:
        kind: a key of ``_KINDS``.
        pairs: an example of each group of equal files.
    """

    kind: str
    pairs: tuple[tuple[Labeled, Labeled], ...]

    def sentence(self, name: str) -> str:
        """Return what the data set of a name has."""
        shown = "; ".join(f"{first} and {second}" for first, second in self.pairs[:_SHOWN])
        more = f"; and {len(self.pairs) - _SHOWN} more" if len(self.pairs) > _SHOWN else ""
        count = "a file" if len(self.pairs) == 1 else f"{len(self.pairs):,} files"
        return f"the data set '{name}' has {count} with copies {_KINDS[self.kind]}: {shown}{more}"


def doubts(
    groups: Iterable[Sequence[Labeled]], protocol: str, kinds: Collection[str] = tuple(_KINDS)
) -> list[Doubt]:
    """Return the contradictions within groups of files with equal bytes.

    Args:
        groups: files with equal bytes; one file may be on several sides.
        protocol: evaluation protocol of the set, "" = as Market-1501.
        kinds: that are looked for.
    """
    pairs: dict[str, list[tuple[Labeled, Labeled]]] = {kind: [] for kind in _KINDS}
    for group in groups:
        pair_of_kind: dict[str, tuple[Labeled, Labeled]] = {}
        for first, second in _compared(group):
            if first.path != second.path:
                pair_of_kind.setdefault(_kind(first, second, protocol), (first, second))
        for kind, pair in pair_of_kind.items():
            if kind in kinds:
                pairs[kind].append(pair)
    return [Doubt(kind, tuple(examples)) for kind, examples in pairs.items() if examples]


def _compared(group: Sequence[Labeled]) -> Iterator[tuple[Labeled, Labeled]]:
    """Yield the pairs of equal files that show all kinds of contradictions, not all pairs.

    Files of one identity contradict each other by side and camera, so two of each are enough;
    those of different identities by being trained on or not, so one of each is enough.
    """
    of_place: dict[tuple[str, str, str], list[Labeled]] = {}
    for each in group:
        alike = of_place.setdefault((each.pid, each.side, each.camera), [])
        if len(alike) < 2:
            alike.append(each)
    of_person: dict[str, list[Labeled]] = {}
    for (pid, _, _), alike in of_place.items():
        of_person.setdefault(pid, []).extend(alike)
    for files in of_person.values():
        yield from combinations(files, 2)
    firsts = {(each.pid, each.side == _TRAIN): each for each in reversed(group)}
    for trained in (True, False):
        people = [each for (_, is_trained), each in firsts.items() if is_trained == trained]
        yield from pairwise(people)
    sides = {trained: each for (_, trained), each in firsts.items()}
    if len(sides) == 2:
        yield sides[True], sides[False]


def _kind(first: Labeled, second: Labeled, protocol: str) -> str:
    """Return how two equal files contradict each other, "" where they do not."""
    trained = [labeled.side == _TRAIN for labeled in (first, second)]
    if trained[0] != trained[1]:
        return SPLITS
    if first.pid != second.pid:
        return IDENTITIES
    if first.side == second.side:
        return TWICE
    excluded = first.camera == second.camera and protocol in SAME_CAMERA
    return "" if excluded else SIDES_OF_TEST


def with_copies(data: ReIDData, contents: Contents) -> ReIDData:
    """Return a data set that knows, and warns, of its files with equal bytes.

    Args:
        data: the data set.
        contents: hashes of its files, which are known where a run reads all of them.
    """
    labeled = list(_labeled(data))
    digests = contents.of(each.path for each in labeled)
    groups: dict[str, list[Labeled]] = {}
    for each, digest in zip(labeled, digests, strict=True):
        groups.setdefault(digest, []).append(each)
    equal = [group for digest, group in groups.items() if digest and len(group) > 1]
    with collected() as messages:
        for doubt in doubts(equal, data.protocol, _kinds_of(data, labeled)):
            warn(doubt.sentence(data.name))
    return dataclasses.replace(data, warnings=(*data.warnings, *messages))


def _kinds_of(data: ReIDData, labeled: Sequence[Labeled]) -> list[str]:
    """Return the kinds that mean something in a set.

    Frames of a tracklet may be equal, and a set may train with its test images.
    """
    trained = {each.path for each in labeled if each.side == _TRAIN}
    shared = any(each.path in trained for each in labeled if each.side != _TRAIN)
    excluded = {TWICE: data.tracklets, SPLITS: shared}
    return [kind for kind in _KINDS if not excluded.get(kind, False)]


def _labeled(data: ReIDData) -> Iterator[Labeled]:
    for side in SIDES:
        names = data.names.get("train" if side == _TRAIN else "test", ())
        for record in data.side(side):
            pid, camera = _word(names, record.pid), str(record.camid)
            for file in record.files:
                yield Labeled(str(file.path), side, pid, camera, f"'{file.image_id}'")


def _word(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)
