"""Person_reID_baseline_pytorch of layumi: a folder with net_last.pth and opts.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.loaders import Loaded, Request, plain
from torchreid_adv.models.resnets import Stages, stages_of
from torchreid_adv.registry import LOADERS

OPTIONS, WEIGHTS = "opts.yaml", "net_last.pth"
_PARTS = 6
# networks that it builds of timm and others, whose files are not read here
_OTHER = (
    "use_dense", "use_swin", "use_swinv2", "use_convnext", "use_efficient", "use_NAS", "use_hr",
    "use_dino", "use_eva", "use_eva02", "usam", "USAM",
)  # fmt: skip


class BottleneckFeatures(nn.Module):
    """ResNet-50 and the block before the classifier, which are the features.

    Args:
        model: images -> maps.
        linear: width of the block; 0 = it is a norm alone.
    """

    def __init__(self, model: Stages, linear: int) -> None:
        super().__init__()
        layers = [nn.Linear(model.channels, linear)] if linear else []
        self.model = model
        self.classifier = nn.ModuleDict(
            {"add_block": nn.Sequential(*layers, nn.BatchNorm1d(linear or model.channels))}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, D) of normalized images."""
        features: Tensor = self.classifier["add_block"](self.model(images).mean((2, 3)))
        return features


class Parts(nn.Module):
    """PCB as it is tested: six stripes of the last maps.

    Args:
        model: images -> maps.
    """

    def __init__(self, model: Stages) -> None:
        super().__init__()
        self.model, self.avgpool = model, nn.AdaptiveAvgPool2d((_PARTS, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, C, 6) of normalized images."""
        features: Tensor = self.avgpool(self.model(images)).flatten(2)
        return features


@LOADERS.register("layumi", weights=True, example="layumi:model/ft_ResNet50")
def layumi(request: Request) -> Loaded:
    """Read ``layumi:FOLDER``, also ``layumi:FOLDER/net_59.pth``: ResNet-50, IBN-a and PCB.

    Pillow bicubic, 256x128, PCB 384x192, ImageNet; features of the image and of its mirror are
    added, those of PCB's parts are unit vectors.

    Raises:
        ConfigError: no opts.yaml, or another network than ResNet-50.
    """
    (source,) = request.taken("FOLDER")
    path = local_file(source)
    path = path / WEIGHTS if path.is_dir() else path
    options = _options(path.parent)
    other = [name for name in _OTHER if options.get(name)]
    if other:
        raise ConfigError(
            f"'{source}' was trained with {other[0]}, and the format layumi reads ResNet-50, IBN-a "
            "and PCB; let a function of yours build it: python:module:function"
        )
    parts = bool(options.get("PCB"))
    state = request.state(str(path), without=_is_unused_by_parts if parts else _is_head)
    stride = 1 if parts else int(options.get("stride", 2))
    model = stages_of(map(plain, state.tensors), "model.", last_stride=stride, relu=True)
    if parts:
        return Loaded(
            state.into(Parts(model)),
            {"size": (384, 192), "resize": "bicubic", "flip": "sum", "parts": "unit"},
        )
    linear = state.find("classifier.add_block.0.weight")
    width = 0 if linear is None or linear.ndim < 2 else len(linear)
    settings = {"size": (256, 128), "resize": "bicubic", "flip": "sum"}
    return Loaded(state.into(BottleneckFeatures(model, width)), settings)


def _options(folder: Path) -> dict[str, Any]:
    path = folder / OPTIONS
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"'{path}' cannot be read, which has the options of the training; keep the training's "
            f"{OPTIONS} next to its weights"
        ) from error
    return options if isinstance(options, dict) else {}


def _is_head(name: str) -> bool:
    return name.startswith(("model.fc.", "classifier.classifier."))


def _is_unused_by_parts(name: str) -> bool:
    return name.startswith(("model.fc.", "classifier"))
