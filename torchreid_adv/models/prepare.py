"""Models prepared for many gradients of their input, and restored afterward."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from torchreid_adv.core.faults import out_of_memory
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.cuda import Graphed
from torchreid_adv.models.output import NetworkError, in_format
from torchreid_adv.models.pixel_model import PixelModel, any_labels, black_box, frozen

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
FUSE: dict[type[nn.Module], Any] = {
    nn.Conv2d: fuse_conv_bn_eval,
    nn.Linear: fuse_linear_bn_eval,
}
NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)


class Ready(nn.Module):
    """A model that attacks use without further preparation.

    Args:
        model: a PixelModel, or a module around some; it gets all arguments.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, **keywords: Any) -> Tensor:
        """Return the model's features (N, D) in fp32."""
        features: Tensor = self.model(images, **keywords)
        return features


class Prepared(Ready):
    """A frozen copy of a model in eval mode, with folded BatchNorm; same arguments.

    Args:
        model: a PixelModel, or a module around some.
        images: (N, [T,] 3, H, W) in [0, 1]; one is used to see which BatchNorm follows which layer.
        precision: ``fp32`` or ``bf16``, the number format inside the networks.
        graphs: on a GPU, replay passes as CUDA graphs; not if a gradient is differentiated again.

    Raises:
        ConfigError: the model cannot be copied, fails, or does not have this precision.
    """

    def __init__(
        self, model: nn.Module, images: Tensor, *, precision: str = "fp32", graphs: bool = True
    ) -> None:
        _check_precision(model, precision)
        super().__init__(_copied(model))
        self.model.zero_grad(set_to_none=True)
        pair = torch.cat([images[:1], images[:1]])  # a single image hides incompatible layouts
        labels = {k: v.to(images.device) for k, v in any_labels(self.model, 2).items()}
        names = {module: name for name, module in self.model.named_modules()}
        folds = fold_batchnorm(self.model, pair, **labels)
        self.folds = {names[layer]: names[norm] for layer, norm in folds}  # before InFormat
        self.modules_by_name = dict(self.model.named_modules())
        formats, layout = [], _layout(images, precision)
        for part in list(self.model.modules()):
            if isinstance(part, PixelModel):
                part.network = InFormat(part.network, PRECISIONS[precision], layout)
                formats.append(part.network)
        try:
            with torch.no_grad():
                self.model(pair, **labels)
        except NetworkError:  # some networks view their maps as rows, such as PCB
            for part in formats:
                part.layout(torch.contiguous_format)
        if graphs and images.is_cuda:
            for part in formats:
                part.network = Graphed(part.network)


def _check_precision(model: nn.Module, precision: str) -> None:
    """Refuse a precision that has no effect on a model."""
    if precision == "fp32":
        return
    parts = [part.network for part in model.modules() if isinstance(part, PixelModel)]
    reason = next(filter(None, map(black_box, parts)), "" if parts else type(model).__name__)
    if reason:
        raise ConfigError(
            f"adv.attack.precision {precision} has no effect on {reason}, which computes in its "
            "own; set adv.attack.precision fp32"
        )


def _layout(images: Tensor, precision: str) -> torch.memory_format:
    """Return the memory layout: on a GPU only half precision gains from channels-last."""
    last = precision != "fp32" or not images.is_cuda
    return torch.channels_last if last else torch.contiguous_format


class InFormat(nn.Module):
    """A network in a number format and memory layout; inputs and outputs do not change."""

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.network = network if dtype == torch.float32 else network.to(dtype)
        self.layout(layout)
        self.training = network.training

    def layout(self, memory_format: torch.memory_format) -> None:
        """Set the memory format of the weights, and of images from now on."""
        self.memory_format = memory_format
        self.network.to(memory_format=memory_format)

    def forward(self, images: Tensor, *further: Any) -> Any:
        """Return the network's outputs, with the dtype of the images."""
        inside = images.dtype if self.dtype == torch.float32 else self.dtype
        is_image = images.ndim == 4  # not tracklets
        memory_format = self.memory_format if is_image else torch.contiguous_format
        answer = self.network(images.to(inside, memory_format=memory_format), *further)
        return in_format(answer, images.dtype)


