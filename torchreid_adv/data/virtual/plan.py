"""Which images a set has: who is seen by which camera, and under which file name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torchreid_adv.data.virtual.draws import stream
from torchreid_adv.data.virtual.image import Shot
from torchreid_adv.data.virtual.options import VirtualOptions, WalkOptions
from torchreid_adv.data.virtual.style import Style
from torchreid_adv.data.virtual.walks import Walk

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"

# distractors have pid 0 on disk, and person numbers no pid reaches
_NOBODY = 10_000


@dataclass(frozen=True)
class Planned:
    """One image of a set: its path below the set's folder, and what is on it."""

    path: str
    shot: Shot | Walk


def plan(style: Style, options: VirtualOptions) -> list[Planned]:
    """List the images of a set, sorted by path.

    Training people are 1, 2, ...; test people follow. A test person's first image by a camera is
    its query there, as in Market-1501; every one has gallery images by another camera.
    """
    rows = [*_people(style, options), *_distractors(style, options)]
    planned = []
    for index, (folder, pid, person, camid) in enumerate(rows):
        shot = Shot(person, camid, index, options.height, options.width)
        name = f"{pid:04d}_c{camid + 1}s{1 + index % 3}_{index:06d}_01.jpg"
        planned.append(Planned(f"{folder}/{name}", shot))
    return sorted(planned, key=lambda one: one.path)


def _people(style: Style, options: VirtualOptions) -> Iterator[tuple[str, int, int, int]]:
    """Yield folder, pid, person number and camera."""
    everybody = options.train_identities + options.test_identities
    for pid in range(1, everybody + 1):
        for camid in cameras_of(style, options, pid):
            for image in range(options.images_per_camera):
                test = GALLERY if image else QUERY
                folder = TRAIN if pid <= options.train_identities else test
                yield folder, pid, pid, camid


def cameras_of(style: Style, options: VirtualOptions | WalkOptions, pid: int) -> list[int]:
    """Return the cameras that see a person, from 0."""
    rng = stream(style.name, options.seed, "cameras", pid)
    count = min(options.cameras_per_identity, len(style.cameras))
    return sorted(int(camid) for camid in rng.permutation(len(style.cameras))[:count])


def _distractors(style: Style, options: VirtualOptions) -> Iterator[tuple[str, int, int, int]]:
    rng = stream(style.name, options.seed, "distractors")
    for number in range(options.distractors):
        yield GALLERY, 0, _NOBODY + number, int(rng.integers(len(style.cameras)))
