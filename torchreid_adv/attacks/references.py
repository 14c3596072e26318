"""References: the features an image is pushed away from or pulled to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, DataError, suggest
from torchreid_adv.models.features import Features

SIDE_RULES = {"gallery": "all", "query": "other"}  # whom an image of a side is attacked with
_BLOCK = 256  # images whose references are looked up together
RULES = ("all", "other", "leave_one_out", "leave_one_out_or_self")


@dataclass(frozen=True)
class References:
    """Clean, fixed features, and the rule that says which of them belong to an image.

    Args:
        features: usually of the other side of the data set.
        rule: ``all`` images of the identity (a gallery image against its queries), those of
            ``other`` cameras (a query against its gallery), or ``leave_one_out``: all but itself;
            ``leave_one_out_or_self`` gives an image that is alone itself, which an attack leaves
            from a random start only.
        targets: image_id or pid (as text) -> the identity to take instead of the image's own. Where
            there are any, images without one have no references.

    Raises:
        ConfigError: an unknown rule.
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
            ConfigError: the batch lacks pids, or camids where the rule needs them.
        """
        if batch.pids is None or (self.rule == "other" and batch.camids is None):
            raise ConfigError(
                "this attack needs Batch(images, pids=..., camids=...) to find references"
            )
        return self.mask(batch.pids.cpu(), batch.camids, batch.image_ids)

    def target_of(self, image_id: str, pid: int) -> int | None:
        """Return the identity whose features an image is compared with.

        Where there are targets, an image that has none, or that is of its own target identity, is
        compared with nothing: None.
        """
        if not self.targets:
            return pid
        target = self.targets.get(image_id, self.targets.get(str(pid)))
        return None if target == pid else target

    def mask(self, pids: Tensor, camids: Tensor | None, image_ids: Sequence[str]) -> Tensor:
        """Return which features belong to which of some images: (N, R) bool."""
        pairs = zip(image_ids, pids.tolist(), strict=True)
        wanted = [self.target_of(image_id, pid) for image_id, pid in pairs]
        has_one = torch.tensor([target is not None for target in wanted], dtype=torch.bool)
        identities = torch.tensor([target or 0 for target in wanted], dtype=torch.int64)
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
        """Return which of many images have a reference: (N,) bool, found block by block.

        Args:
            pids: (N,) identities.
            camids: (N,) cameras.
            image_ids: N names.
        """
        ends = range(0, len(image_ids), _BLOCK)
        blocks = [slice(start, start + _BLOCK) for start in ends]
        found = [self.mask(pids[b], camids[b], image_ids[b]).any(1) for b in blocks]
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.bool)

    def _rows(self) -> dict[str, int]:
        """Return image_id -> its row among the features; made once."""
        if "rows" not in self._mapped:
            self._mapped["rows"] = {name: row for row, name in enumerate(self.features.image_ids)}
        rows: dict[str, int] = self._mapped["rows"]
        return rows

    def means(self, batch: Batch, distance: Distance) -> tuple[Tensor, Tensor]:
        """Return each image's mean mapped reference (N, E) and the references' spread (N,).

        The mean squared distance to the references is the squared distance to their mean, not
        normalized again, plus the spread; so one vector per image is all an attack needs.

        Raises:
            ConfigError: the distance is no squared Euclidean one.
            DataError: an image has no reference.
        """
        if not distance.squared_euclidean:
            raise ConfigError(
                f"this attack reckons with means of features, which have no part in the distance "
                f"'{distance.name}'; choose fgsm, ifgsm or mifgsm, or a registered distance"
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
            # one by one, so that an image's bits do not depend on its neighbors
            pairs = zip(mapped.split(1), groups, strict=True)
            return torch.cat([distance.between(one, group).mean(1) for one, group in pairs])

        return mean_distance

    def _some_each(self, batch: Batch) -> Tensor:
        """Return the positives (N, R) of a batch, in which no row is empty."""
        mask = self.positives(batch)
        empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
        if empty:
            raise DataError(
                f"{len(empty)} of {len(batch)} images have no reference of their identity "
                f"(first: {batch.image_ids[empty[0]]}); leave them out of the batch"
            )
        return mask

    def centers(self, distance: Distance, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return all identities (K,) and the mean of each one's mapped features (K, E)."""
        mapped = self._map(distance, like)
        pids, of = self.features.pids.to(mapped.device).unique(return_inverse=True)
        sums = mapped.new_zeros(len(pids), mapped.shape[1]).index_add_(0, of, mapped)
        return pids, sums / of.bincount().to(mapped)[:, None]

    def _map(self, distance: Distance, like: Tensor) -> Tensor:
        """Return all features mapped, on the device and in the format of some images; once."""
        key = (distance, like.device, like.dtype)
        if key not in self._mapped:
            self._mapped[key] = distance.map(self.features.values.to(like)).detach()
        mapped: Tensor = self._mapped[key]
        return mapped