@contextlib.contextmanager
def prepared(
    model: nn.Module, images: Tensor, *, precision: str = "fp32", graphs: bool = True
) -> Iterator[nn.Module]:
    """Yield the prepared form of a model, prepared now unless it is already.

    A model that cannot be copied is used itself, in fp32: frozen and in eval mode inside the block;
    its flags are restored afterward, also after an error.

    Raises:
        ConfigError: the model cannot be copied and another precision is set, or it fails.
    """
    if isinstance(model, Ready):
        yield model
        return
    with copied_or_frozen(
        model, lambda: Prepared(model, images, precision=precision, graphs=graphs), precision
    ) as ready:
        yield ready


@contextlib.contextmanager
def copied_or_frozen(
    model: nn.Module, copy_of: Callable[[], nn.Module], precision: str
) -> Iterator[nn.Module]:
    """Yield a prepared copy; if there is none in fp32, the model itself, frozen inside the block.

    Args:
        model: the model that is copied.
        copy_of: returns the copy.
        precision: ``fp32``, or another, which only a copy can have.

    Raises:
        ConfigError: the model cannot be copied and another precision is set, or it fails.
    """
    try:
        ready = copy_of()
    except CopyError:
        if precision != "fp32":
            raise
        with frozen(model):
            yield model
        return
    yield ready


class CopyError(ConfigError):
    """``copy.deepcopy`` cannot copy the model."""


def _copied(model: nn.Module) -> nn.Module:
    """Return a frozen copy in eval mode."""
    try:
        return copy.deepcopy(model).eval().requires_grad_(False)
    except Exception as error:  # parts of a model may raise anything
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise CopyError(
            f"the network cannot be copied ({reason}), which adv.attack.precision bf16 and fitted "
            "attacks need; set adv.attack.precision fp32, or make it a module that copy.deepcopy "
            "copies"
        ) from error


def fold_batchnorm(
    model: nn.Module, images: Tensor, **labels: Tensor
) -> list[tuple[nn.Module, nn.Module]]:
    """Fold eval-mode BatchNorm into the layer before it, in place, if that changes nothing.

    The pairs are found in one forward pass: a BatchNorm whose input is exactly the output of a
    convolution or linear layer, each called once. If the model's features then differ (the output
    was also used elsewhere), the model is restored.

    Returns:
        the folded pairs: each layer with the BatchNorm after it.
    """
    before, pairs = _watch(model, images, labels)
    homes = {
        module: (parent, name)
        for parent in model.modules()
        for name, module in parent.named_children()
    }
    undo = []
    for layer, norm in pairs:
        for module, new in ((layer, FUSE[type(layer)](layer, norm)), (norm, nn.Identity())):
            parent, name = homes[module]
            undo.append((parent, name, module))
            setattr(parent, name, new)
    with torch.no_grad():
        after = model(images, **labels)
    if torch.allclose(before, after, rtol=1e-3, atol=1e-4 * float(before.abs().max())):
        return pairs
    for parent, name, module in undo:
        setattr(parent, name, module)
    return []


def _watch(
    model: nn.Module, images: Tensor, labels: dict[str, Tensor]
) -> tuple[Tensor, list[tuple[nn.Module, nn.Module]]]:
    outputs: dict[int, nn.Module] = {}
    alive: list[Tensor] = []  # keeps ids from being reused
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[nn.Module, nn.Module]] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, NORMS) and inputs and id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])], module))
        elif type(module) in FUSE:
            outputs[id(output)] = module
            alive.append(output)

    watched = [m for m in model.modules() if type(m) in FUSE or isinstance(m, NORMS)]
    handles = [module.register_forward_hook(record) for module in watched]
    try:
        with torch.no_grad():
            features = model(images, **labels)
    finally:
        for handle in handles:
            handle.remove()
    return features, [(a, b) for a, b in pairs if calls[a] == calls[b] == 1 and _plain(b)]


def _plain(norm: nn.Module) -> bool:
    return bool(getattr(norm, "track_running_stats", False))
