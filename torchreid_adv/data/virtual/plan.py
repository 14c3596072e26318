"""The images or tracklets of a set: person, camera and file name of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torchreid_adv.data.virtual.draws import stream
from torchreid_adv.data.virtual.folder import VirtualOptions, WalkOptions
from torchreid_adv.data.virtual.image import Shot
from torchreid_adv.data.virtual.style import Style
from torchreid_adv.data.virtual.walks import Walk

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"

# distractors have pid 0 on disk, and person numbers above all pids
_NOBODY = 10_000


@dataclass(frozen=True)
class Planned:
    """One image of a set: its path below the set's folder, and its content."""

    path: str
    shot: Shot | Walk


def plan(style: Style, options: VirtualOptions) -> list[Planned]:
    """List the images of a set, sorted by path.

    Training people are 1, 2, ...; test people follow. A test person's first image by a camera is
    the query of that camera, as in Market-1501; everyone has gallery images by another camera.
    """
    rows = [*_people(style, options), *_distractors(style, options)]
    planned = []
    for index, (folder, pid, person, camid) in enumerate(rows):
        shot = Shot(person, camid, index, options.height, options.width)
        name = f"{pid:04d}_c{camid + 1}s{1 + index % 3}_{index:06d}_01.jpg"
        planned.append(Planned(f"{folder}/{name}", shot))
    return sorted(planned, key=lambda image: image.path)


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


_INFRARED, _VISIBLE = 1, 2  # numbers in HITSZ-VCM
SPLITS = {"train": "Train", "test": "Test"}


@dataclass(frozen=True)
class PlannedTrack:
    """A tracklet: identity, modality (1 infrared, 2 visible), camera from 1, and its frames."""

    split: str
    pid: int
    modality: int
    camera: int
    number: int
    frames: tuple[Planned, ...]

    def names(self) -> list[str]:
        """Return the names of the frames, as in the list of names."""
        head = f"{self.pid:04d}M{self.modality}D{self.camera}T{self.number}F"
        return [head + frame.path.rsplit("/", 1)[1] for frame in self.frames]


def plan_walks(style: Style, options: WalkOptions) -> list[PlannedTrack]:
    """List the tracklets of a set: training people are 1, 2, ...; test people follow."""
    tracks: list[PlannedTrack] = []
    for pid in range(1, options.train_identities + options.test_identities + 1):
        split = "train" if pid <= options.train_identities else "test"
        for modality in (_INFRARED, _VISIBLE):
            for camid in cameras_of(style, options, pid):
                for number in range(1, options.tracklets + 1):
                    frames = _frames(split, pid, modality, camid, number, len(tracks), options)
                    track = PlannedTrack(split, pid, modality, camid + 1, number, frames)
                    tracks.append(track)
    return tracks


def lists(tracks: list[PlannedTrack]) -> Iterator[tuple[str, str]]:
    """Yield name and content of the five files of ``info``."""
    for split in SPLITS:
        split_tracks = [track for track in tracks if track.split == split]
        names = [name for track in split_tracks for name in track.names()]
        rows, first = [], 1
        for track in split_tracks:
            last = first + len(track.frames) - 1
            rows.append(f"{track.modality} {first} {last} {track.pid} {track.camera}")
            first = last + 1
        yield f"{split}_name.txt", "\n".join(names) + "\n"
        yield f"track_{split}_info.txt", "\n".join(rows) + "\n"
        if split == "test":
            queries = [
                str(n) for n, track in enumerate(split_tracks, 1) if track.modality == _INFRARED
            ]
            yield "query_IDX.txt", " ".join(queries) + "\n"


def _frames(
    split: str, pid: int, modality: int, camid: int, number: int, track: int, options: WalkOptions
) -> tuple[Planned, ...]:
    """Return the frames of a tracklet; numbers continue in tracklets of the same folder."""
    spectrum = "ir" if modality == _INFRARED else "rgb"
    folder = f"{SPLITS[split]}/{pid:04d}/{spectrum}/D{camid + 1}"
    first = (number - 1) * options.frames + 1
    infrared = modality == _INFRARED
    return tuple(
        Planned(
            f"{folder}/{first + frame}.jpg",
            Walk(pid, camid, track, frame, infrared, options.height, options.width),
        )
        for frame in range(options.frames)
    )
