"""Networks that torchreid does not know: TorchScript, exported programs, ONNX, Python callables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.manifest import sha256
from torchreid_adv.models.onnx_file import read_onnx
from torchreid_adv.models.pixel_model import PixelModel
from torchreid_adv.models.program_files import read_exported, read_torchscript
from torchreid_adv.registry import resolve

FILES: dict[str, Callable[[Path, bytes, torch.device], nn.Module]] = {
    "torchscript": read_torchscript,
    "export": read_exported,
    "onnx": read_onnx,
}
PYTHON = "python"
FORMATS = (*FILES, PYTHON)  # names that stand for no network of torchreid's
_ALONE = 1e-3  # of unit features: more between alone and in a batch is no rounding


class FileNetwork(nn.Module):
    """A network from a file: always in eval mode, told apart by the file's hash.

    Args:
        network: normalized images (N, 3, H, W) -> features (N, D).
        digest: SHA-256 of the file, hex.
    """

    file: Tensor

    def __init__(self, network: nn.Module, digest: str) -> None:
        super().__init__()
        self.network = network
        self.place = nn.Parameter(torch.zeros(0), requires_grad=False)  # has device and format
        self.register_buffer("file", torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8))

    def key_facts(self) -> dict[str, Any]:
        """Return what decides the features: the file, and how it is read."""
        return {"class": type(self.network).__name__, "file": bytes(self.file.tolist()).hex()}

    def train(self, mode: bool = True) -> FileNetwork:
        """Set the flag of this module alone: a program cannot be changed any more."""
        self.training = mode
        return self

    def forward(self, images: Tensor) -> Any:
        """Return features (N, D) in the format the images came in."""
        found = self.network(images.to(self.place.dtype).contiguous())
        floats = isinstance(found, Tensor) and found.is_floating_point()
        return found.to(images.dtype) if floats else found  # the rest is refused when it is tried


def load_foreign(
    kind: str,
    source: str | Path,
    *,
    size: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device,
) -> PixelModel:
    """Load a network of one of :data:`FORMATS`, in eval mode, and try it on random pixels.

    Args:
        kind: ``torchscript``, ``export``, ``onnx``, or ``python``.
        source: the file; for ``python`` ``module:function``, called without arguments, which
            returns the network, or a PixelModel that has its own size, mean and std.
        size: height and width of its input.
        mean: normalization of its input.
        std: normalization of its input.
        device: where to put it.

    Raises:
        ConfigError: no such file or function, a file of another format, or a network that does not
            take batches of such images or gives no features (N, D) for them.
    """
    device = torch.device(device)
    if kind == PYTHON:
        network = _called(str(source))
    else:
        content = _content(kind, Path(source))
        network = FileNetwork(FILES[kind](Path(source), content, device), sha256(content))
    model = network
    if not isinstance(model, PixelModel):
        model = PixelModel(network, size=size, mean=mean, std=std)
    model = model.to(device).eval()
    _try(model, f"'{source}'", device)
    return model


def _called(source: str) -> nn.Module:
    """Return what a Python callable gives."""
    build = resolve(source, kind="network", example="my_networks:build")
    try:
        network = build()
    except Exception as error:  # whatever a user's function raises
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"the network '{source}' cannot be built: {reason}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"'{source}' returns a torch.nn.Module when it is called without arguments, got "
            f"{type(network).__name__}"
        )
    return network


def _content(kind: str, path: Path) -> bytes:
    if not path.is_file():
        raise ConfigError(f"there is no {kind} file '{path}'")
    return path.read_bytes()


def _try(model: PixelModel, name: str, device: torch.device) -> None:
    """Refuse a network whose answers are no features, or depend on the batch."""
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, *model.size, generator=draws).to(device)
    trials = {count: _tried(model, images[:count]) for count in (3, 1)}
    bad = {count: fault for count, (_, fault) in trials.items() if fault}
    shape = f"{model.size[0]}x{model.size[1]}"
    if len(bad) == 1:
        ((count, fault),) = bad.items()
        raise ConfigError(
            f"{name} takes batches of one size only, and none of {count}: {fault}; write it with a "
            "batch dimension that is dynamic"
        )
    if bad:
        raise ConfigError(
            f"{name} gives no features for images of {shape} pixels: {bad[3]}; does it take this "
            "size (data.height and data.width, or label=name@HEIGHTxWIDTH:file) and batches of any "
            "length?"
        )
    together, alone = (F.normalize(trials[count][0].float(), dim=1) for count in (3, 1))
    if isinstance(model.network, FileNetwork) and not _same(model, images, together, alone):
        raise ConfigError(
            f"{name} gives an image another feature in a batch than alone; was it written in train "
            "mode? Call model.eval() before writing it"
        )


def _tried(model: PixelModel, images: Tensor) -> tuple[Tensor, str]:
    """Return the features (N, D) of random pixels, and what is wrong with them, "" for nothing."""
    none = images.new_zeros(0)
    try:
        with torch.no_grad():
            found: Any = model(images)
    except ConfigError:
        raise
    except Exception as error:  # whatever a network or its runtime raises
        reason = " ".join(str(error).split())[:200]
        return none, f"it fails with '{reason or type(error).__name__}'"
    if not isinstance(found, Tensor):
        return none, f"it gives a {type(found).__name__}, and features are one tensor"
    if found.ndim != 2 or len(found) != len(images) or not found.is_floating_point():
        given = f"{str(found.dtype).removeprefix('torch.')} {tuple(found.shape)}"
        return none, f"it gives {given}, and features are floats ({len(images)}, D)"
    if not bool(found.isfinite().all()):
        return none, "it gives NaN or infinity"
    return found, ""


def _same(model: PixelModel, images: Tensor, together: Tensor, alone: Tensor) -> bool:
    """Tell whether an image's feature changes with its batch by no more than from pass to pass."""
    with torch.no_grad():
        again = F.normalize(model(images).float(), dim=1)
    least = max(_ALONE, 2 * float((again - together).abs().max()))
    return float((together[:1] - alone).abs().max()) <= least
