"""A prepared copy of a network in training, brought up to date before each use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from torchreid_adv.models.prepare import Prepared, copied_or_frozen

Copies = list[tuple[Tensor, Tensor]]  # tensor of the copy, its present value


class Twin:
    """The prepared form of a model whose weights change: copied once, then brought up to date.

    A copy with folded BatchNorm costs as much as a training step of a small network: the copy
    itself, and two passes that find what can be folded. An update computes the folded weights again
    and copies the others. It has the same bits as a new copy.

    Args:
        precision: ``fp32`` or ``bf16``, the number format inside the networks.
    """

    def __init__(self, precision: str = "fp32") -> None:
        self.precision = precision
        self._ready: Prepared | None = None
        self._settings: Mapping[str, Any] = {}

    @contextlib.contextmanager
    def prepared(self, model: nn.Module, images: Tensor) -> Iterator[nn.Module]:
        """Yield the prepared form of a model with its present weights.

        A model that cannot be copied is used itself, as :func:`prepare.prepared` does.

        Args:
            model: the same one each time; copied again after a change of structure.
            images: (N, [T,] 3, H, W) in [0, 1].

        Raises:
            ConfigError: the model cannot be copied and another precision is set, or it fails.
        """
        with copied_or_frozen(model, lambda: self._present(model, images), self.precision) as ready:
            yield ready

    def _present(self, model: nn.Module, images: Tensor) -> Prepared:
        settings = _settings(model)
        copies = self._copies(model) if settings == self._settings else None
        if self._ready is None or copies is None:
            self._ready = Prepared(model, images, precision=self.precision)
            self._settings = settings
            return self._ready
        with torch.no_grad():
            for place, value in copies:
                place.copy_(value)
        return self._ready

    def _copies(self, model: nn.Module) -> Copies | None:
        """Return the copy's tensors with their present values; None if the structure changed."""
        if self._ready is None:
            return None
        present, copied = dict(model.named_modules()), self._ready.modules_by_name
        if present.keys() != copied.keys():
            return None
        folded = set(self._ready.folds.values())
        copies: Copies = []
        for name, module in present.items():
            if name in self._ready.folds:
                copies += _fused(copied[name], module, present[self._ready.folds[name]])
            elif name not in folded:
                copies += _own(copied[name], module)
        fits = all(place.shape == value.shape for place, value in copies)
        return copies if fits else None


@torch.no_grad()
def _fused(copied: nn.Module, layer: Any, norm: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weight and bias of a layer into which a BatchNorm is folded."""
    fuse = fuse_conv_bn_weights if isinstance(layer, nn.Conv2d) else fuse_linear_bn_weights
    weight, bias = fuse(
        layer.weight,
        layer.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    yield copied.weight, weight  # type: ignore[misc]
    yield copied.bias, bias  # type: ignore[misc]


def _own(copied: nn.Module, module: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a module's own tensors: parameters, buffers, and plain attributes."""
    for places, values in (
        (copied._parameters, module._parameters),
        (copied._buffers, module._buffers),
        (vars(copied), vars(module)),
    ):
        for name, value in values.items():
            place = places.get(name)
            if isinstance(value, Tensor) and isinstance(place, Tensor):
                yield place, value


def _settings(model: nn.Module) -> dict[str, Any]:
    """Return what a pass may depend on besides weights: types, hooks, and settings of modules.

    Settings are the plain attributes of modules that are not PyTorch's own, and which tensors there
    are.
    """
    return {name: tuple(_described(module)) for name, module in model.named_modules()}


def _described(module: nn.Module) -> Iterator[Any]:
    yield type(module)
    yield len(module._forward_hooks), len(module._forward_pre_hooks)
    yield tuple(name for name, value in module._parameters.items() if value is not None)
    yield tuple(name for name, value in module._buffers.items() if value is not None)
    if not type(module).__module__.startswith("torch.nn."):
        for name, value in vars(module).items():
            if name != "training" and isinstance(value, (bool, int, float, str)):
                yield name, value
