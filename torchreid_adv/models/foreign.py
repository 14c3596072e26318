"""Networks in program files, and a trial run of every foreign network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from torchreid_adv.core.given_files import given_file
from torchreid_adv.core.manifest import sha256
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.onnx_file import read_onnx
from torchreid_adv.models.output import NetworkError, in_format
from torchreid_adv.models.pixel_model import PixelModel, any_labels
from torchreid_adv.models.program_files import read_exported, read_torchscript

FILES: dict[str, Callable[[Path, bytes, torch.device], nn.Module]] = {
    "torchscript": read_torchscript,
    "export": read_exported,
    "onnx": read_onnx,
}
ENDINGS = {"torchscript": (".pt", ".pth", ".ts"), "export": (".pt2",), "onnx": (".onnx",)}
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)  # batch sizes to try
_EQUAL = 1e-7  # of unit features: smaller differences are none
_RANDOM = 5  # times the change between passes: a larger change is one of the batch
_ALONE = 1e-3  # of unit features: larger differences between alone and in a batch are not rounding


class FileNetwork(nn.Module):
    """A network from a file, always in eval mode, identified by the file's hash.

    Args:
        network: normalized images (N, 3, H, W) -> features (N, D).
        digest: SHA-256 of the file, hex.
    """

    file: Tensor
    batch = 0  # fixed batch size; 0 = any

    def __init__(self, network: nn.Module, digest: str) -> None:
        super().__init__()
        self.network = network
        self.place = nn.Parameter(torch.zeros(0), requires_grad=False)  # carries device and dtype
        self.register_buffer("file", torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8))

    def key_facts(self) -> dict[str, Any]:
        """Return what decides the features: the file, and how it is read."""
        return {"class": type(self.network).__name__, "file": bytes(self.file.tolist()).hex()}

    def train(self, mode: bool = True) -> FileNetwork:
        """Set the flag of this module only: a program cannot be changed."""
        self.training = mode
        return self

    def forward(self, images: Tensor) -> Any:
        """Return features (N, D) with the dtype of the images."""
        inputs = images.to(self.place.dtype).contiguous()
        answer = self._in_groups(inputs) if self.batch else self.network(inputs)
        return in_format(answer, images.dtype)

    def _in_groups(self, inputs: Tensor) -> Any:
        """Run groups of the file's fixed batch size; the last one is filled up."""
        missing = -len(inputs) % self.batch
        filled = torch.cat([inputs, inputs[-1:].expand(missing, -1, -1, -1)])
        answers = [self.network(group) for group in filled.split(self.batch)]

        def joined(*parts: Any) -> Any:
            return torch.cat(parts)[: len(inputs)] if isinstance(parts[0], Tensor) else parts[0]

        return tree_map(joined, *answers)


