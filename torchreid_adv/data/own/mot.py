"""``mot:DIR``: people cropped from the frames of tracking sequences by their ``gt/gt.txt``.

A sequence has a single camera, but matches must be of different moments: the first half of a
sequence counts as one camera, the second half as another. Queries are from the first half, the
gallery from the second.
"""

from __future__ import annotations

import configparser
import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torchreid_adv import config
from torchreid_adv.data.images import size_of
from torchreid_adv.data.listing import SUFFIXES, Layout, subfolders
from torchreid_adv.data.lists import Line, lines_of
from torchreid_adv.data.own.listed import LARGEST, Box, Listed, box_of
from torchreid_adv.data.warned import warn

_LONGEST = 10  # digits of a frame's width
UNSPECIFIED = -1  # class or visibility that a sequence does not say
CLASSES = range(1, 14)  # of MOTChallenge; 1 = pedestrian
PERSON = ("pedestrian", "person", "people", "human")  # names in CVAT's labels.txt
_FIELDS = "frame, id, left, top, width, height, flag, class, visibility"


@dataclass(frozen=True)
class _Seen:
    """A line of a gt.txt: one person in one frame."""

    frame: int
    person: int
    box: Box
    where: str


def rows_of_mot(folder: Path) -> tuple[list[Listed], Layout]:
    """Return the people of all sequences below a folder, and their layout for errors.

    Lines with flag 0, another class than a person's, or a visibility below ``adv.mot.visibility``
    are excluded. ``gt/labels.txt``, as CVAT writes it, names the classes; without it class 1 is a
    person. An identity's query is its first frame in the first half of a sequence. The gallery is
    every ``adv.mot.step``-th frame of each identity in the second half, without frames that follow
    the query by fewer than ``adv.mot.gap`` frames.

    Raises:
        DataError: there is no sequence, a frame is missing, or a line cannot be read.
    """
    layout = Layout(
        folder.name,
        "<sequence>/gt/gt.txt with lines of " + _FIELDS + ", <sequence>/img1/000001.jpg... and, if "
        "there is one, <sequence>/seqinfo.ini",
    )
    rows: list[Listed] = []
    for place in _sequences(folder, layout):
        rows += _of_sequence(place, layout)
    if not any(row.split == "gallery" for row in rows):
        raise layout.error(
            f"no person in '{folder}' is seen in the second half of a sequence, "
            f"{config.current().adv.mot.gap} frames or more after the query; for short sequences "
            "lower adv.mot.gap"
        )
    return rows, layout


def _sequences(folder: Path, layout: Layout) -> list[Path]:
    """Return the folders of sequences; only the first with the same gt.txt."""
    if (folder / "gt" / "gt.txt").is_file():
        return [folder]
    places = [folder / name for name in subfolders(folder, layout)]
    places = [place for place in places if (place / "gt" / "gt.txt").is_file()]
    if not places:
        raise layout.error(
            f"'{folder}' holds no sequence with gt/gt.txt; sequences without it, such as those of "
            "a test set, cannot be scored"
        )
    known: dict[str, Path] = {}
    for place in places:
        digest = hashlib.sha256((place / "gt" / "gt.txt").read_bytes()).hexdigest()
        if known.setdefault(digest, place) != place:
            warn(
                f"'{place.name}' has the people of '{known[digest].name}' (the same gt.txt), as "
                "copies with another detector have; it is not read",
            )
    return list(known.values())


def _of_sequence(place: Path, layout: Layout) -> Iterator[Listed]:
    settings = config.current().adv.mot
    path = place / "gt" / "gt.txt"
    classes = _Classes.of(place / "gt" / "labels.txt", layout)
    lines = (_read(line, classes, layout) for line in lines_of(path, layout))
    seen = [sight for sight in lines if sight is not None]
    _check_once(seen, layout)
    if not seen:
        raise layout.error(
            f"'{path}' has no visible person: flag 1, class {classes.shown}, visibility "
            "adv.mot.visibility or more"
        )
    middle = (min(sight.frame for sight in seen) + max(sight.frame for sight in seen)) / 2
    people: dict[int, list[_Seen]] = {}
    for sight in sorted(seen, key=lambda sight: (sight.person, sight.frame)):
        people.setdefault(sight.person, []).append(sight)
    frames = _Frames(place, layout)
    frames.check_first(min(sight.frame for sight in seen))
    for person, sights in people.items():
        early = [sight for sight in sights if sight.frame <= middle]
        late = [sight for sight in sights if sight.frame > middle]
        if early:
            yield frames.listed(early[0], person, "query")
        first = early[0].frame + settings.gap if early else 0
        for sight in [sight for sight in late if sight.frame >= first][:: settings.step]:
            yield frames.listed(sight, person, "gallery")


