"""A corrupted version of a data set: stored, recorded and sealed like an attacked one."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import PIL

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import chunks
from torchreid_adv.core.facts import Key
from torchreid_adv.core.files import require_space
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.manifest import SIDES, Entry, Manifest
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.errors import ConfigError
from torchreid_adv.runs.file_corruption import FileCorruption, people_of
from torchreid_adv.runs.folder import LEDGER, RunFolder
from torchreid_adv.runs.plan import COPIES, WorkUnit
from torchreid_adv.runs.stored import stored_data
from torchreid_adv.runs.unit_writer import StoredUnit, UnitWriter, header_of, without_bad

CORRUPTED = {"query": ("query",), "gallery": ("gallery",), "both": ("query", "gallery")}
FOLDER = "corrupted"  # of a data set's images, in the folder of a run


@dataclass(frozen=True)
class CorruptedData:
    """A stored corrupted version.

    Args:
        data: with the image_ids of its source.
        folder: holds the images, the manifest and the list of people.
        manifest: one entry per image, with its kind and severity.
    """

    data: ReIDData
    folder: Path
    manifest: Manifest


@dataclass
class CorruptedWriter(UnitWriter):
    """Corrupts the images of some sides and copies all others pixel for pixel.

    Args:
        corruption: of each image.
        sides: that are corrupted.
        folder: of the images.
        job: folder of the ledgers, on the same disk.
        workers: processes that read and corrupt images.
        team: this process and those it shares the work with.
    """

    corruption: FileCorruption
    sides: Sequence[str]
    folder: Path
    job: Path
    workers: int = 0
    team: Team = ALONE

    def units(self, data: ReIDData) -> list[WorkUnit]:
        """Return all units: of each side, chunks of its files in their order."""
        groups = [
            (side, group)
            for side in SIDES
            for group in chunks([f for r in data.side(side) for f in r.files], COPIES)
        ]
        return [
            WorkUnit(number, side, tuple(group), side in self.sides)
            for number, (side, group) in enumerate(groups)
        ]

    def _changed(self, units: Sequence[WorkUnit]) -> Iterator[StoredUnit]:
        units = [unit for unit in units if unit.attacked]
        change = functools.partial(_beside, self.corruption)
        for unit, images in zip(units, self._read(units, "corrupting", change), strict=True):
            clean, corrupted, labels = zip(*images, strict=True)
            yield StoredUnit(unit, clean, corrupted, {}, corruptions=labels)


def _beside(
    corruption: FileCorruption, record: Record, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return an image, its corrupted version, and kind and severity."""
    return image, corruption(record, image), corruption.label(image)


def corrupt_dataset(
    data: ReIDData,
    corruption: FileCorruption,
    *,
    side: str = "both",
    out: str | Path = "run",
    workers: int = 0,
    quarantine: bool = False,
    team: Team = ALONE,
) -> CorruptedData | None:
    """Write a corrupted version of a data set below ``out/<name>/corrupted``.

    Names and layout stay; images are PNG, so that storing adds no further corruption. Images that
    an earlier run of the same corruption finished there are reused. The folder can be loaded as
    the data set ``adversarial``, or by the list of people in it.

    Args:
        data: see :func:`load_dataset`; every frame of a tracklet is a separate image.
        corruption: of each image.
        side: ``query``, ``gallery`` or ``both``.
        out: folder of the run.
        workers: processes that read and corrupt images; their number changes no byte.
        quarantine: leave bad images out instead of refusing the data set.
        team: this process and those it shares the work with.

    Returns:
        the stored version; None for a shard while others are not done.

    Raises:
        ConfigError: an unknown side, or a folder that holds another run.
        DataError: an image that cannot be used.
        DiskError: there is not enough room.
    """
    if side not in CORRUPTED:
        raise ConfigError(f"the corrupted side is one of {', '.join(CORRUPTED)}, got '{side}'")
    corruption = replace(corruption, others=people_of(data.gallery))
    folder = RunFolder(Path(out), data.name, _key(corruption, side), team, stored=FOLDER)
    folder.check_free()
    with working_in(folder.out, team):
        print(f"##### Corrupting {data.name} ({side}) #####")
        bad, pixels = folder.checked(data, workers)
        data, missing = without_bad(folder.told(data), bad, quarantine=quarantine)
        sides, where = CORRUPTED[side], (folder.stored_images, folder.path)
        writer = CorruptedWriter(corruption, sides, *where, workers=workers, team=team)
        return _written(writer, data, folder, missing, pixels)


def _written(
    writer: CorruptedWriter,
    data: ReIDData,
    folder: RunFolder,
    missing: Sequence[Entry],
    pixels: int,
) -> CorruptedData | None:
    units = writer.units(data)
    images = sum(len(unit.files) for unit in writer.left(units))
    require_space(writer.folder, images=images, pixels=images * pixels // len(data.files()))
    folder.begin()
    finished = writer.stored(units, data.root)
    if finished is None:
        return None
    header = header_of(data, {"data": data.name, **folder.key.facts, "made_with": _versions()})
    manifest = writer.sealed(finished, header, missing)
    folder.require_unchanged(manifest.stored)
    return CorruptedData(stored_data(data, writer.folder, manifest), writer.folder, manifest)


def _key(corruption: FileCorruption, side: str) -> Key:
    """Return everything that decides the bytes of a run."""
    facts = {**corruption.facts(), "side": side}
    return Key.of(corruption=facts, ledger=LEDGER, job={"copies": True})


def _versions() -> dict[str, str]:
    """Return the libraries that drew and encoded the images; only JPEG depends on them."""
    return {"numpy": np.__version__, "opencv": cv2.__version__, "pillow": PIL.__version__}


def corrupt_targets(
    cfg: AdvConfig, targets: Sequence[ReIDData], team: Team = ALONE
) -> list[CorruptedData | None]:
    """Write a corrupted version of each data set, as ``adv.corruption.*`` says."""
    return [
        corrupt_dataset(
            data,
            FileCorruption.configured(cfg),
            side=cfg.adv.corruption.side,
            out=cfg.data.save_dir,
            workers=lookup(cfg, "data.workers", 0),
            quarantine=cfg.adv.job.quarantine,
            team=team,
        )
        for data in targets
    ]