class OneByOne(nn.Module):
    """A network that is called with one image at a time.

    Args:
        network: images (1, 3, H, W) -> features (1, D).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, *further: Any) -> Any:
        """Return the concatenated outputs for N images."""
        rows = [[part[n : n + 1] for part in (images, *further)] for n in range(len(images))]
        answers = [self.network(*row) for row in rows]

        def joined(*parts: Any) -> Any:
            return torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0]

        return tree_map(joined, *answers)


def opened(kind: str, path: Path, device: torch.device) -> tuple[nn.Module, str]:
    """Open the network in a file; return it with the hash of all files it is read from."""
    content = given_file(path, f"there is no {kind} file '{path}'", ENDINGS[kind]).read_bytes()
    network = FILES[kind](path, content, device)
    return network, sha256(content + getattr(network, "further", b""))


def try_model(model: PixelModel, name: str, device: torch.device) -> None:
    """Refuse a network whose outputs are not features, or depend on the batch.

    A file with a fixed batch size is called with batches of that size from now on.
    """
    images = _trial_images(model, device)
    trials = _trials(model, images)
    faults = [error for _, error in trials if error is not None]
    if faults and isinstance(model.network, FileNetwork) and _find_batch(model, images):
        trials = _trials(model, images)
        faults = [error for _, error in trials if error is not None]
    if faults:
        raise ConfigError(_fault(faults, name, model)) from faults[0]
    _check_features(model, name, images, [features for features, _ in trials])


def check_features(model: PixelModel, name: str) -> None:
    """Refuse a network that gives useless features; one that fails on the trial is left alone.

    Args:
        model: on its device.
        name: of the network, for errors.

    Raises:
        ConfigError: see :func:`try_model`.
    """
    place = next((part.device for part in (*model.parameters(), *model.buffers())), None)
    images = _trial_images(model, place or torch.device("cpu"))
    with torch.random.fork_rng():
        trials = _trials(model, images)
        faults = [error for _, error in trials if error is not None]
        if any(isinstance(error, UselessError) for error in faults):
            raise ConfigError(f"{name} gives no features: {faults[0]}") from faults[0]
        if not faults:
            _check_features(model, name, images, [features for features, _ in trials])


class UselessError(ConfigError):
    """The network runs, and its outputs cannot be ranked."""


def _check_features(model: PixelModel, name: str, images: Tensor, trials: Sequence[Tensor]) -> None:
    """Refuse features that say nothing of an image, or that depend on its batch."""
    together, alone = (F.normalize(features.float(), dim=1) for features in trials)
    if float((together - together[:1]).abs().max()) <= _EQUAL:
        raise ConfigError(
            f"{name} gives every image the same features; are its weights and its normalization "
            "those of a trained network?"
        )
    change, between = _changes(model, images, together, alone)
    if between > _ALONE:
        warnings.warn(
            f"{name} gives an image other features in each pass, so that results cannot be "
            "repeated; was it written in train mode?",
            stacklevel=3,
        )
    if change > max(_ALONE, _RANDOM * between):
        raise ConfigError(
            f"{name} gives an image another feature in a batch than alone; was it written in train "
            "mode? Call model.eval() before writing it"
        )


def _trial_images(model: PixelModel, device: torch.device) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.rand(3, 3, *model.size, generator=draws).to(device)


def _fault(faults: Sequence[ConfigError], name: str, model: PixelModel) -> str:
    if len(faults) == 1:
        return (
            f"{name} takes batches of some lengths only: {faults[0]}; write it with a batch "
            "dimension that is dynamic"
        )
    if not isinstance(faults[0], NetworkError):
        return f"{name} gives no features: {faults[0]}"
    return (
        f"{name} gives no features for images of {model.size[0]}x{model.size[1]} pixels: "
        f"{faults[0]} Set size and normalization by data.height, data.width, data.norm_mean and "
        "data.norm_std, or in the name: onnx@HEIGHTxWIDTH"
    )


def _find_batch(model: PixelModel, images: Tensor) -> bool:
    """Find the batch size that a file takes; return whether there is one."""
    network: Any = model.network
    fixed_batch = getattr(network.network, "batch", 0)
    for batch in (fixed_batch,) if fixed_batch else BATCHES:
        network.batch = batch
        if not any(error for _, error in _trials(model, images[:1])):
            return True
    network.batch = 0
    return False


def _trials(model: PixelModel, images: Tensor) -> list[tuple[Tensor, ConfigError | None]]:
    """Return the features of all images together and of the first alone, or the errors."""
    return [_tried(model, images), _tried(model, images[:1])]


def _tried(model: PixelModel, images: Tensor) -> tuple[Tensor, ConfigError | None]:
    none = images.new_zeros(0)
    try:
        with torch.no_grad():
            features: Tensor = model(images, **any_labels(model, len(images)))
    except ConfigError as error:
        return none, error
    if not bool(features.isfinite().all()):
        return none, UselessError("the network gives NaN or infinity")
    return features, None


def _changes(
    model: PixelModel, images: Tensor, together: Tensor, alone: Tensor
) -> tuple[float, float]:
    """Return how far the features of two images change with their batch, and between passes."""
    with torch.no_grad():
        repeated, second = (
            F.normalize(model(part, **any_labels(model, len(part))).float(), dim=1)
            for part in (images, images[1:2])
        )
    change = (together[:2] - torch.cat([alone, second])).abs().max()
    return float(change), float((repeated - together).abs().max())
