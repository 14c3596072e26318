"""Files of programs (TorchScript, torch.export, ONNX), and functions of the user's own."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.foreign import FileNetwork, opened
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.inputs import NUMPY, UINT8
from torchreid_adv.models.loaders import Loaded, Request
from torchreid_adv.models.stated import known_settings
from torchreid_adv.registry import LOADERS, resolve

PYTHON = "python"
_EXAMPLE = "my_networks:build"


@LOADERS.register("torchscript", file=True, example="torchscript@256x128:net.pt")
def torchscript(request: Request) -> Loaded:
    """Load what ``torch.jit.save`` wrote."""
    return _program("torchscript", request)


@LOADERS.register("export", file=True, example="export@256x128:net.pt2")
def export(request: Request) -> Loaded:
    """Load what ``torch.export.save`` wrote."""
    return _program("export", request)


@LOADERS.register("onnx", file=True, example="onnx@256x128@0.5/0.25:net.onnx")
def onnx(request: Request) -> Loaded:
    """Open an ONNX file, which has no gradient."""
    return _program("onnx", request)


def _program(kind: str, request: Request) -> Loaded:
    path: Path = local_file(request.entry.source)
    network = FileNetwork(*opened(kind, path, request.device))
    if request.option("batch") == "1":
        network.batch = 1
    return Loaded(network)


@LOADERS.register(PYTHON, example="python@256x128:my_networks:build(depth=50)")
def python(request: Request) -> Loaded:
    """Call ``module:function``, with keywords in parentheses where there are any.

    It returns a module, or a PixelModel that has its own size, mean and std. With ``@input=uint8``
    or ``@input=numpy`` it may return any function from images to features.

    Raises:
        ConfigError: no such function, arguments other than plain values, or no module.
    """
    source = request.entry.source
    name, keywords = _call(source)
    build = resolve(name, kind="network", example=_EXAMPLE)
    try:
        network = build(**keywords)
    except Exception as error:  # whatever a user's function raises
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"the network '{source}' cannot be built: {reason}") from error
    if callable(network) and request.option("input") in (UINT8, NUMPY):
        return Loaded(network if isinstance(network, nn.Module) else Called(network))
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"'{source}' returns a torch.nn.Module when it is called, got {type(network).__name__}"
        )
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        raise ConfigError(f"'{source}' returns a network on the device 'meta', without values")
    return Loaded(network, known_settings(network))


class Called(nn.Module):
    """A function from images to features, as a module.

    Args:
        function: of the user's own.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Any) -> Any:
        """Return what the function answers."""
        return self.function(images)


def _call(source: str) -> tuple[str, Mapping[str, Any]]:
    """Return the function's name and the keywords of its call, which are literals."""
    name, parenthesis, arguments = source.partition("(")
    if not parenthesis:
        return source, {}
    try:
        call = ast.parse(f"f({arguments}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            raise ValueError("only keywords")
        return name, {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if _named(k)}
    except (SyntaxError, ValueError) as error:
        raise ConfigError(
            f"'{source}' is written module:function(key=value, ...), with numbers, quoted texts, "
            "True, False, None, lists or dictionaries as values"
        ) from error


def _named(keyword: ast.keyword) -> bool:
    if keyword.arg is None:
        raise ValueError("** is not a keyword")
    return True
