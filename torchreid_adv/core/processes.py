"""The processes that share a job: started by torchrun, or one by one as shards of a job array.

Who does what follows from numbers alone, so nothing is said between processes while they work.
What they exchange afterwards is summed as integers: bits of numbers that one of them knows and
the others hold as zero, and counts. Sums of floats would depend on their order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.distributed import PrefixStore

from torchreid_adv.core.ranks import MOST, local_rank, met, place_in, watched
from torchreid_adv.errors import ConfigError

T = TypeVar("T")
# nobody waits for others but at the end, and then as long as the slowest takes; one that has ended
# is noticed by the watch
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Team:
    """A process's place among those that share a job.

    Args:
        rank: number of this process, from 0.
        world: number of processes.
        connected: whether they can exchange results (torchrun); shards of a job array cannot.

    Raises:
        ConfigError: a rank that is not in 0..world - 1, or more processes than a job has.
    """

    rank: int = 0
    world: int = 1
    connected: bool = False

    def __post_init__(self) -> None:
        if self.world > MOST:
            raise ConfigError(f"a job has at most {MOST} shards or processes, got {self.world}")
        if not 0 <= self.rank < self.world:
            raise ConfigError(
                f"shard {self.rank}/{self.world} does not exist; the shards of n are 0/n to (n-1)/n"
            )

    @property
    def leads(self) -> bool:
        """Whether this process prints and writes what is written once."""
        return self.rank == 0 or not self.connected

    @property
    def whole(self) -> bool:
        """Whether the job can be ended here: it can, unless this is one shard of several."""
        return self.connected or self.world == 1

    def does(self, number: int) -> bool:
        """Tell whether a unit of work is this process's."""
        return number % self.world == self.rank

    def wait(self) -> None:
        """Wait until every connected process is here."""
        if self.connected:
            distributed.barrier()

    def first(self, work: Callable[[], T]) -> T:
        """Let the leader do something before the others do it (and find it done)."""
        if not self.leads:
            self.wait()
        result = work()
        if self.leads:
            self.wait()
        return result

    def total(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sums of int64 numbers over the connected processes."""
        if not self.connected:
            return counts
        tensor = torch.from_numpy(np.ascontiguousarray(counts))
        distributed.all_reduce(tensor)
        summed: NDArray[np.int64] = tensor.numpy()
        return summed

    def assembled(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return float64 numbers of which each was known to one process and 0 to the others."""
        return self.total(rows.view(np.int64)).view(np.float64)

    def gathered(self, rows: dict[int, Tensor], count: int) -> Tensor:
        """Return ``count`` rows (count, D) of float32, each known to one process.

        Args:
            rows: number of the first row -> some rows (n, D) that follow each other.
            count: of all rows.
        """
        width = np.zeros(self.world if self.connected else 1, np.int64)
        width[self.rank if self.connected else 0] = next((p.shape[1] for p in rows.values()), 0)
        values = torch.zeros(count, int(self.total(width).max()))
        for start, part in rows.items():
            values[start : start + len(part)] = part
        if self.connected:
            distributed.all_reduce(values.view(torch.int32))
        return values

    def shared(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return the union of what the connected processes found out, as JSON objects."""
        content = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        sizes = np.zeros(self.world if self.connected else 1, np.int64)
        sizes[self.rank if self.connected else 0] = len(content)
        sizes = self.total(sizes)
        union: dict[str, Any] = {}
        for rank, size in enumerate(sizes.tolist()):
            mine = rank == self.rank or not self.connected
            if size:
                text = self.total((content if mine else np.zeros(size)).astype(np.int64))
                union.update(json.loads(bytes(text.astype(np.uint8))))
        return union


ALONE = Team()


@contextmanager
def joined(shard: str = "") -> Iterator[Team]:
    """Join the processes that share this job, for the time of the block.

    Args:
        shard: ``i/n`` of a job array, i from 0; "" = whatever torchrun says, else alone.

    Raises:
        ConfigError: a shard of another form, or one inside of torchrun; variables of torchrun that
            cannot be.
        MachineError: a process of the job did not come within minutes, or ended before its end.
    """
    rank, world = place_in(os.environ)
    if shard and world > 1:
        raise ConfigError("adv.job.shard is for job arrays; under torchrun leave it empty")
    if shard or world == 1:
        yield parse_shard(shard) if shard else ALONE
        return
    local = local_rank(os.environ)
    if torch.cuda.is_available():  # more processes than devices share them
        torch.cuda.set_device(local % torch.cuda.device_count())
    if distributed.is_initialized():  # by a script, whose processes they are
        yield Team(distributed.get_rank(), distributed.get_world_size(), connected=True)
        return
    store = met(rank, world)
    with watched(store, rank, world):
        # gloo, with GPUs too: what is exchanged are integers in main memory
        distributed.init_process_group(
            "gloo",
            store=PrefixStore("gloo", store),
            rank=rank,
            world_size=world,
            timeout=_PATIENCE,
        )
        try:
            yield Team(rank, world, connected=True)
        finally:
            distributed.destroy_process_group()


def parse_shard(shard: str) -> Team:
    """Return the place that ``i/n`` stands for.

    Raises:
        ConfigError: another form.
    """
    numbers = shard.split("/")
    if len(numbers) != 2 or not all(n.isdecimal() and n.isascii() for n in numbers):
        raise ConfigError(f"a shard is i/n, for example 0/4 to 3/4 of four; got '{shard}'")
    if max(map(len, numbers)) > len(str(MOST)):
        raise ConfigError(f"a job has at most {MOST} shards, got '{shard[:60]}'")
    return Team(int(numbers[0]), int(numbers[1]))
