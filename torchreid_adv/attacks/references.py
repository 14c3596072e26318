"""References: the features to push an image away from or pull it to; targets of images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.core.manifest import sha256
from torchreid_adv.data.datasets import Record
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, DataError, printable, suggest
from torchreid_adv.models.features import Features

SIDE_RULES = {"gallery": "all", "query": "other"}  # the default reference rule of each side
_BLOCK = 256  # images whose references are looked up together
RULES = ("all", "other", "leave_one_out", "leave_one_out_or_self")


@dataclass(frozen=True)
class References:
    """Clean, fixed features, and the rule that assigns them to images.

    Args:
        features: usually of the other side of the data set.
        rule: ``all`` images of the identity (a gallery image against its queries), those of
            ``other`` cameras (a query against its gallery), or ``leave_one_out``: all but itself;
            with ``leave_one_out_or_self`` an image without others gets itself, which an attack
            leaves only from a random start.
        targets: image_id or pid (as text) -> the identity to use instead of the image's own. If
            there are any, images without a target have no references.

    Raises:
        ConfigError: the rule is unknown.
    """

    features: Features
    rule: str = "all"
    targets: Mapping[str, int] = field(default_factory=dict)
    _mapped: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ConfigError(f"unknown reference rule '{self.rule}'{suggest(self.rule, RULES)}")

    def positives(self, batch: Batch) -> Tensor:
        """Return which features belong to which image: (N, R) bool, on the CPU.

        Raises:
            ConfigError: the batch lacks pids, or camids if the rule needs them.
        """
        if batch.pids is None or (self.rule == "other" and batch.camids is None):
            raise ConfigError(
                "this attack needs Batch(images, pids=..., camids=...) to find references"
            )
        return self.mask(batch.pids.cpu(), batch.camids, batch.image_ids)

    def target_of(self, image_id: str, pid: int) -> int | None:
        """Return the identity whose features an image is compared with.

        If there are targets, None for an image without one, or with its own identity as target.
        """
        if not self.targets:
            return pid
        target = self.targets.get(image_id, self.targets.get(str(pid)))
        return None if target == pid else target

    def mask(self, pids: Tensor, camids: Tensor | None, image_ids: Sequence[str]) -> Tensor:
        """Return which features belong to which image: (N, R) bool."""
        pairs = zip(image_ids, pids.tolist(), strict=True)
        targets = [self.target_of(image_id, pid) for image_id, pid in pairs]
        has_one = torch.tensor([target is not None for target in targets], dtype=torch.bool)
        identities = torch.tensor([target or 0 for target in targets], dtype=torch.int64)
        mask = (identities[:, None] == self.features.pids[None]) & has_one[:, None]
        if self.rule == "other" and camids is not None:
            mask &= camids.cpu()[:, None] != self.features.camids[None]
        if self.rule.startswith("leave_one_out"):
            rows = self._rows()
            for row, image_id in enumerate(image_ids):
                if image_id in rows:
                    alone = self.rule.endswith("self") and mask[row].sum() == 1
                    mask[row, rows[image_id]] = alone
        return mask

    def known(self, pids: Tensor, camids: Tensor, image_ids: Sequence[str]) -> Tensor:
        """Return which images have a reference: (N,) bool, computed block by block.

        Args:
            pids: (N,) identities.
            camids: (N,) cameras.
            image_ids: N names.
        """
        ends = range(0, len(image_ids), _BLOCK)
        blocks = [slice(start, start + _BLOCK) for start in ends]
        has_reference = [self.mask(pids[b], camids[b], image_ids[b]).any(1) for b in blocks]
        return torch.cat(has_reference) if has_reference else torch.zeros(0, dtype=torch.bool)

    def _rows(self) -> dict[str, int]:
        """Return image_id -> its row among the features, computed once."""
        if "rows" not in self._mapped:
            self._mapped["rows"] = {name: row for row, name in enumerate(self.features.image_ids)}
        rows: dict[str, int] = self._mapped["rows"]
        return rows

    def means(self, batch: Batch, distance: Distance) -> tuple[Tensor, Tensor]:
        """Return each image's mean mapped reference (N, E) and the references' spread (N,).

        The mean squared distance to the references is the squared distance to their mean (not
        normalized again) plus the spread, so an attack needs only one vector per image.

        Raises:
            ConfigError: the distance is not squared Euclidean.
            DataError: an image has no reference.
        """
        if not distance.squared_euclidean:
            raise ConfigError(
                f"this attack averages features, which the distance '{distance.name}' does not "
                "allow; choose fgsm, ifgsm or mifgsm, or a registered distance"
            )
        mask = self._some_each(batch)
        mapped = self._map(distance, batch.images)
        weights = mask.to(mapped)
        weights /= weights.sum(1, keepdim=True)
        means = weights @ mapped
        spread = weights @ mapped.pow(2).sum(1) - means.pow(2).sum(1)
        return means, spread.clamp_min(0)

    def mean_distance(self, batch: Batch, distance: Distance) -> Callable[[Tensor], Tensor]:
        """Return the function from mapped features (N, E) to mean distances (N,) to references.

        Raises:
            DataError: an image has no reference.
        """
        if distance.squared_euclidean:
            means, spread = self.means(batch, distance)
            return lambda mapped: ((mapped - means).pow(2).sum(1) + spread) * distance.scale
        references = self._map(distance, batch.images)
        groups = [references[row] for row in self._some_each(batch).to(references.device)]

        def mean_distance(mapped: Tensor) -> Tensor:
            # one by one, so that an image's result does not depend on the others
            pairs = zip(mapped.split(1), groups, strict=True)
            return torch.cat([distance.between(feature, group).mean(1) for feature, group in pairs])

        return mean_distance

    def _some_each(self, batch: Batch) -> Tensor:
        """Return the positives (N, R) of a batch, at least one per row."""
        mask = self.positives(batch)
        empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
        if empty:
            raise DataError(
                f"{len(empty)} of {len(batch)} images have no reference of their identity "
                f"(first: {batch.image_ids[empty[0]]}); leave them out of the batch"
            )
        return mask

    def centers(self, distance: Distance, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return all identities (K,) and the mean of their mapped features (K, E)."""
        mapped = self._map(distance, like)
        pids, of = self.features.pids.to(mapped.device).unique(return_inverse=True)
        sums = mapped.new_zeros(len(pids), mapped.shape[1]).index_add_(0, of, mapped)
        return pids, sums / of.bincount().to(mapped)[:, None]

    def _map(self, distance: Distance, like: Tensor) -> Tensor:
        """Return all mapped features, on the device and with the dtype of images; computed once."""
        key = (distance, like.device, like.dtype)
        if key not in self._mapped:
            self._mapped[key] = distance.map(self.features.values.to(like)).detach()
        mapped: Tensor = self._mapped[key]
        return mapped


