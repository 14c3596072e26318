"""The gradient of MetaDefense: of the training loss, and of a test loss after a step on it.

It also contains its parts: a loss at other weights, and the virtual set's identity layers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from torchreid_adv.core.batch import generator
from torchreid_adv.engines.batches import Mixture, batch_norm
from torchreid_adv.engines.losses import ReidLoss
from torchreid_adv.engines.saving import kept_random_state, random_state, set_random_state
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.integration.heads import identity_layers


class LossOfWeights:
    """Calls a network with some of its weights replaced.

    Without replacements it is the network's normal pass, which updates running statistics; with
    replacements, updates go to temporary copies. Later passes repeat the random draws (dropout) of
    the first one, so that losses are comparable, and restore the generators.

    Args:
        network: in training mode, without DataParallel.
        batch: clean and adversarial images, with pids of this set from 0.
        loss: for as many identities as the logits have classes.
        policy: BatchNorm policy, see :func:`batch_norm`.

    ``summary`` holds the summary of the first pass's loss.
    """

    def __init__(
        self, network: nn.Module, batch: Mixture, loss: ReidLoss, policy: str = "shared"
    ) -> None:
        self.network, self.batch, self.loss, self.policy = network, batch, loss, policy
        self.summary: dict[str, float] = {}
        self._drawn: dict[str, Any] | None = None

    def __call__(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the loss at these weights."""
        copies = self.network.named_buffers() if weights else ()
        replaced = {**weights, **{name: value.clone() for name, value in copies}}
        if self._drawn is None:
            self._drawn = random_state()
            return self._passed(replaced)
        with kept_random_state():
            set_random_state(self._drawn)
            return self._passed(replaced)

    def _passed(self, replaced: dict[str, Tensor]) -> Tensor:
        with batch_norm(self.network, self.policy, self.batch.adversarial):
            outputs = functional_call(self.network, replaced, (self.batch.images,))
        loss, summary = self.loss(outputs, self.batch.pids)
        self.summary = self.summary or summary
        return loss


SPREAD = 0.01  # standard deviation of new identity layers, as in torchreid's networks


