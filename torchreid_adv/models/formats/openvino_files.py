"""OpenVINO's intermediate representation: an .xml file, and its weights in a .bin file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.core.manifest import sha256
from torchreid_adv.errors import ConfigError, printable
from torchreid_adv.models.foreign import FileNetwork
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.loaders import Loaded, Request, needed
from torchreid_adv.models.pixel_model import BlackBox
from torchreid_adv.registry import LOADERS

# floats of 32 bits on processors that would choose fewer
_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
_FLOATS = ("f32", "float32")


class OpenVinoNetwork(BlackBox):
    """Normalized images (N, 3, H, W) through OpenVINO -> features (N, D), or several results.

    Args:
        compiled: model of OpenVINO, with one input.
        names: of its outputs.
        batch: images that it takes at a time; 0 = any number.
    """

    what = "an OpenVINO file"

    def __init__(self, compiled: Any, names: list[str], batch: int) -> None:
        super().__init__()
        self.compiled, self.names, self.batch = compiled, names, batch

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Return what the file answers, on the device of the images: one tensor, or by name."""
        pixels = images.detach().to("cpu", torch.float32).contiguous().numpy()
        answers = self.compiled([pixels])
        outputs = {
            name: torch.from_numpy(answers[place].copy()).to(images.device)
            for place, name in enumerate(self.names)
        }
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))


@LOADERS.register("openvino", file=True, example="openvino@256x128@order=bgr@range=255:net.xml")
def openvino(request: Request) -> Loaded:
    """Open ``openvino:FILE.xml`` on the processor, in float32; it has no gradient.

    The size is that of the file. The batch size is made variable if the file allows it.

    Raises:
        ConfigError: OpenVINO is not installed, the .bin file is missing, or the network does not
            take images.
    """
    path = local_file(request.entry.source)
    weights = path.with_suffix(".bin")
    for file in (path, weights):
        if not file.is_file():
            raise ConfigError(
                f"there is no file '{file}'; OpenVINO's representation is an .xml file and, in the "
                "same folder, a .bin file of the same name with its weights"
            )
    core = needed("openvino", of="openvino", pip="openvino").Core()
    try:
        model = core.read_model(str(path), str(weights))
        size = _size(path, model)
        batch = _any_batch(model, size)
        compiled = core.compile_model(model, "CPU", _EXACT)
    except ConfigError:
        raise
    except Exception as error:  # OpenVINO's own kinds
        reason = printable(" ".join(str(error).split())[:200]) or type(error).__name__
        raise ConfigError(f"OpenVINO cannot read '{path}': {reason}") from error
    names = [_name_of(output, place) for place, output in enumerate(compiled.outputs)]
    digest = sha256(path.read_bytes() + weights.read_bytes())
    network = FileNetwork(OpenVinoNetwork(compiled, names, batch), digest)
    network.batch = 1 if request.option("batch") == "1" else batch
    return Loaded(network, {} if size is None else {"size": size})


def _size(path: Path, model: Any) -> tuple[int, int] | None:
    """Return height and width that a file takes, None for any.

    Raises:
        ConfigError: several inputs, another shape, or another number format.
    """
    if len(model.inputs) != 1:
        raise ConfigError(f"'{path}' has {len(model.inputs)} inputs; write it with images alone")
    (entry,) = model.inputs
    shape = entry.get_partial_shape()
    fits = shape.rank.is_static and len(shape) == 4 and _length(shape[1]) in (0, 3)
    if not fits or entry.get_element_type().get_type_name() not in _FLOATS:
        raise ConfigError(
            f"'{path}' takes {entry.get_element_type().get_type_name()} of the shape {shape}; "
            "write it with float32 images (N, 3, height, width)"
        )
    height, width = _length(shape[2]), _length(shape[3])
    return (height, width) if height and width else None


def _any_batch(model: Any, size: tuple[int, int] | None) -> int:
    """Let a file take any number of images, where it can; return the number else, 0 for any."""
    (entry,) = model.inputs
    fixed = _length(entry.get_partial_shape()[0])
    if not fixed:
        return 0
    with contextlib.suppress(Exception):  # a constant shape inside, which is OpenVINO's to find
        height, width = size or (-1, -1)
        model.reshape([-1, 3, height, width])
        shapes = [output.get_partial_shape() for output in model.outputs]
        if all(not _length(shape[0]) for shape in shapes):
            return 0
    model.reshape([fixed, 3, *(size or (-1, -1))])
    return fixed


def _length(dimension: Any) -> int:
    """Return a dimension's length, 0 where it is open."""
    return int(dimension.get_length()) if dimension.is_static else 0


def _name_of(output: Any, place: int) -> str:
    return str(min(output.get_names(), default=f"output {place}"))
