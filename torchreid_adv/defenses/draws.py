"""What a random defense draws for an image: decided by a seed and the image, by nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor

from torchreid_adv import pixels
from torchreid_adv.data.batch import generator
from torchreid_adv.jobs.manifest import sha256

_further: ContextVar[tuple[object, ...]] = ContextVar("further_draws", default=())


@contextlib.contextmanager
def other_draws(*key: object) -> Iterator[None]:
    """Let every random defense draw anew inside the block, the same for the same key.

    Blocks within blocks add to the key. An attack runs inside one: it knows how a defense draws,
    not what it will draw.
    """
    token = _further.set((*_further.get(), *key))
    try:
        yield
    finally:
        _further.reset(token)


def image_generators(images: Tensor, seed: int) -> list[torch.Generator]:
    """Return one CPU generator per image (N, 3, H, W), keyed by its gray levels.

    So a draw is the same for a stored file and for its tensor, in any order, batch or process.
    """
    further = _further.get()
    return [
        generator("defense", seed, *further, image.shape, sha256(image.tobytes()))
        for image in pixels.to_uint8(images)
    ]