def _check_once(seen: list[_Seen], layout: Layout) -> None:
    """Refuse a person who appears twice in a frame."""
    known: dict[tuple[int, int], str] = {}
    for sight in seen:
        key = sight.frame, sight.person
        if key in known:
            raise layout.error(
                f"{sight.where} has person {sight.person} in frame {sight.frame} again, which "
                f"{known[key]} has; remove one"
            )
        known[key] = sight.where


@dataclass(frozen=True)
class _Classes:
    """The classes of a gt.txt.

    Args:
        known: numbers of all classes.
        people: numbers of those that are people.
    """

    known: frozenset[int]
    people: frozenset[int]

    @classmethod
    def of(cls, labels: Path, layout: Layout) -> _Classes:
        """Return those that a list of names says, MOTChallenge's without one.

        Raises:
            DataError: none of several names is a person's.
        """
        if not labels.is_file():
            return cls(frozenset(CLASSES), frozenset({1}))
        names = [line.text for line in lines_of(labels, layout)]
        numbers = frozenset(range(1, len(names) + 1))
        people = frozenset(n for n, name in enumerate(names, 1) if name.casefold() in PERSON)
        if not people and len(names) > 1:
            raise layout.error(
                f"'{labels}' names the classes {', '.join(names[:8])}, and none of them is called "
                f"{', '.join(PERSON[:-1])} or {PERSON[-1]}; rename the one to search for, or "
                "remove the other lines from gt.txt and labels.txt"
            )
        return cls(numbers, people or numbers)

    @property
    def shown(self) -> str:
        """The numbers of people, for errors."""
        return " or ".join(map(str, sorted(self.people)))


def _read(line: Line, classes: _Classes, layout: Layout) -> _Seen | None:
    """Parse a line; None if it does not show a visible person.

    Raises:
        DataError: the line is invalid, or its box is empty.
    """
    fields = [field.strip() for field in line.text.split(",")]
    if not 6 <= len(fields) <= 10:
        raise layout.error(f"{line.where} has {len(fields)} fields; a line is {_FIELDS}")
    values = [_number(field, line.where, layout) for field in fields]
    frame, person = (_whole(value, line, layout) for value in values[:2])
    # the oldest sequences have coordinates, all -1, instead of class and visibility
    class_fields = values[6:9]
    flag, kind, visibility = class_fields + [1.0, -1.0, -1.0][len(class_fields) :]
    if flag not in (0, 1):
        raise layout.error(
            f"{line.where} has the flag {flag:g}, and ground truth has 0 or 1; are these the "
            "results of a detector or tracker?"
        )
    if not flag:
        return None
    _check_class(kind, visibility, classes, line, layout)
    is_person = kind in (*classes.people, UNSPECIFIED)
    if not is_person or 0 <= visibility < config.current().adv.mot.visibility:
        return None
    if person < 0:
        raise layout.error(f"{line.where} is of person {person}; ground truth numbers people")
    left, top, width, height = values[2:6]
    return _Seen(
        frame, person, box_of((left - 1, top - 1, width, height), line.where, layout), line.where
    )


def _check_class(
    kind: float, visibility: float, classes: _Classes, line: Line, layout: Layout
) -> None:
    """Refuse a class or a visibility that is none."""
    if kind not in (*classes.known, UNSPECIFIED):
        raise layout.error(
            f"{line.where} has the class {kind:g}, and classes are 1 to {max(classes.known)}, or "
            f"{UNSPECIFIED} for unspecified; name other classes in gt/labels.txt, one a line"
        )
    if not (0 <= visibility <= 1 or visibility == UNSPECIFIED):
        raise layout.error(
            f"{line.where} has the visibility {visibility:g}, which is a share from 0 to 1, or "
            f"{UNSPECIFIED} for unspecified; is it in percent, or a coordinate?"
        )


