"""Which statistics BatchNorm uses and learns while clean and adversarial images pass together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from torchreid_adv.errors import ConfigError

POLICIES = ("shared", "separate", "frozen")


@contextlib.contextmanager
def batch_norm(network: nn.Module, policy: str, adversarial: Tensor) -> Iterator[None]:
    """Let the BatchNorm layers of a network follow a policy inside the block.

    Args:
        network: in training mode.
        policy: ``shared``: one batch, as BatchNorm does by itself. ``separate``: clean and
            adversarial images are normalized by statistics of their own, and the running ones,
            which count in testing, are of the clean images. ``frozen``: the running statistics are
            used and stay as they are; weights and biases learn.
        adversarial: (R,) bool, the rows of the batch that are.

    Raises:
        ConfigError: ``separate`` in a network whose BatchNorm sees other rows than images.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]
    both = bool(adversarial.any()) and not bool(adversarial.all())
    try:
        if policy == "frozen":
            for norm in norms:
                norm.training = False
        elif policy == "separate" and both:
            rows = _Rows(adversarial)
            for norm in norms:
                vars(norm)["forward"] = _separate(norm, rows)
        yield
    finally:
        for norm in norms:
            norm.training = True
            vars(norm).pop("forward", None)


class _Rows:
    """Where clean and adversarial rows are, and how to put them back in order."""

    def __init__(self, adversarial: Tensor) -> None:
        self.count = len(adversarial)
        self.clean, self.adversarial = ((adversarial == side).nonzero()[:, 0] for side in (0, 1))
        self.order = torch.cat([self.clean, self.adversarial]).argsort()


def _separate(norm: Any, rows: _Rows) -> Callable[[Tensor], Tensor]:
    own = norm.forward

    def forward(maps: Tensor) -> Tensor:
        if len(maps) != rows.count:
            raise ConfigError(
                "adv.training.batchnorm 'separate' needs a network whose BatchNorm layers see one "
                f"row per image, and one got {len(maps)} rows for {rows.count} images; use "
                "'shared' or 'frozen'"
            )
        clean = own(maps[rows.clean])
        adversarial = F.batch_norm(
            maps[rows.adversarial], None, None, norm.weight, norm.bias, True, 0.0, norm.eps
        )
        return torch.cat([clean, adversarial])[rows.order]

    return forward
