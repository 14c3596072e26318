"""Folders of Roboflow's reid: reid_config.json and weights.safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.formats.timm_models import create
from torchreid_adv.models.loaders import Loaded, Request, State, built, needed
from torchreid_adv.models.stated import INTERPOLATIONS
from torchreid_adv.registry import LOADERS

CONFIG, WEIGHTS = "reid_config.json", "weights.safetensors"
_SBS = "fastreid_sbs_resnest50"


@LOADERS.register("reid", weights=True, example="reid:FOLDER")
def reid(request: Request) -> Loaded:
    """Read ``reid:FOLDER``, or ``reid:NAME:FILE`` with a name of its architectures.

    OSNets are read without the package, ``timm:...`` by timm, its SBS network by the package. Size,
    interpolation, mean, std and letterbox are those of the folder; without one Pillow bilinear,
    256x128 (SBS 384x128), ImageNet.

    Raises:
        ConfigError: no such folder, an unknown architecture, or a missing package.
    """
    parts = request.parts
    folder = Path(request.entry.source).expanduser()
    if folder.is_dir():
        config = _config(folder / CONFIG)
        name, weights = str(config.get("architecture", "")), str(folder / WEIGHTS)
        settings = _settings(config.get("preprocessing", {}))
    elif len(parts) >= 2:
        name, weights, settings = ":".join(parts[:-1]), parts[-1], {"resize": "pillow"}
        settings |= {"size": (384, 128) if name == _SBS else (256, 128)}
    else:
        raise ConfigError(f"there is no folder '{folder}'; write reid:FOLDER or reid:NAME:FILE")
    state = request.state(weights)
    return Loaded(_network(name, state, request), settings)


def _network(name: str, state: State, request: Request) -> nn.Module:
    if name.startswith("osnet"):
        from torchreid_adv.models.loading import build_network  # which knows the formats

        return state.into(build_network(name, classes=state.rows("classifier.weight")))
    if name.startswith("timm:"):
        library = needed("timm", of="reid", pip="timm")
        with built(f"timm's network '{name}'"):
            timm_name = name.removeprefix("timm:")
            network = create(library, timm_name, request.entry.size, pretrained=False)
        return state.into(network)
    if name != _SBS:
        raise ConfigError(
            f"'{name}' is not an architecture of reid; known: osnet_*, timm:NAME, {_SBS}"
        )
    package = needed("reid.architectures.fastreid_sbs", of="reid", pip="reid")
    with built(f"reid's network '{name}'"):
        network = package.build_fastreid_sbs_resnest50(num_classes=0, pretrained=False)
        tensors = package.remap_fastreid_sbs_state_dict(dict(state.tensors))
    return State(state.path, tensors).into(network)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise ConfigError(f"'{path}' names no architecture")
    return config


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the folder says of preprocessing.

    Raises:
        ConfigError: an interpolation that is not known here.
    """
    interpolation = config.get("interpolation", "bilinear")
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(
            f"{CONFIG} says the interpolation '{interpolation}', which is not one of "
            f"{', '.join(INTERPOLATIONS)}"
        )
    settings: dict[str, Any] = {"resize": INTERPOLATIONS[interpolation]}
    settings["size"] = tuple(config.get("input_size", (256, 128)))
    settings |= {name: tuple(config[name]) for name in ("mean", "std") if name in config}
    if config.get("resize_mode") == "letterbox":
        settings |= {"letterbox": "corner", "pad": (int(config.get("pad_value", 114)),) * 3}
    return settings
