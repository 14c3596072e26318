"""The units of work of a variant: what is computed and stored together, by whomever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.jobs.chunks import chunks
from torchreid_adv.jobs.manifest import SIDES

COPIES = 64  # images of a unit that is only copied


@dataclass(frozen=True)
class Unit:
    """Images, or tracklets, that are done together.

    Args:
        number: place in the plan, from 0.
        side: of the data set.
        records: the images; of tracklets that are attacked, the tracklets.
        attacked: whether they are attacked; else they are copied.
    """

    number: int
    side: str
    records: tuple[Record, ...]
    attacked: bool

    @property
    def files(self) -> list[Record]:
        """The image files: of attacked tracklets, the frames that are looked at."""
        return [file for record in self.records for file in record.seen]

    def outputs(self) -> list[PurePosixPath]:
        """Return where the images go, below the folder of the variant."""
        return [output_of(file.image_id) for file in self.files]


def plan(
    data: ReIDData, side: str, targets: Sequence[Record], chunk: int, *, copies: bool = True
) -> list[Unit]:
    """Return all units of a variant: canonical chunks of what is attacked, then the rest.

    Of tracklets the rest is single frames, those of attacked ones among them that no test looks at.

    Args:
        data: the data set.
        side: whose images are attacked.
        targets: those of them that are.
        chunk: images attacked together.
        copies: the rest belongs to the variant, too.
    """
    attacked = {record.image_id for record in targets}
    groups = [(side, group, True) for group in chunks(targets, chunk)]
    for other in SIDES if copies else ():
        rest = [
            file
            for record in data.side(other)
            for file in record.files
            if other != side or record.image_id not in attacked or file not in record.seen
        ]
        groups += [(other, group, False) for group in chunks(rest, COPIES)]
    return [
        Unit(number, where, tuple(group), attack)
        for number, (where, group, attack) in enumerate(groups)
    ]


def output_of(image_id: str) -> PurePosixPath:
    """Return where an image of a variant is stored, below its folder."""
    return PurePosixPath(image_id).with_suffix(".png")
