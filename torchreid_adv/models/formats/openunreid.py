"""OpenUnReID: ResNets of unsupervised domain adaptation, also those of mean teachers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.loaders import Loaded, Request, State, plain
from torchreid_adv.models.resnets import Pooled, Stages, stages_of
from torchreid_adv.registry import LOADERS

_TEACHER = ".mean_net."  # its network is the one that is tested
_POOLS = {"avg": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
_DOMAIN = re.compile(r"(.*)\.dsbn\.(\d+)\.(\w+)")


class OpenUnReID(nn.Module):
    """Backbone, pooling, an optional embedding, and a norm.

    Args:
        backbone: images -> maps.
        pool: maps (N, C, h, w) -> (N, C, 1, 1).
        embedded: features of the embedding; 0 = there is none.
    """

    def __init__(self, backbone: Stages, pool: nn.Module, embedded: int) -> None:
        super().__init__()
        self.backbone, self.global_pooling = backbone, pool
        width = embedded or backbone.channels
        parts: dict[str, nn.Module] = {"feat_bn": nn.BatchNorm1d(width)}
        if embedded:
            parts["feat_reduction"] = nn.Linear(backbone.channels, embedded)
        self.head = nn.ModuleDict(parts)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, D) of normalized images."""
        features = self.global_pooling(self.backbone(images)).flatten(1)
        if "feat_reduction" in self.head:
            features = self.head["feat_reduction"](features)
        normed: Tensor = self.head["feat_bn"](features)
        return normed


@LOADERS.register("openunreid", weights=True, example="openunreid:config.yaml:model_best.pth")
def openunreid(request: Request) -> Loaded:
    """Read ``openunreid:CFG.yaml:FILE``: ResNets of any depth, with IBN-a, with GeM.

    Of a mean teacher the averaged network is read, and of norms of several domains those of the
    validation set, as its own test does. DATA.height, width, norm_mean and norm_std; Pillow
    bicubic.

    Raises:
        ConfigError: no such file, a pooling that its own code cannot run, or another layout.
    """
    config, weights = request.taken("CFG.yaml", "FILE")
    cfg = _read(config)
    state = request.state(weights, without=_is_head)
    tensors = _tested(state.tensors, _domain(cfg))
    state = State(state.path, tensors)
    if state.find("head.feat_bn.weight") is None:
        raise ConfigError(f"'{weights}' has no head.feat_bn, which files of OpenUnReID have")
    backbone = stages_of(map(plain, tensors), "backbone.", relu=True)
    embedding = state.find("head.feat_reduction.weight")
    network = OpenUnReID(backbone, _pool(cfg, state), 0 if embedding is None else len(embedding))
    return Loaded(state.into(network), _settings(config, cfg))


def _read(path: str) -> dict[str, Any]:
    """Return a config file.

    Raises:
        ConfigError: it cannot be read, or is none of OpenUnReID.
    """
    try:
        config = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"'{path}' cannot be read, which says how images come to the network; give the "
            "config.yaml of the training"
        ) from error
    if not isinstance(config, dict) or not all(
        isinstance(config.get(part), dict) for part in ("MODEL", "DATA")
    ):
        raise ConfigError(f"'{path}' has no MODEL and DATA, which a config of OpenUnReID has")
    return config


def _settings(path: str, cfg: Mapping[str, Any]) -> dict[str, Any]:
    data = cfg["DATA"]
    try:
        size = (int(data["height"]), int(data["width"]))
        mean, std = (tuple(map(float, data[name])) for name in ("norm_mean", "norm_std"))
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'{path}' lacks DATA.height, width, norm_mean or norm_std, or these are not numbers"
        ) from error
    return {"size": size, "mean": mean, "std": std, "resize": "bicubic"}


def _pool(cfg: Mapping[str, Any], state: State) -> nn.Module:
    name = cfg["MODEL"].get("pooling", "avg")
    if state.find("global_pooling.p") is not None:
        return Pooled()
    if name not in _POOLS:
        raise ConfigError(
            f"MODEL.pooling '{name}' is not supported, and the file has no pooling layer; use avg, "
            "max or gem"
        )
    return _POOLS[name](1)


def _domain(cfg: Mapping[str, Any]) -> int:
    """Return the place of the validation set among the training sets; -1 = the last."""
    train = cfg.get("TRAIN") if isinstance(cfg.get("TRAIN"), dict) else {}
    sets = list((train or {}).get("datasets") or ())
    validation_set = (train or {}).get("val_dataset")
    return sets.index(validation_set) if validation_set in sets else -1


def _tested(tensors: Mapping[str, Tensor], domain: int) -> dict[str, Tensor]:
    """Return the tensors of the network that is tested, with norms of one domain."""
    named = {plain(name): value for name, value in tensors.items()}
    parts = ((f".{name}".partition(_TEACHER)[2], value) for name, value in named.items())
    named = {name: value for name, value in parts if name} or named
    domain_norms = [match for match in map(_DOMAIN.fullmatch, named) if match]
    last = max((int(match[2]) for match in domain_norms), default=0)
    tested_domain = last if domain < 0 else domain
    tested = {name: value for name, value in named.items() if not _DOMAIN.fullmatch(name)}
    for match in domain_norms:
        if int(match[2]) == tested_domain:
            tested[f"{match[1]}.{match[3]}"] = named[match[0]]
    return tested


def _is_head(name: str) -> bool:
    return ".classifier." in f".{name}"