MAX_BYTES = 100_000_000
RANDOM = "random"
_PID = re.compile(r"-?[0-9]{1,18}")


def target_map(
    setting: str,
    records: Sequence[Record],
    pids: Tensor,
    *,
    seed: int = 0,
    side: str = "attacked",
    left_out: Collection[str] = (),
) -> dict[str, int]:
    """Return image_id -> target identity, for the images that have a target.

    Images without a target, and images that show their target identity, are not in the map: they
    are neither attacked nor counted.

    Args:
        setting: ``random`` (another identity for each image, seeded), one pid, or a JSON file that
            maps image_ids or pids to pids; an image_id takes precedence over its pid.
        records: the images of the attacked side.
        pids: (R,) identities that have reference features.
        seed: seed of the random choice.
        side: name of the side in errors.
        left_out: names that a file may contain although they are not records: bad images.

    Raises:
        ConfigError: the setting cannot be read, or has names that are not images of the side, an
            image's own identity as its target, a target without reference features, or no target.
    """
    known = sorted(set(pids.tolist()))
    if setting == RANDOM:
        return {r.image_id: _other(r, known, seed) for r in records}
    if _PID.fullmatch(setting):
        pid = int(setting)
        targets = {record.image_id: pid for record in records if record.pid != pid}
    else:
        targets = _of_file(Path(setting).expanduser(), records, side, left_out)
    missing = sorted(set(targets.values()) - set(known))
    if missing:
        raise ConfigError(
            f"adv.attack.target_map names identity {missing[0]}, which has no image on the other "
            f"side; known are {known[0]} to {known[-1]}"
        )
    if not targets:
        raise ConfigError(
            f"adv.attack.target_map '{setting}' gives no {side} image another identity as its "
            "target, so there is nothing to attack"
        )
    return targets


def map_facts(setting: str) -> dict[str, str]:
    """Return what identifies a target map: the setting and, for a file, its content."""
    path = Path(setting).expanduser()
    facts = {"target_map": setting}
    return facts | ({"target_map_sha256": sha256(path.read_bytes())} if path.is_file() else {})


def _of_file(
    path: Path, records: Sequence[Record], side: str, left_out: Collection[str]
) -> dict[str, int]:
    """Return the targets of the records that a file names, by image_id or by pid."""
    by_name, by_pid = _read(path), dict[int, int]()
    names, pids = {r.image_id for r in records}, {r.pid for r in records}
    for name in by_name.keys() - names - set(left_out):
        if not _PID.fullmatch(name) or int(name) not in pids:
            kind = "identity" if _PID.fullmatch(name) else "image"
            raise ConfigError(
                f"adv.attack.target_map names the {kind} '{printable(name)}', but there is no such "
                f"{side} image{'' if kind == 'identity' else suggest(name, names)}"
            )
        if int(name) in by_pid:
            raise ConfigError(f"adv.attack.target_map gives identity {int(name)} two targets")
        by_pid[int(name)] = by_name[name]
    targets = {}
    for record in records:
        target = by_name.get(record.image_id, by_pid.get(record.pid))
        if target == record.pid:
            raise ConfigError(
                f"adv.attack.target_map pulls '{record.image_id}' to identity {target}, which is "
                "its own; name another identity, or leave the image out"
            )
        if target is not None:
            targets[record.image_id] = target
    return targets


def _other(record: Record, known: Sequence[int], seed: int) -> int:
    others = [pid for pid in known if pid != record.pid]
    if not others:
        raise ConfigError("a targeted attack needs at least two identities on the other side")
    draw = torch.randint(len(others), (1,), generator=generator(seed, "target", record.image_id))
    return others[int(draw)]


def _read(path: Path) -> dict[str, int]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"target map '{path}' is larger than {MAX_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_pairs)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        return {key: _pid(key, value) for key, value in content.items()}
    except ConfigError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"adv.attack.target_map is 'random', a pid, or a JSON file of image_id or pid -> pid; "
            f"'{path}' cannot be read: {error}"
        ) from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; refuse duplicate keys."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{printable(twice)}' is in it twice")
    return content


def _pid(key: str, value: Any) -> int:
    if type(value) is int or (isinstance(value, str) and _PID.fullmatch(value)):
        return int(value)
    raise ValueError(f"the target of '{printable(key)}' is {value!r}, and a pid is a whole number")


def say_targets(side: str, count: int, total: int) -> None:
    """Print how many images have no target and stay unchanged."""
    if count < total:
        print(
            f"=> {total - count} of {total} {side} images have no target, or already have the "
            "target identity; they stay unchanged and are not counted"
        )
