"""Heads: the layers of a network that its features do not depend on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from torchreid_adv import config

SIZES = ((256, 128), (160, 64), (128, 64), (384, 128), (224, 224), (299, 299))  # tried in turn
_FRAMES = 2


def identity_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers that score training identities, by name.

    This rule is for training, where a network has to declare these layers: they are named
    ``classifier...``, alone or as a list. For checkpoints, :func:`unused_by_features` decides which
    layers may be missing, whatever their names.
    """
    layers = {}
    for name, module in network.named_modules():
        first, _, suffix = name.partition(".")
        called = first.startswith("classifier") and (not suffix or suffix.isdigit())
        if called and isinstance(module, nn.Linear):
            layers[name] = module
    return layers


def counters(network: nn.Module) -> frozenset[str]:
    """Return the names of the batch counters of norm layers, which are not used in eval mode."""
    norms = (
        name
        for name, module in network.named_modules()
        if isinstance(module, _NormBase) and module.num_batches_tracked is not None
    )
    return frozenset(f"{name}.num_batches_tracked".lstrip(".") for name in norms)


def unused_by_features(network: nn.Module) -> tuple[frozenset[str], str]:
    """Return the parameters and buffers that a network's features in eval mode do not depend on.

    The network runs on black images of the first size that it accepts: that of the config, then
    :data:`SIZES`. A network for two modalities runs on both; one for tracklets, on tracklets. Each
    result of an operation is marked with the weights that it depends on; the marks of the features
    are the answer. Modes and random generators are restored.

    Returns:
        the names, and "" or, without names, why they are unknown.
    """
    named = network.state_dict(keep_vars=True).items()
    tensors = {name: value for name, value in named if isinstance(value, Tensor)}
    reason = ""
    for size in _sizes():
        marks = _Marks(tensors)
        try:
            with torch.no_grad(), _tested(network):
                for answer in _answers(network, size, marks):
                    marks.use(answer)
        except MemoryError:
            raise
        except Exception as error:  # a network may raise anything on a wrong size
            reason = reason or " ".join(str(error).split())[:120] or type(error).__name__
            continue
        return frozenset(tensors.keys() - marks.used), ""
    return frozenset(), reason


def _sizes() -> list[tuple[int, int]]:
    cfg = config.current()
    configured_size = (config.lookup(cfg, "data.height", 0), config.lookup(cfg, "data.width", 0))
    first = (
        [configured_size]
        if all(isinstance(n, int) and 0 < n <= 1024 for n in configured_size)
        else []
    )
    return [*first, *SIZES]


def _answers(network: nn.Module, size: tuple[int, int], marks: _Marks) -> Iterator[Any]:
    """Run a network on all kinds of input that it distinguishes."""
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(1))
    images = like.new_zeros(2, 3, *size)
    modality = torch.arange(2, device=like.device)
    tracklets = bool(getattr(network, "takes_tracklets", False))
    if tracklets:
        clips = images[:, None].repeat(1, _FRAMES, 1, 1, 1)
        kinds: list[tuple[Tensor, ...]] = [(clips,), (clips, modality)]
    else:
        plane = modality.to(images).view(2, 1, 1, 1).expand_as(images[:, :1])
        kinds = [(images,), (torch.cat([images, plane], dim=1),)]
    for number, inputs in enumerate(kinds):
        # most networks of images take no modality
        optional = number and not tracklets
        with contextlib.suppress(Exception) if optional else contextlib.nullcontext(), marks:
            yield network(*inputs)


@contextlib.contextmanager
def _tested(network: nn.Module) -> Iterator[None]:
    """Inside the block the network is in eval mode; random states are restored."""
    flags = [(module, module.training) for module in network.modules()]
    devices = {p.device for p in network.parameters() if p.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=list(devices)):
            network.eval()
            yield
    finally:
        for module, flag in flags:
            module.training = flag


class _Marks(TorchDispatchMode):
    """Marks results of operations with the names of the tensors they depend on.

    Args:
        tensors: the marked ones, by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.used: set[str] = set()
        self._marks: dict[int, frozenset[str]] = {}
        for name, value in tensors.items():
            place = _place(value)
            self._marks[place] = self._marks.get(place, frozenset()) | {name}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and mark its results."""
        inputs = _tensors((args, kwargs or {}))
        marks = frozenset().union(*(self._marks.get(_place(value), ()) for value in inputs))
        result = func(*args, **(kwargs or {}))
        outputs = _tensors(result)
        if not outputs:  # a number, on which the network's code may depend
            self.used |= marks
        if func._schema.is_mutable:
            outputs += inputs
        for value in outputs:
            self._marks[_place(value)] = marks
        return result

    def use(self, answer: Any) -> None:
        """Record the marks of an answer; one without tensors may depend on everything."""
        if not _tensors(answer):
            self.used.update(*self._marks.values())
        for value in _tensors(answer):
            self.used |= self._marks.get(_place(value), frozenset())


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
