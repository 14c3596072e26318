"""The originals of stored images: the data sets that manifests name, loaded from the data root."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from torchreid_adv.core.files import inside, name_fault
from torchreid_adv.core.manifest import SIDES, Entry
from torchreid_adv.data.datasets import Record, ReIDData, load_dataset
from torchreid_adv.data.virtual.folder import nothing_rendered
from torchreid_adv.errors import AdvError, DataError
from torchreid_adv.runs.unit_writer import source_of

_LABELS = ("pid", "camid", "modality", "tracklet")


@dataclass(frozen=True)
class DataFiles:
    """The image files of a data set by their names.

    Args:
        data: the data set.
    """

    data: ReIDData

    @functools.cached_property
    def files(self) -> dict[str, tuple[str, Record]]:
        """image_id -> side and record."""
        return {
            file.image_id: (side, file)
            for side in SIDES
            for record in self.data.side(side)
            for file in record.files
        }

    def fault(self, entry: Entry) -> str:
        """Return where an entry and the data set differ, "" where they do not."""
        side, file = self.files.get(entry.image_id, ("", None))
        if file is None:
            return (
                f"'{self.data.name}' as loaded here has no image '{entry.image_id}'; if the "
                "run had other data set options, give its flags"
            )
        if entry.source != source_of(file.path, self.data.root):
            return f"its source '{entry.source}' is not the file of '{entry.image_id}'"
        if entry.side != side:
            return f"it is a {side} image, the manifest says {entry.side}"
        for name in _LABELS:
            recorded, actual = getattr(entry, name), getattr(file, name)
            if recorded != actual:
                return f"its {name} is {actual}, the manifest says {recorded}"
        return f"its frame is {file.number}" if entry.frame != file.number else ""

    def path(self, entry: Entry) -> Path:
        """Return the original of an entry without a fault."""
        return self.files[entry.image_id][1].path


@dataclass
class Originals:
    """The data sets below a data root, each loaded once, by their names in manifests.

    Args:
        root: data root.
        load: loads a data set by its name; None = with torchreid's default options.
    """

    root: Path
    load: Callable[[str], ReIDData] | None = None
    _known: dict[str, DataFiles | str] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, data: ReIDData) -> Originals:
        """Return the originals of a loaded data set."""
        return cls(root, _known={data.name: DataFiles(data)})

    def files(self, name: object) -> DataFiles | str:
        """Return the files of a data set, or a sentence on why they are not known."""
        if not isinstance(name, str):
            return "the manifest does not name its data set"
        if name not in self._known:
            self._known[name] = self._loaded(name)
        return self._known[name]

    def _loaded(self, name: str) -> DataFiles | str:
        try:
            with nothing_rendered():
                data = (self.load or self._default)(name)
        except AdvError as error:
            reason = str(error).partition("; known: ")[0]
            return (
                f"the data set '{name[:80]}' is not known here: {reason}. If it is your own, give "
                "it as the run had it, such as -t people.csv"
            )
        return DataFiles(dataclasses.replace(data, name=name))

    def _default(self, name: str) -> ReIDData:
        return load_dataset(name, self.root)

    def path(self, entry: Entry) -> Path:
        """Return the original of an entry whose data set is not known.

        Raises:
            DataError: its source is not a file of that name below the data root.
        """
        fault = name_fault(entry.source)
        if fault:
            raise DataError(f"its source '{entry.source[:80]}' {fault}")
        parts = PurePosixPath(entry.image_id).parts[1:]
        if PurePosixPath(entry.source).parts[-len(parts) :] != parts or not parts:
            raise DataError(f"its source '{entry.source}' is not the file of '{entry.image_id}'")
        return inside(self.root, entry.source)
