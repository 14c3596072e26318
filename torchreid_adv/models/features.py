"""Features of one side of a data set: extracted, checked, stored in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from torchreid_adv.core.batch import chunks, filled
from torchreid_adv.core.files import write_bytes
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.loading import Change, read_groups
from torchreid_adv.data.records import Record, camera_labels, clothes_of, modalities
from torchreid_adv.errors import DataError
from torchreid_adv.models.pixel_model import ImageModel, frozen, labels_of

_PIECE = 4096
# lengths of features for which squared float32 distances neither overflow nor vanish; below the
# smaller one F.normalize (with torch's eps) does not give unit length
SHORTEST, LONGEST = 1e-12, 1e18


@dataclass(frozen=True)
class Features:
    """Features of one side (query or gallery), validated on construction.

    Args:
        values: (R, D) float tensor, the network's output (not normalized).
        pids: (R,) int64, identities.
        camids: (R,) int64, cameras.
        image_ids: R names, unique.
        clothes: clothes on each image, if the data set says.

    Raises:
        DataError: there are no images, lengths differ, or features are not finite, all zero, or so
            large or small that float32 cannot distinguish them.
    """

    values: Tensor
    pids: Tensor
    camids: Tensor
    image_ids: tuple[str, ...]
    clothes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.values), len(self.pids), len(self.camids), len(self.image_ids)}
        if len(sizes) != 1 or self.values.ndim != 2:
            raise DataError(
                f"features need one row, pid, camid and image_id per image, got values "
                f"{tuple(self.values.shape)}, {len(self.pids)} pids, {len(self.camids)} camids, "
                f"{len(self.image_ids)} image_ids"
            )
        if not len(self.values):
            raise DataError("features of an empty set of images; check the data set's folders")
        # in pieces, because isfinite needs more memory than its input
        finite = torch.cat([piece.isfinite().all(dim=1) for piece in self.values.split(_PIECE)])
        if not finite.all():
            bad = int((~finite).sum())
            first = self.image_ids[int((~finite).nonzero()[0])]
            raise DataError(
                f"{bad} of {len(self)} features hold NaN or infinity (first: {first}); "
                "the model's weights are broken or the network overflows"
            )
        check_scale(self.values, self.image_ids)

    @classmethod
    def of(cls, records: Sequence[Record], values: Tensor) -> Features:
        """Return the features ``values`` (R, D) of R image files."""
        return cls(
            values=values,
            pids=torch.tensor([record.pid for record in records], dtype=torch.int64),
            camids=torch.tensor([record.camid for record in records], dtype=torch.int64),
            image_ids=tuple(record.image_id for record in records),
            clothes=clothes_of(records),
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def replace(self, other: Features) -> Features:
        """Return these features with the rows of the images in ``other`` replaced."""
        rows = {image_id: row for row, image_id in enumerate(self.image_ids)}
        values = self.values.clone()
        values[[rows[image_id] for image_id in other.image_ids]] = other.values.to(values)
        return dataclasses.replace(self, values=values)

    def taken(self, rows: Sequence[int]) -> Features:
        """Return the features of some rows, in the given order."""
        places = torch.as_tensor(rows, dtype=torch.int64)
        names = tuple(self.image_ids[row] for row in rows)
        worn = None if self.clothes is None else tuple(self.clothes[row] for row in rows)
        values = self.values[places.to(self.values.device)]
        return Features(values, self.pids[places], self.camids[places], names, worn)


def check_scale(values: Tensor, names: Sequence[str] = ()) -> None:
    """Refuse features whose squares overflow or vanish in float32: all distances would be equal.

    Args:
        values: (R, D), finite.
        names: names of the R images.

    Raises:
        DataError: the error names the first length that is too large or too small. A zero feature
            among others that are not zero is allowed, and so is a single feature.
    """
    lengths = torch.cat([piece.double().norm(dim=1) for piece in values.split(_PIECE)])
    bad = (lengths > LONGEST) | ((lengths > 0) & (lengths < SHORTEST))
    if len(lengths) > 1 and not bool(lengths.any()):
        bad = torch.ones_like(bad)
    if not bool(bad.any()):
        return
    row = int(bad.nonzero()[0])
    name = f" (first: {names[row]})" if len(names) else ""
    raise DataError(
        f"{int(bad.sum())} of {len(values)} features have a length of {float(lengths[row]):.3g}"
        f"{name}; distances in float32 need lengths from {SHORTEST:g} to {LONGEST:g}. Scale what "
        "the network returns, for example by a constant, or compute it in float32"
    )


_VALUES = "values"


def save_features(path: Path, features: Features) -> None:
    """Write the values of features as a safetensors file, atomically."""
    write_bytes(path, save({_VALUES: features.values.contiguous()}))


def load_features(path: Path, records: Sequence[Record]) -> Features | None:
    """Load the stored features of some images; None if there are none for this number."""
    try:
        values = load(path.read_bytes())[_VALUES]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
    return Features.of(records, values) if len(values) == len(records) else None


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's first parameter, or the CPU."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def extract(
    model: ImageModel,
    records: Sequence[Record],
    *,
    chunk: int = 64,
    workers: int = 0,
    change: Change | None = None,
    description: str = "extracting features",
    team: Team = ALONE,
) -> Features:
    """Return the features of image files, or of tracklets, as torchreid would compute them.

    Args:
        model: its size, mean and std define the transform.
        records: images, in the order of the features.
        chunk: images per forward pass, also in the last one, which is filled up; for tracklets, the
            number of frames if all were as long as the longest.
        workers: processes that read images; 0 = this process.
        change: changes the pixels of each file before the model's own transform; None = as stored.
        description: text of the progress bar.
        team: connected processes that share the chunks; all get all features, bit-identical.

    Raises:
        DataError: an image cannot be read, or features are not finite.
    """
    chunk = max(1, chunk // max([1, *(len(record.clip) for record in records)]))
    groups = chunks(records, chunk)
    assigned = [n for n in range(len(groups)) if not team.connected or team.does(n)]
    reader = read_groups(
        [groups[number] for number in assigned],
        transform=model.file_transform(),
        change=change,
        workers=workers,
        description=description,
    )
    rows = {}
    with torch.no_grad(), frozen(model):
        for number, images in zip(assigned, reader, strict=True):
            whole = filled(groups[number], chunk)
            features = model.of_files(
                filled(images, chunk),
                modality=modalities(whole),
                **camera_labels(whole, labels_of(model)),
            )
            rows[number * chunk] = features[: len(images)].float().cpu()
    values = team.gathered(rows, len(records)) if team.connected else torch.cat([*rows.values()])
    return Features.of(records, values)