def _whole(value: float, line: Line, layout: Layout) -> int:
    if value != math.floor(value):
        raise layout.error(f"{line.where} has the fraction {value} for a frame or an id")
    return int(value)


class _Frames:
    """The frames of a sequence, by number; their names may have any number of leading zeros."""

    def __init__(self, place: Path, layout: Layout) -> None:
        self.place, self.layout = place, layout
        self.folder, self.suffix, self.size = _frames_of(place, layout)
        self.names: dict[int, str] = {}
        for name in sorted(os.listdir(self.folder)) if self.folder.is_dir() else []:
            stem, suffix = os.path.splitext(name)
            is_frame = suffix == self.suffix if self.suffix else suffix.lower() in SUFFIXES
            if is_frame and stem.isascii() and stem.isdecimal():
                other = self.names.setdefault(int(stem), name)
                if other != name:
                    raise layout.error(f"'{other}' and '{name}' in '{self.folder}' are one frame")

    def check_first(self, frame: int) -> None:
        """Refuse frames of another size than seqinfo.ini says; warn of frames that start at 0.

        Args:
            frame: the first one of gt.txt.

        Raises:
            DataError: boxes were drawn in larger or smaller frames.
        """
        if 0 in self.names and frame > 0:
            warn(
                f"the frames of '{self.place.name}' start at {self.names[0]}, and gt.txt at frame "
                f"{frame}: if gt.txt counts from 1, all boxes belong to the frame before; rename "
                "the frames from 000001",
            )
        if self.size and frame in self.names:
            size = size_of(self.folder / self.names[frame])
            if size is not None and size != self.size:
                raise self.layout.error(
                    f"the frames of '{self.place.name}' have {size[0]} x {size[1]} pixels, and "
                    f"seqinfo.ini says {self.size[0]} x {self.size[1]}, as the boxes were drawn; "
                    "take the frames of that size, or correct imWidth and imHeight"
                )

    def listed(self, sight: _Seen, person: int, split: str) -> Listed:
        """Return a person in a frame as a row.

        Raises:
            DataError: the frame is missing.
        """
        usual = f"{sight.frame:06d}{self.suffix or '.jpg'}"
        path = str(self.folder / self.names.get(sight.frame, usual))
        if not os.path.isfile(path):
            raise self.layout.error(
                f"{sight.where} names frame {sight.frame}: there is no '{path}'"
            )
        name = self.place.name
        half = "first" if split == "query" else "second"
        return Listed(
            path, os.path.realpath(path), f"{name}-{person:06d}", f"{name}-{half}", split,
            sight.where, sight.box, frame=sight.frame,
        )  # fmt: skip


def _frames_of(place: Path, layout: Layout) -> tuple[Path, str, tuple[int, int] | None]:
    """Return the folder of a sequence's frames, their suffix and size; "" and None = not said."""
    path, parser = place / "seqinfo.ini", configparser.ConfigParser(interpolation=None)
    try:
        if path.is_file():
            parser.read_string(path.read_text(encoding="utf-8-sig"))
    except (configparser.Error, UnicodeError, OSError) as error:
        raise layout.error(f"'{path}' cannot be read ({error})") from error
    named = next((name for name in parser.sections() if name.casefold() == "sequence"), "")
    section = parser[named] if named else {}
    folder, suffix = str(section.get("imDir", "img1")), str(section.get("imExt", ""))
    wrong = suffix and not suffix.startswith(".")
    if "/" in folder or "\\" in folder or folder in ("", "..") or wrong:
        raise layout.error(f"'{path}' names imDir '{folder}' and imExt '{suffix}'; correct them")
    sides = [str(section.get(name, "")).strip() for name in ("imWidth", "imHeight")]
    known = all(side.isascii() and side.isdecimal() and len(side) < _LONGEST for side in sides)
    return place / folder, suffix, (int(sides[0]), int(sides[1])) if known else None


def _number(text: str, where: str, layout: Layout) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise layout.error(f"{where} has '{text[:40]}' for a number; a line is {_FIELDS}")
    return value
