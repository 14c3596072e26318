"""Networks in ONNX files: they answer, and have no gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.onnx_weights import external_weights
from torchreid_adv.models.pixel_model import BlackBox

_FLOATS = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
}


class OnnxNetwork(BlackBox):
    """Normalized images (N, 3, H, W) through onnxruntime -> features (N, D), or several results.

    Args:
        session: of onnxruntime, with one input.
        beside: files from which it took weights, by name.
    """

    what = "an ONNX file"

    def __init__(self, session: Any, beside: Mapping[str, bytes]) -> None:
        super().__init__()
        self.session = session
        entry = session.get_inputs()[0]
        self.input, self.dtype = entry.name, _FLOATS[entry.type]
        self.outputs = [found.name for found in session.get_outputs()]
        self.further = b"".join(hashlib.sha256(part).digest() for part in beside.values())

    @property
    def batch(self) -> int:
        """How many images the file takes at a time, 0 for any number."""
        length = next(iter(self.session.get_inputs()[0].shape), None)
        return length if isinstance(length, int) and length > 0 else 0

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Return what the file answers, on the device of the images: one tensor, or by name."""
        pixels = images.detach().to("cpu", self.dtype).contiguous().numpy()
        answers = self.session.run(None, {self.input: pixels})
        found = {
            name: torch.from_numpy(answer).to(images.device)
            for name, answer in zip(self.outputs, answers, strict=True)
        }
        return found if len(found) > 1 else next(iter(found.values()))


def read_onnx(path: Path, content: bytes, device: torch.device) -> OnnxNetwork:
    """Open an ONNX file; weights in other files are read from its own folder.

    Args:
        path: of the file.
        content: of the file.
        device: a GPU is used where onnxruntime can.

    Raises:
        ConfigError: onnxruntime is not installed, the file is no network of images, or a file with
            weights is not beside it.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"'{path}' is read by onnxruntime, which is not installed; "
            "pip install 'torchreid_adv[onnx]'"
        ) from error
    beside = external_weights(path, content)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # what is wrong comes as an error
    settings.intra_op_num_threads = torch.get_num_threads()  # sums are rounded in their order
    if beside:  # handed over, so that no file of the working folder is taken for one of them
        names, parts = list(beside), list(beside.values())
        settings.add_external_initializers_from_files_in_memory(names, parts, list(map(len, parts)))
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    known = onnxruntime.get_available_providers()
    providers = [one for one in (*wanted, "CPUExecutionProvider") if one in known]
    try:
        session = onnxruntime.InferenceSession(content, settings, providers=providers)
    except Exception as error:  # onnxruntime's own kinds, which share nothing but this
        raise ConfigError(
            f"'{path}' is no ONNX file that onnxruntime {onnxruntime.__version__} reads: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    _check(path, session)
    return OnnxNetwork(session, beside)


def _check(path: Path, session: Any) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ConfigError(
            f"'{path}' has the inputs {[one.name for one in inputs]}; write it with the images as "
            "its one input"
        )
    if inputs[0].type not in _FLOATS:
        raise ConfigError(f"'{path}' takes {inputs[0].type}; write it in float32")
