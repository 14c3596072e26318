"""Weights that trackers of boxmot use: torchreid's networks, and its own where it is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.loaders import Loaded, Request, State, built, needed
from torchreid_adv.registry import LOADERS

# networks with torchreid's tensors and torchreid's answers
SHARED = (
    "osnet_ain_x1_0", "osnet_ain_x0_75", "osnet_ain_x0_5", "osnet_ain_x0_25", "osnet_ibn_x1_0",
    "osnet_x1_0", "osnet_x0_75", "osnet_x0_5", "osnet_x0_25", "resnet50_fc512", "resnet50",
    "resnet101", "mlfn", "hacnn", "mobilenetv2_x1_0", "mobilenetv2_x1_4",
)  # fmt: skip
_TALL = ("lmbn", "csl", "mobilenetv4", "hiafa", "hi_afa")
_PAD = (124, 116, 104)  # red, green, blue around its letterbox


@LOADERS.register("boxmot", weights=True, example="boxmot:osnet_x0_25_msmt17.pt")
def boxmot(request: Request) -> Loaded:
    """Read ``boxmot:FILE``, or ``boxmot:NAME:FILE`` where the file's name does not say it.

    OpenCV's bilinear resize without antialiasing, ImageNet; 256x128, HACNN 160x64, LMBN, CSL,
    MobileNetV4 and HiAFA 384x128, files of ``veri`` and ``vehicleid`` 256x256. OSNets and other
    networks of torchreid's are read without the package; its own need it.

    Raises:
        ConfigError: a name without a network, or a network of boxmot's without the package.
    """
    parts = request.taken("NAME", "FILE", least=1)
    file = parts[1] or parts[0]
    path = local_file(file)
    content = read_checkpoint(path, inert=True)
    name = parts[0] if parts[1] else str(content.get("model_name", "")) or _named(path)
    state = State(path, request.state(str(path)).tensors)
    if "state_dict" in content and "model_name" in content:  # its "model" does not hold weights
        weights = {n: v for n, v in state.tensors.items() if n.startswith("state_dict/")}
        state = State(path, weights)
    network = _shared(name, state) if name in SHARED else _own(name, state, content)
    settings = {"size": _size(name, path.name), "resize": "cv2", "pad": _PAD}
    return Loaded(network, settings)


def _named(path: Path) -> str:
    """Return the network that a file's name begins with, "" for none."""
    names = sorted(SHARED, key=len, reverse=True)
    return next((name for name in names if path.name.startswith(name)), "")


def _shared(name: str, state: State) -> nn.Module:
    from torchreid_adv.models.loading import build_network  # which knows the formats

    return state.into(build_network(name, classes=state.rows("classifier.weight")))


def _own(name: str, state: State, content: Mapping[str, Any]) -> nn.Module:
    package = needed("boxmot.reid.backbones", of="boxmot", pip="boxmot")
    known = package.registered_backbone_names()
    if not name:
        names = sorted(known, key=len, reverse=True)
        name = next((n for n in names if state.path.name.startswith(n)), "")
    if name not in known:
        raise ConfigError(
            f"the name of '{state.path.name}' says no network of boxmot's; write "
            f"boxmot:NAME:{state.path.name}"
        )
    settings = content.get("model_kwargs", {})
    with built(f"boxmot's network '{name}'"):
        network = package.get_backbone_builder(name)(
            num_classes=_classes(state, content),
            loss="softmax",
            pretrained=False,
            use_gpu=False,
            **(settings if isinstance(settings, dict) else {}),
        )
    return state.into(network)


def _classes(state: State, content: Mapping[str, Any]) -> int:
    classes = content.get("num_classes")
    if isinstance(classes, int) and classes > 0:
        return classes
    heads = (v for n, v in state.tensors.items() if re.search(r"classifier[^/]*\.weight$", n))
    return max((len(weight) for weight in heads if weight.ndim == 2), default=1)


def _size(name: str, file: str) -> tuple[int, int]:
    if "veri" in file or "vehicleid" in file:
        return 256, 256
    if name == "hacnn":
        return 160, 64
    return (384, 128) if name.startswith(_TALL) else (256, 128)
