"""Networks in ONNX files, which have no gradient."""

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
    """Normalized images (N, 3, H, W) through onnxruntime -> features (N, D), or several outputs.

    Args:
        session: onnxruntime session with one input.
        external: name -> content of the external files with weights.
    """

    what = "an ONNX file"

    def __init__(self, session: Any, external: Mapping[str, bytes]) -> None:
        super().__init__()
        self.session = session
        entry = session.get_inputs()[0]
        self.input, self.dtype = entry.name, _FLOATS[entry.type]
        self.outputs = [output.name for output in session.get_outputs()]
        self.further = b"".join(hashlib.sha256(part).digest() for part in external.values())

    @property
    def batch(self) -> int:
        """Fixed batch size of the file, 0 for any."""
        length = next(iter(self.session.get_inputs()[0].shape), None)
        return length if isinstance(length, int) and length > 0 else 0

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the file's outputs on the device of the images: one tensor, or by name."""
        pixels = images.detach().to("cpu", self.dtype).contiguous().numpy()
        answers = self.session.run(None, {self.input: pixels})
        results = {
            name: torch.from_numpy(answer).to(images.device)
            for name, answer in zip(self.outputs, answers, strict=True)
        }
        return results if len(results) > 1 else next(iter(results.values()))


def read_onnx(path: Path, content: bytes, device: torch.device) -> OnnxNetwork:
    """Open an ONNX file; external weights are read from its folder.

    Args:
        path: path of the file.
        content: content of the file.
        device: a GPU is used if onnxruntime can.

    Raises:
        ConfigError: onnxruntime is not installed, the file is not a network of images, or an
            external file with weights is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"'{path}' is read by onnxruntime, which is not installed; "
            "pip install 'torchreid_adv[onnx]'"
        ) from error
    external = external_weights(path, content)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # problems are raised as errors
    settings.intra_op_num_threads = torch.get_num_threads()  # the rounding of sums depends on it
    if external:  # passed explicitly, so that no file of the working folder is used instead
        names, parts = list(external), list(external.values())
        settings.add_external_initializers_from_files_in_memory(names, parts, list(map(len, parts)))
    gpu_providers = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    known = onnxruntime.get_available_providers()
    providers = [
        provider for provider in (*gpu_providers, "CPUExecutionProvider") if provider in known
    ]
    try:
        session = onnxruntime.InferenceSession(content, settings, providers=providers)
    except Exception as error:  # onnxruntime's errors have no other common base
        raise ConfigError(
            f"'{path}' is not an ONNX file that onnxruntime {onnxruntime.__version__} reads: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    _check(path, session)
    return OnnxNetwork(session, external)


def _check(path: Path, session: Any) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ConfigError(
            f"'{path}' has the inputs {[entry.name for entry in inputs]}; write it with the images "
            "as its one input"
        )
    if inputs[0].type not in _FLOATS:
        raise ConfigError(f"'{path}' takes {inputs[0].type}; write it in float32")