class VirtualHead:
    """Parameters of ``classifier*`` layers for another number of identities, and their optimizer.

    They are learned with the network but are not part of it: its checkpoint loads into the stock
    model. The optimizer has the class of the engine's, with the settings and learning rate of its
    last group.

    Args:
        network: without DataParallel.
        optimizer: the engine's optimizer.
        identities: number of identities of the network's layers.
        count: number of identities of the virtual set.
        seed: seed of the initial values.

    Raises:
        ConfigError: the network has no such layer.
    """

    def __init__(
        self, network: nn.Module, optimizer: Any, *, identities: int, count: int, seed: int = 0
    ) -> None:
        self.parameters: dict[str, nn.Parameter] = {}
        for layer, module in identity_layers(network).items():
            for part, value in module.named_parameters(prefix=layer):
                if len(value) == identities:
                    self.parameters[part] = nn.Parameter(_fresh(part, value, count, seed))
        if not self.parameters:
            raise ConfigError(
                "MetaDefense gives the virtual set separate identity layers in the places of the "
                f"network's 'classifier', and {type(network).__name__} has none of {identities} "
                "identities; train with the triplet loss alone: loss.triplet.weight_x 0"
            )
        self.guide = optimizer
        settings = {k: v for k, v in optimizer.param_groups[-1].items() if k != "params"}
        self.optimizer = type(optimizer)([{**settings, "params": list(self.parameters.values())}])

    def step(self, gradients: dict[str, Tensor]) -> None:
        """Take a step at the engine's learning rate; parameters without gradient stay."""
        for name, parameter in self.parameters.items():
            parameter.grad = gradients.get(name)
        self.optimizer.param_groups[0]["lr"] = self.guide.param_groups[-1]["lr"]
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """Return the state to store in a checkpoint."""
        values = {name: value.detach() for name, value in self.parameters.items()}
        return {"weights": values, "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore a state of :meth:`state`.

        Raises:
            KeyError, ValueError: the state belongs to other layers.
        """
        weights = state["weights"]
        for name, value in self.parameters.items():
            if weights[name].shape != value.shape:
                raise ValueError(f"{name} of the virtual set is {tuple(weights[name].shape)}")
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(weights[name])
        self.optimizer.load_state_dict(state["optimizer"])


def _fresh(name: str, like: Tensor, count: int, seed: int) -> Tensor:
    """Return a layer's initial values: small noise for weights, zeros for biases."""
    if like.ndim == 1:
        return like.new_zeros(count)
    noise = torch.randn(count, *like.shape[1:], generator=generator(seed, "virtual head", name))
    return (noise * SPREAD).to(like)


ORDERS = ("1", "2", "fd")
REACH = 1e-2  # length of a finite difference step in weight space, as in DARTS
TINY = 1e-30
Name = TypeVar("Name", bound=Hashable)
Weights = Mapping[str, Tensor]
Loss = Callable[[Weights], Tensor]


@dataclass(frozen=True)
class MetaGradient:
    """The gradients and losses of a step of Algorithm 2.

    Args:
        network: name -> gradient of the network's parameters; unused parameters have none.
        head: name -> gradient of the parameters that replace some of them in the meta-test.
        train: the meta-train loss.
        test: the meta-test loss.
        second: length of the part that comes through the inner step's gradient, relative to the
            other part; None for order 1, which omits it.
    """

    network: dict[str, Tensor]
    head: dict[str, Tensor]
    train: Tensor
    test: Tensor
    second: float | None = None

    def clipped(self, limit: float) -> MetaGradient:
        """Return the same gradient, scaled down to a total length if it is longer."""
        length = (_length(self.network) ** 2 + _length(self.head) ** 2) ** 0.5
        if length <= limit:
            return self
        network, head = (
            {name: g * (limit / length) for name, g in part.items()}
            for part in (self.network, self.head)
        )
        return replace(self, network=network, head=head)


def meta_gradient(
    train: Loss, test: Loss, parameters: Weights, *, head: Weights, lr: float, order: str = "1"
) -> MetaGradient:
    """Return the gradient of eq. 14, ``L_train(w) + L_test(w - lr * grad L_train(w))``.

    Yang et al., Towards Robust Person Re-identification by Defending Against Universal Attackers,
    Algorithm 2. The temporary step moves all parameters except those that ``head`` replaces; it is
    made on copies.

    Args:
        train: replaced weights -> loss; with none replaced it is the network's normal pass.
        test: the same for the meta-test.
        parameters: name -> learned parameter.
        head: name -> the meta-test's parameters that replace some of the network's.
        lr: learning rate of the temporary step, plain gradient descent.
        order: ``2`` differentiates through the step; ``fd`` does so by finite differences, with two
            more meta-train passes instead of the graph of a gradient; ``1`` treats the step as
            constant.

    Raises:
        ConfigError: the order is unknown.
    """
    if order not in ORDERS:
        raise ConfigError(f"the order of a meta gradient is '{order}'{suggest(order, ORDERS)}")
    loss = train({})
    train_gradients = _gradients(loss, parameters, create_graph=order == "2")
    stepped = {
        n: p - lr * train_gradients[n] if n in train_gradients else p for n, p in parameters.items()
    }
    moved = {name: p for name, p in stepped.items() if name not in head}
    if order != "2":
        moved = {name: p.detach().requires_grad_() for name, p in moved.items()}
    tested = test({**moved, **head})
    test_gradients, second = _tested(tested, parameters, moved, head, differentiated=order == "2")
    fixed_gradients = {name: g.detach() for name, g in train_gradients.items()}
    first = _sum(
        fixed_gradients, {name: g for name, g in test_gradients.items() if name not in head}
    )
    if order == "fd":
        direction = {name: g for name, g in test_gradients.items() if name not in head}
        second = {n: -lr * g for n, g in _slope(train, parameters, direction).items()}
    return MetaGradient(
        network=_sum(first, second),
        head={name: g for name, g in test_gradients.items() if name in head},
        train=loss.detach(),
        test=tested.detach(),
        second=None if order == "1" else _length(second) / max(_length(first), TINY),
    )


def _tested(
    loss: Tensor, parameters: Weights, moved: Weights, head: Weights, *, differentiated: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the meta-test's gradients at the moved weights and head, and the second-order part."""
    sought = {("there", name): p for name, p in {**moved, **head}.items()}
    if differentiated:
        sought |= {("through", name): p for name, p in parameters.items()}
    gradients = _gradients(loss, sought)
    test_gradients, through = (
        {name: g for (kind, name), g in gradients.items() if kind == part}
        for part in ("there", "through")
    )
    added = {
        n: g - test_gradients[n] if n in test_gradients and n in moved else g
        for n, g in through.items()
    }
    return test_gradients, added


def _slope(train: Loss, parameters: Weights, direction: Weights) -> dict[str, Tensor]:
    """Return the slope of the meta-train's gradient along a direction, by central differences."""
    length = _length(direction)
    if not length:
        return {}
    reach = REACH / length
    ahead, behind = (
        _gradients_at(train, parameters, direction, sign * reach) for sign in (1.0, -1.0)
    )
    return {name: (g - behind[name]) / (2 * reach) for name, g in ahead.items()}


def _gradients_at(
    train: Loss, parameters: Weights, direction: Weights, size: float
) -> dict[str, Tensor]:
    shifted = {
        name: (p.detach() + size * direction[name] if name in direction else p.detach())
        for name, p in parameters.items()
    }
    for value in shifted.values():
        value.requires_grad_()
    return _gradients(train(shifted), shifted)


def _gradients(
    loss: Tensor, of: Mapping[Name, Tensor], *, create_graph: bool = False
) -> dict[Name, Tensor]:
    """Return the gradients of the tensors that the loss depends on."""
    if not of:
        return {}
    gradients = torch.autograd.grad(
        loss, list(of.values()), allow_unused=True, create_graph=create_graph
    )
    return {name: g for name, g in zip(of, gradients, strict=True) if g is not None}


def _sum(*parts: Weights) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def _length(values: Weights) -> float:
    return sum(float(value.pow(2).sum()) for value in values.values()) ** 0.5
