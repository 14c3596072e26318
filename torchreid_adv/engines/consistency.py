"""Consistency: a clean image and its adversarial form shall have one feature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.engines.mixture import Mixture
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.heads import identity_layers


class Consistency:
    """``weight * mean |f - f'|^2`` of unit features, added to the losses of an engine as they are.

    The metric form of TRADES (Zhang et al., Theoretically Principled Trade-off between Robustness
    and Accuracy), whose second term compares class scores. The features are what enters the
    classifiers, and the term's gradient is added to theirs while the engine's loss goes backward:
    the same as a sum of losses, whoever computes the other one.

    Args:
        network: out of DataParallel, with classifiers named as torchreid's are.
        weight: of the term.

    Raises:
        ConfigError: it has none.
    """

    def __init__(self, network: nn.Module, weight: float) -> None:
        self.heads = list(identity_layers(network).values())
        if not self.heads:
            raise ConfigError(
                "adv.training.consistency compares what enters the network's classifiers, linear "
                "layers named 'classifier...', and this network has none"
            )
        self.weight = weight

    @contextlib.contextmanager
    def added(self, mixture: Mixture) -> Iterator[dict[str, float]]:
        """Add the term inside the block; what is given holds its value, ``loss_c``, afterwards.

        Raises:
            ConfigError: the loss did not go through the classifiers.
        """
        values: list[float] = []
        reached: list[bool] = []

        def enter(head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            value, gradient = self._term(inputs[0].detach(), mixture)
            values.append(value)

            def add(own: Tensor) -> Tensor:
                reached.append(True)
                return own + gradient

            inputs[0].register_hook(add)

        handles = [head.register_forward_pre_hook(enter) for head in self.heads]
        summary: dict[str, float] = {}
        try:
            yield summary
        finally:
            for handle in handles:
                handle.remove()
        if not reached:
            raise ConfigError(
                "adv.training.consistency had no effect: the loss did not go through the "
                "classifiers; set loss.triplet.weight_x above 0"
            )
        summary["loss_c"] = sum(values)

    @torch.enable_grad()
    def _term(self, features: Tensor, mixture: Mixture) -> tuple[float, Tensor]:
        leaf = features.float().requires_grad_(True)
        unit = F.normalize(leaf, dim=1)
        apart = unit[mixture.clean_rows] - unit[mixture.adversarial_rows]
        term = apart.pow(2).sum(1).mean() * (self.weight / len(self.heads))
        (gradient,) = torch.autograd.grad(term, leaf)
        return float(term.detach()), gradient.to(features)
