"""Training batches of another set, and epochs of any length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.datasets import reading
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.samplers import check_identities


class Rounds:
    """A loader that begins again when it ends; an epoch goes on where the last one stopped.

    Args:
        loader: torchreid's.
        count: batches of an epoch; 0 = all of the loader.

    Raises:
        ConfigError: the loader has no batch.
    """

    def __init__(self, loader: DataLoader[Any], count: int = 0) -> None:
        if not len(loader):
            raise ConfigError(
                "a training set has fewer images than a batch; lower train.batch_size"
            )
        self.loader, self.count = loader, count or len(loader)
        self._batches = self._endless()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.count):
            yield self.next()

    def next(self) -> Any:
        """Return the next batch."""
        return next(self._batches)

    def restart(self) -> None:
        """Begin the loader again with the next batch."""
        self._batches = self._endless()

    @property
    def sampler(self) -> Any:
        """That of the loader, which a checkpoint asks for its state."""
        return self.loader.sampler

    def _endless(self) -> Iterator[Any]:
        while True:
            yield from self.loader


def loader_like(stock: DataLoader[Any], dataset: Any, cfg: AdvConfig) -> DataLoader[Any]:
    """Return a loader of another data set with the sampler, sizes and workers of one."""
    return DataLoader(
        dataset,
        sampler=sampler_like(stock.sampler, dataset.train, stock.batch_size or 1, cfg),
        batch_size=stock.batch_size,
        num_workers=stock.num_workers,
        pin_memory=stock.pin_memory,
        drop_last=stock.drop_last,
    )


def sampler_like(stock: Any, rows: list[Any], size: int, cfg: AdvConfig) -> Any:
    """Return the sampler of ``sampler.*`` for other images.

    Args:
        stock: the engine's own, of which kind it is where the config does not say.
        rows: of the data set, as torchreid holds them.
        size: images of a batch.
        cfg: the config.

    Raises:
        ConfigError: too few identities for a batch.
    """
    build = torchreid_module("data.datamanager").build_train_sampler
    numbers = {
        name: lookup(cfg, f"sampler.{name}", default)
        for name, default in (("num_instances", 4), ("num_cams", 1), ("num_datasets", 1))
    }
    name = lookup(cfg, "sampler.train_sampler", type(stock).__name__)
    check_identities(name, rows, size, numbers["num_instances"])
    return build(rows, name, batch_size=size, **numbers)


def training_set(cfg: AdvConfig, name: str, transform: Any) -> Any:
    """Return the training images of a data set as torchreid holds them.

    Raises:
        ConfigError: nobody knows the name.
        DataError: the set is not there.
    """
    root = lookup(cfg, "data.root", ".")
    with reading(f"the data set '{name}' below '{root}'"):
        return torchreid_module("data.datamanager").init_image_dataset(
            name, root=root, transform=transform, mode="train", combineall=False, verbose=False
        )
