"""The losses of torchreid's image engines as functions, and a consistency term (TRADES)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.engines.batches import Mixture
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.heads import identity_layers
from torchreid_adv.integration.layout import torchreid_module


@dataclass(frozen=True)
class ReidLoss:
    """Weighted sum of triplet loss and cross-entropy, as in a stock engine.

    Args:
        identity: cross-entropy with one class per identity.
        weight_x: weight of the cross-entropy.
        triplet: hard-mining triplet loss; None = the network returns only logits.
        weight_t: weight of the triplet loss.
        compute: the engine's ``compute_loss``, which also accepts lists of outputs.
    """

    identity: nn.Module
    weight_x: float
    triplet: nn.Module | None
    weight_t: float
    compute: Callable[[Any, Any, Any], Tensor]

    @classmethod
    def of(cls, engine: Any) -> ReidLoss:
        """Return the losses of torchreid's softmax or triplet engine for images.

        Raises:
            ConfigError: the engine is another one.
        """
        stock = torchreid_module("engine")
        if isinstance(engine, stock.ImageTripletEngine):
            triplet, weights = engine.criterion_t, (engine.weight_x, engine.weight_t)
            return cls(engine.criterion_x, weights[0], triplet, weights[1], engine.compute_loss)
        if isinstance(engine, stock.ImageSoftmaxEngine):
            return cls(engine.criterion, 1.0, None, 0.0, engine.compute_loss)
        raise ConfigError(
            "MetaDefense recomputes the losses of torchreid's image engines and does not know "
            f"those of {type(engine).__name__}; set loss.name softmax or triplet"
        )

    def with_classes(self, count: int) -> ReidLoss:
        """Return the same losses for another number of identities."""
        identity: Any = copy.copy(self.identity)
        identity.num_classes = count
        return replace(self, identity=identity)

    def __call__(self, outputs: Any, pids: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and the accuracy on the identities if it is used.

        Args:
            outputs: outputs of the network in training mode.
            pids: (N,) from 0.

        Raises:
            ConfigError: the outputs are not what this engine's losses need.
        """
        logits, features = self._split(outputs)
        parts: list[Tensor] = []
        summary: dict[str, float] = {}
        if self.triplet is not None and self.weight_t > 0:
            parts.append(self.weight_t * self.compute(self.triplet, features, pids))
        if self.weight_x > 0:
            self._check(logits)
            parts.append(self.weight_x * self.compute(self.identity, logits, pids))
            summary["acc"] = float(torchreid_module("metrics").accuracy(logits, pids)[0])
        return torch.stack(parts).sum(), summary

    def _split(self, outputs: Any) -> tuple[Any, Any]:
        if self.triplet is None:
            return outputs, None
        if not isinstance(outputs, (tuple, list)) or len(outputs) != 2:
            raise ConfigError(
                "a triplet loss needs a network that gives logits and features in training; build "
                "it with loss 'triplet'"
            )
        return outputs[0], outputs[1]

    def _check(self, logits: Any) -> None:
        count: int = getattr(self.identity, "num_classes", 0)
        for part in logits if isinstance(logits, (tuple, list)) else (logits,):
            if not isinstance(part, Tensor) or part.ndim != 2 or part.size(1) != count:
                raise ConfigError(
                    f"MetaDefense expects logits (N, {count}) from the network in training and got "
                    f"{tuple(getattr(part, 'shape', ()))}; build it with the loss.name of the "
                    "engine, and call its identity layers 'classifier', which the virtual set "
                    "replaces by its own"
                )


class Consistency:
    """``weight * mean |f - f'|^2`` of unit features, added to an engine's losses.

    The metric form of TRADES (Zhang et al., Theoretically Principled Trade-off between Robustness
    and Accuracy), whose second term compares class scores. The features are the inputs of the
    classifiers; the term's gradient is added to theirs during the backward pass of the engine's
    loss. This equals a sum of both losses, wherever the other one is computed.

    Args:
        network: without DataParallel, with classifiers named as in torchreid.
        weight: weight of the term.

    Raises:
        ConfigError: the network has no such classifiers.
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
        """Add the term inside the block; the yielded dict then holds its value, ``loss_c``.

        Raises:
            ConfigError: the loss did not go through the classifiers.
        """
        values: list[float] = []
        reached: list[bool] = []

        def enter(head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            value, gradient = self._term(inputs[0].detach(), mixture)
            values.append(value)

            def add(engine_gradient: Tensor) -> Tensor:
                reached.append(True)
                return engine_gradient + gradient

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
