"""Random numbers that belong to an image or a step; batches split by image size."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.defenses.base import other_draws

FILLS = (torch.Tensor.uniform_, torch.Tensor.normal_)
LIKE: dict[Any, Callable[..., Tensor]] = {
    torch.rand_like: torch.Tensor.uniform_,
    torch.randn_like: torch.Tensor.normal_,
}


@contextlib.contextmanager
def seeded(seed: int, batch: Batch, step: int) -> Iterator[None]:
    """Seed torch's global generators by (seed, images, step), and restore them after the block.

    Random defenses draw by (seed, step, image): not the draws of deployment.

    ``torch.manual_seed`` is not used: without a GPU it queues a seed and a stack trace per call.
    """
    device, draws = batch.images.device, generator(seed, batch.image_ids, step)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(draws.initial_seed())
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(draws.initial_seed())
        with other_draws("attack", seed, step):
            yield


class PerImageDraws(TorchFunctionMode):
    """Inside the block, uniform and normal noise for a batch is drawn image by image.

    Row i of a tensor with one row per image comes from generator i, so code that draws noise for a
    batch gives each image the noise it would get alone.

    Args:
        generators: CPU generators, one per image.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.generators = generators

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Draw per image if ``func`` draws one row per image; else call it unchanged."""
        kwargs = kwargs or {}
        ours = (func in FILLS or func in LIKE) and len(args[0]) == len(self.generators)
        if not ours:
            return func(*args, **kwargs)
        if func in LIKE:
            return self._fill(torch.empty_like(*args, **kwargs), LIKE[func], (), {})
        return self._fill(args[0], func, args[1:], kwargs)

    @torch.no_grad()
    def _fill(
        self, noise: Tensor, fill: Callable[..., Tensor], args: tuple[Any, ...], kwargs: Any
    ) -> Tensor:
        for row, draws in zip(noise, self.generators, strict=True):
            drawn = torch.empty(row.shape, dtype=row.dtype)
            row.copy_(fill(drawn, *args, generator=draws, **kwargs))
        return noise


def same_size(batch: Batch, *, alone: bool = False) -> Iterator[tuple[Tensor, Batch]]:
    """Yield (rows, the rows of a batch without padding), grouped by image size.

    Args:
        batch: images (N, 3, H, W) of any sizes.
        alone: one image at a time.
    """
    canvas = tuple(batch.images.shape[-2:])
    sizes = (
        [canvas] * len(batch) if batch.sizes is None else [tuple(s) for s in batch.sizes.tolist()]
    )
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, size in enumerate(sizes):
        groups.setdefault((row,) if alone else size, []).append(row)
    for rows in groups.values():
        yield torch.tensor(rows), crop(batch, rows, sizes[rows[0]])


def crop(batch: Batch, rows: Sequence[int], size: Sequence[int]) -> Batch:
    """Return some images of a batch that share a size, without padding."""

    def pick(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[list(rows)]

    return dataclasses.replace(
        batch,
        images=batch.images[list(rows), :, : size[0], : size[1]].contiguous(),
        sizes=None,
        pids=pick(batch.pids),
        camids=pick(batch.camids),
        image_ids=tuple(batch.image_ids[row] for row in rows),
        modality=pick(batch.modality),
        view=pick(batch.view),
    )
