"""The gradient of MetaDefense: of a loss here, and of one elsewhere after a step of the weights.

Its parts are here, too: a loss at other weights, and the virtual set's identity layers.
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
from torchreid_adv.engines.randomness import kept_random_state, random_state, set_random_state
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.integration.heads import identity_layers


class LossAt:
    """Calls a network with other weights in the places of its own.

    With none replaced it is the network's own pass, from which running statistics learn; a pass
    with replaced weights learns into copies that are dropped. Later passes draw what the first one
    drew (dropout), so that their losses can be compared, and leave the generators as they were.

    Args:
        network: in training mode, out of DataParallel.
        batch: clean and adversarial images, and pids of this set from 0.
        loss: for as many identities as the logits have classes.
        policy: of BatchNorm, see :func:`batch_norm`.

    ``summary`` holds what the loss says of the first pass.
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


ORDERS = ("1", "2", "fd")
REACH = 1e-2  # of a finite difference step, a length in weights, as in DARTS
TINY = 1e-30
Name = TypeVar("Name", bound=Hashable)
Weights = Mapping[str, Tensor]
Loss = Callable[[Weights], Tensor]


@dataclass(frozen=True)
class MetaGradient:
    """What a step of Algorithm 2 gives the optimizers.

    Args:
        own: name -> gradient of the network's parameters; a parameter without a part has none.
        head: name -> gradient of those that take their places in the meta-test.
        train: the meta-train loss.
        test: the meta-test loss.
        second: length of the part that comes through the step's own gradient, as a share of the
            rest; None for order 1, which leaves it out.
    """

    own: dict[str, Tensor]
    head: dict[str, Tensor]
    train: Tensor
    test: Tensor
    second: float | None = None

    def clipped(self, limit: float) -> MetaGradient:
        """Return the same gradient, no longer than a limit in all."""
        length = (_length(self.own) ** 2 + _length(self.head) ** 2) ** 0.5
        if length <= limit:
            return self
        own, head = (
            {name: g * (limit / length) for name, g in part.items()}
            for part in (self.own, self.head)
        )
        return replace(self, own=own, head=head)


def meta_gradient(
    train: Loss, test: Loss, parameters: Weights, *, head: Weights, lr: float, order: str = "1"
) -> MetaGradient:
    """Return the gradient of eq. 14, ``L_train(w) + L_test(w - lr * grad L_train(w))``.

    Yang et al., Towards Robust Person Re-identification by Defending Against Universal Attackers,
    Algorithm 2. The temporary step moves all parameters but those whose places ``head`` takes; it
    is made on copies.

    Args:
        train: replaced weights -> loss; with none replaced it is the network's own pass.
        test: the same on the meta-test.
        parameters: name -> what is learned.
        head: name -> the meta-test's own parameters in the places of some of the network's.
        lr: of the temporary step, which is plain gradient descent.
        order: ``2`` differentiates through the step; ``fd`` does so by finite differences, two
            more passes of the meta-train instead of the graph of a gradient; ``1`` takes the step
            as given.

    Raises:
        ConfigError: an unknown order.
    """
    if order not in ORDERS:
        raise ConfigError(f"the order of a meta gradient is '{order}'{suggest(order, ORDERS)}")
    loss = train({})
    own = _gradients(loss, parameters, create_graph=order == "2")
    stepped = {n: p - lr * own[n] if n in own else p for n, p in parameters.items()}
    moved = {name: p for name, p in stepped.items() if name not in head}
    if order != "2":
        moved = {name: p.detach().requires_grad_() for name, p in moved.items()}
    tested = test({**moved, **head})
    there, second = _tested(tested, parameters, moved, head, differentiated=order == "2")
    here = {name: g.detach() for name, g in own.items()}
    first = _sum(here, {name: g for name, g in there.items() if name not in head})
    if order == "fd":
        direction = {name: g for name, g in there.items() if name not in head}
        second = {n: -lr * g for n, g in _slope(train, parameters, direction).items()}
    return MetaGradient(
        own=_sum(first, second),
        head={name: g for name, g in there.items() if name in head},
        train=loss.detach(),
        test=tested.detach(),
        second=None if order == "1" else _length(second) / max(_length(first), TINY),
    )


def _tested(
    loss: Tensor, parameters: Weights, moved: Weights, head: Weights, *, differentiated: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the meta-test's gradients at the moved weights and head, and what the step adds."""
    sought = {("there", name): p for name, p in {**moved, **head}.items()}
    if differentiated:
        sought |= {("through", name): p for name, p in parameters.items()}
    found = _gradients(loss, sought)
    there, through = (
        {name: g for (kind, name), g in found.items() if kind == wanted}
        for wanted in ("there", "through")
    )
    added = {n: g - there[n] if n in there and n in moved else g for n, g in through.items()}
    return there, added


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
    there = {
        name: (p.detach() + size * direction[name] if name in direction else p.detach())
        for name, p in parameters.items()
    }
    for value in there.values():
        value.requires_grad_()
    return _gradients(train(there), there)


def _gradients(
    loss: Tensor, of: Mapping[Name, Tensor], *, create_graph: bool = False
) -> dict[Name, Tensor]:
    """Return the gradients of what the loss depends on."""
    if not of:
        return {}
    found = torch.autograd.grad(
        loss, list(of.values()), allow_unused=True, create_graph=create_graph
    )
    return {name: g for name, g in zip(of, found, strict=True) if g is not None}


def _sum(*parts: Weights) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def _length(values: Weights) -> float:
    return sum(float(value.pow(2).sum()) for value in values.values()) ** 0.5
