"""The processes that share a job: started by torchrun, or one by one as shards of a job array.

The numbers of the processes decide who does what, so they do not communicate while they work.
Afterward they exchange counts, and the bits of floats that one process knows and the others hold
as zero, and add these up as integers. A sum of floats would depend on its order.
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
# processes wait for each other only at the end, for as long as the slowest one takes; the watch
# notices a process that has ended
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Team:
    """A process's place among those that share a job.

    Args:
        rank: number of this process, from 0.
        world: number of processes.
        connected: whether they can exchange results (torchrun); shards of a job array cannot.

    Raises:
        ConfigError: the rank is not in 0..world - 1, or there are too many processes.
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
        """Whether this process prints, and writes shared files."""
        return self.rank == 0 or not self.connected

    @property
    def whole(self) -> bool:
        """Whether this process can finish the job: yes, unless it is one shard of several."""
        return self.connected or self.world == 1

    def does(self, number: int) -> bool:
        """Tell whether this process does a unit of work."""
        return number % self.world == self.rank

    def wait(self) -> None:
        """Wait for all connected processes."""
        if self.connected:
            distributed.barrier()

    def first(self, work: Callable[[], T]) -> T:
        """Let the leader do the work before the others do it (and find it done)."""
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
        """Return float64 numbers, each known to one process and 0 in the others."""
        return self.total(rows.view(np.int64)).view(np.float64)

    def gathered(self, rows: dict[int, Tensor], count: int) -> Tensor:
        """Return ``count`` rows (count, D) of float32, each known to one connected process.

        Args:
            rows: number of the first row -> consecutive rows (n, D).
            count: number of all rows.
        """
        width = np.zeros(self.world, np.int64)
        width[self.rank] = next((part.shape[1] for part in rows.values()), 0)
        values = torch.zeros(count, int(self.total(width).max()))
        for start, part in rows.items():
            values[start : start + len(part)] = part
        distributed.all_reduce(values.view(torch.int32))
        return values

    def shared(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return the union of the JSON objects of the connected processes."""
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
    """Join the processes that share this job while the block runs.

    Args:
        shard: ``i/n`` of a job array, i from 0; "" = as torchrun says, else alone.

    Raises:
        ConfigError: the shard is malformed or given under torchrun, or torchrun's variables are
            invalid.
        MachineError: a process of the job did not come within minutes, or ended early.
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
    if distributed.is_initialized():  # by a script, for its own processes
        yield Team(distributed.get_rank(), distributed.get_world_size(), connected=True)
        return
    store = met(rank, world)
    with watched(store, rank, world):
        # gloo, with GPUs too: it exchanges integers in main memory
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
    """Parse a shard ``i/n``.

    Raises:
        ConfigError: the text is malformed.
    """
    numbers = shard.split("/")
    if len(numbers) != 2 or not all(n.isdecimal() and n.isascii() for n in numbers):
        raise ConfigError(f"a shard is i/n, for example 0/4 to 3/4 of four; got '{shard}'")
    if max(map(len, numbers)) > len(str(MOST)):
        raise ConfigError(f"a job has at most {MOST} shards, got '{shard[:60]}'")
    return Team(int(numbers[0]), int(numbers[1]))


def gathered_values(value: Any) -> list[Any]:
    """Return the plain values of all connected processes, by rank, exchanged as JSON."""
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    text = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=device)
    size = torch.tensor([len(text)], device=device)
    sizes = [torch.zeros_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    longest = int(torch.cat(sizes).max())
    padded = torch.nn.functional.pad(text, (0, longest - len(text)))
    texts = [torch.zeros_like(padded) for _ in sizes]
    distributed.all_gather(texts, padded)
    return [
        json.loads(bytes(text[: int(size)].tolist()))
        for text, size in zip(texts, sizes, strict=True)
    ]
