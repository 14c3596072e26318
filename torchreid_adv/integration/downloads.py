"""Hook: no downloads; published weights are read from torch's folder, or reported missing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.patching import Replace

# torchreid's modules with a function init_pretrained_weights(model, url)
_BY_URL = (
    *("densenet", "inceptionv4", "mlfn", "mobilenetv2", "nasnet", "pcb", "resnet"),
    *("resnet_ibn_a", "resnet_ibn_b", "resnetmid", "senet", "shufflenet", "shufflenetv2"),
    *("squeezenet", "xception"),
)
_BY_KEY = ("osnet", "osnet_ain")  # with init_pretrained_weights(model, key)
_HASH = re.compile(r"-([0-9a-f]{8,64})\.")  # in the name of a published file


def published_weights(url: str, path: Path | None = None) -> Path:
    """Return the local file of published weights.

    Args:
        url: where they are published.
        path: where they are stored; None = in torch's hub folder, under their published name.

    Raises:
        ConfigError: the file is missing, or does not match the hash in its name.
    """
    path = path or Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urlsplit(url).path))
    if not path.is_file():
        raise ConfigError(
            f"model.pretrained True starts from published weights, '{path}' is missing, and "
            f"nothing is fetched; put {url} there, or set model.pretrained False"
        )
    name = _HASH.search(path.name)
    if name and not _sha256(path).startswith(name[1]):
        raise ConfigError(
            f"'{path}' is damaged: its SHA-256 does not start with {name[1]}; put {url} there again"
        )
    return path


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _from_url(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def init_pretrained_weights(model: Any, model_url: str) -> Any:
        read_checkpoint(published_weights(model_url))  # only tensors
        return stock(model, model_url)

    return init_pretrained_weights


def _from_key(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def init_pretrained_weights(model: Any, key: str = "") -> Any:
        url = stock.__globals__["pretrained_urls"][key]
        read_checkpoint(published_weights(url, _kept_by_key(key)))
        return stock(model, key)

    return init_pretrained_weights


def _kept_by_key(key: str) -> Path:
    """Return where torchreid stores the weights of an OSNet."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))
    return Path(home, "checkpoints", f"{key}_imagenet.pth")


def _of_inception(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def load_imagenet_weights(self: Any) -> Any:
        settings = stock.__globals__["pretrained_settings"]["inceptionresnetv2"]["imagenet"]
        read_checkpoint(published_weights(settings["url"]))
        return stock(self)

    return load_imagenet_weights


_FUNCTION = "init_pretrained_weights"
REPLACES = (
    *(Replace((f"models.{name}",), _FUNCTION, _from_url, prepare=False) for name in _BY_URL),
    *(Replace((f"models.{name}",), _FUNCTION, _from_key, prepare=False) for name in _BY_KEY),
    Replace(
        ("models.inceptionresnetv2",),
        "InceptionResNetV2.load_imagenet_weights",
        _of_inception,
        prepare=False,
    ),
)
