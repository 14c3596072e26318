"""Networks in ONNX files: they answer, and have no gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.base import BlackBox

_FLOAT = "tensor(float)"


class OnnxNetwork(BlackBox):
    """Normalized images (N, 3, H, W) through onnxruntime -> features (N, D).

    Args:
        session: of onnxruntime, with one input and one output.
    """

    what = "an ONNX file"

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session
        self.input = session.get_inputs()[0].name

    def forward(self, images: Tensor) -> Tensor:
        """Return what the file answers, on the device of the images."""
        pixels = images.detach().to("cpu", torch.float32).contiguous().numpy()
        (answer,) = self.session.run(None, {self.input: pixels})
        return torch.from_numpy(answer).to(images.device)


def read_onnx(path: Path, content: bytes, device: torch.device) -> OnnxNetwork:
    """Open an ONNX file; whatever it needs has to be within.

    Args:
        path: of the file, for messages.
        content: of the file.
        device: a GPU is used where onnxruntime can.

    Raises:
        ConfigError: onnxruntime is not installed, or the file is no network of images.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"'{path}' is read by onnxruntime, which is not installed; "
            "pip install 'torchreid_adv[onnx]'"
        ) from error
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # what is wrong comes as an error
    settings.intra_op_num_threads = torch.get_num_threads()  # sums are rounded in their order
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    known = onnxruntime.get_available_providers()
    providers = [one for one in (*wanted, "CPUExecutionProvider") if one in known]
    try:
        session = onnxruntime.InferenceSession(content, settings, providers=providers)
    except Exception as error:  # onnxruntime's own kinds, which share nothing but this
        raise ConfigError(
            f"'{path}' is no ONNX file that onnxruntime {onnxruntime.__version__} reads, or its "
            f"weights lie in another file: {' '.join(str(error).split())[:200]}"
        ) from error
    _check(path, session)
    return OnnxNetwork(session)


def _check(path: Path, session: Any) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ConfigError(
            f"'{path}' has the inputs {[one.name for one in inputs]} and the outputs "
            f"{[one.name for one in outputs]}; write it with the images as its one input and the "
            "features as its one output"
        )
    if (inputs[0].type, outputs[0].type) != (_FLOAT, _FLOAT):
        raise ConfigError(
            f"'{path}' is from {inputs[0].type} to {outputs[0].type}; write it in float32"
        )
