"""Training batches: of another set, any number per epoch, the same in every process."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import generator
from torchreid_adv.core.processes import Team
from torchreid_adv.data.datasets import reading
from torchreid_adv.engines.saving import kept_random_state
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.samplers import check_identities


class EndlessLoader:
    """A loader that restarts when it ends; an epoch continues where the last one stopped.

    Args:
        loader: torchreid's loader.
        count: batches per epoch; 0 = all of the loader.

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
        """Restart the loader at the next batch."""
        self._batches = self._endless()

    @property
    def sampler(self) -> Any:
        """The loader's sampler, whose state checkpoints store."""
        return self.loader.sampler

    def _endless(self) -> Iterator[Any]:
        while True:
            yield from self.loader


def loader_like(stock: DataLoader[Any], dataset: Any, cfg: AdvConfig) -> DataLoader[Any]:
    """Return a loader of another data set with the same sampler, sizes and workers."""
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
        stock: the engine's sampler; its kind is used if the config does not set one.
        rows: rows of the data set, in torchreid's form.
        size: images per batch.
        cfg: the config.

    Raises:
        ConfigError: there are too few identities for a batch.
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
    """Return the training images of a data set in torchreid's form.

    Raises:
        ConfigError: the name is unknown.
        DataError: the set is missing.
    """
    root = lookup(cfg, "data.root", ".")
    with reading(f"the data set '{name}' below '{root}'"):
        return torchreid_module("data.datamanager").init_image_dataset(
            name, root=root, transform=transform, mode="train", combineall=False, verbose=False
        )


Place = tuple[int, int, int]  # epoch, position in the epoch's plan, row of the data set


class SharedSampler(Sampler[Place]):
    """The order of another sampler, seeded by the epoch and the same in every process.

    The plan is divided into batches for all processes together; each process takes consecutive
    rows, so an identity sampler's P x K batch is divided between identities.

    Args:
        sampler: draws the order from the generators of Python, numpy or torch.
        batch_size: batch size of all processes together.
        team: this process and the others.
        seed: seed of the plan.
    """

    def __init__(self, sampler: Any, *, batch_size: int, team: Team, seed: int) -> None:
        self.sampler, self.batch_size, self.team, self.seed = sampler, batch_size, team, seed
        self.epoch = 0

    def __iter__(self) -> Iterator[Place]:
        with kept_random_state(), seeded_by(self.seed, self.epoch):
            rows = list(self.sampler)
        share_size = self.batch_size // self.team.world
        for start in range(0, len(rows) - self.batch_size + 1, self.batch_size):
            first = start + self.team.rank * share_size
            for place in range(first, first + share_size):
                yield self.epoch, place, int(rows[place])

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size * (self.batch_size // self.team.world)


class PlannedImages(Dataset[Any]):
    """A training set whose random transforms depend on the position of an image in the plan.

    Args:
        images: torchreid's data set.
        seed: seed of the draws.
    """

    def __init__(self, images: Any, seed: int) -> None:
        self.images, self.seed = images, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: Place) -> Any:
        epoch, number, row = place
        with kept_random_state(), seeded_by(self.seed, epoch, number, "image"):
            return self.images[row]


def planned_loader(loader: DataLoader[Any], *, team: Team, seed: int) -> DataLoader[Any]:
    """Return a training loader with this process's part of each batch.

    Args:
        loader: torchreid's loader, for batches of all processes together.
        team: this process and the others.
        seed: seed of the plan.

    Raises:
        ConfigError: batches cannot be divided into equal parts of whole identities.
    """
    size, instances = int(loader.batch_size or 1), getattr(loader.sampler, "num_instances", 1)
    if size % (team.world * instances):
        raise ConfigError(
            f"train.batch_size {size} counts the images of all {team.world} processes together and "
            f"must be a multiple of {team.world * instances}: as many for each, in groups of "
            f"{instances}"
        )
    return DataLoader(
        PlannedImages(loader.dataset, seed),
        sampler=SharedSampler(loader.sampler, batch_size=size, team=team, seed=seed),
        batch_size=size // team.world,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        drop_last=True,
    )


@contextlib.contextmanager
def seeded_by(*key: object) -> Iterator[None]:
    """Seed Python's, numpy's and torch's CPU generators by a key."""
    number = generator(*key).initial_seed()
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.default_generator.manual_seed(number)
    yield
