"""Identity layers of the meta-test set, in the places of the network's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.data.batch import generator
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.heads import identity_layers

SPREAD = 0.01  # of new identity layers, as in torchreid's networks


class VirtualHead:
    """Parameters of ``classifier*`` layers for another number of identities, and their optimizer.

    They are learned beside the network and are no part of it: its checkpoint loads into the stock
    model. The optimizer is of the engine's kind, with the settings of its last group, and follows
    that group's learning rate.

    Args:
        network: out of DataParallel.
        optimizer: the engine's.
        own: identities of the network's own layers.
        count: identities here.
        seed: of the first values.

    Raises:
        ConfigError: the network has no such layer.
    """

    def __init__(
        self, network: nn.Module, optimizer: Any, *, own: int, count: int, seed: int = 0
    ) -> None:
        self.parameters: dict[str, nn.Parameter] = {}
        for layer, module in identity_layers(network).items():
            for part, value in module.named_parameters(prefix=layer):
                if len(value) == own:
                    self.parameters[part] = nn.Parameter(_fresh(part, value, count, seed))
        if not self.parameters:
            raise ConfigError(
                "MetaDefense gives the virtual set identity layers of its own in the places of the "
                f"network's 'classifier', and {type(network).__name__} has none of {own} "
                "identities; train with the triplet loss alone: loss.triplet.weight_x 0"
            )
        self.guide = optimizer
        settings = {k: v for k, v in optimizer.param_groups[-1].items() if k != "params"}
        self.optimizer = type(optimizer)([{**settings, "params": list(self.parameters.values())}])

    def step(self, gradients: dict[str, Tensor]) -> None:
        """Take a step of the engine's learning rate; what has no gradient stays."""
        for name, parameter in self.parameters.items():
            parameter.grad = gradients.get(name)
        self.optimizer.param_groups[0]["lr"] = self.guide.param_groups[-1]["lr"]
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        values = {name: value.detach() for name, value in self.parameters.items()}
        return {"weights": values, "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state` gave.

        Raises:
            KeyError, ValueError: it is of other layers.
        """
        kept = state["weights"]
        for name, value in self.parameters.items():
            if kept[name].shape != value.shape:
                raise ValueError(f"{name} of the virtual set is {tuple(kept[name].shape)}")
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(kept[name])
        self.optimizer.load_state_dict(state["optimizer"])


def _fresh(name: str, like: Tensor, count: int, seed: int) -> Tensor:
    """Return a layer's first values: small noise for weights, zeros for biases."""
    if like.ndim == 1:
        return like.new_zeros(count)
    noise = torch.randn(count, *like.shape[1:], generator=generator(seed, "virtual head", name))
    return (noise * SPREAD).to(like)
