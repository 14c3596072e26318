"""torchvision: its classifiers without their last layer."""

from __future__ import annotations

from torch import nn
from torchvision import models

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.integration.downloads import published_weights
from torchreid_adv.models.loaders import Loaded, Request, built
from torchreid_adv.models.output import LOG
from torchreid_adv.registry import LOADERS

_HEADS = ("fc", "classifier", "heads", "head")


@LOADERS.register(
    "torchvision", weights=True, sized=True, example="torchvision@256x128:resnet50:w.pth"
)
def torchvision(request: Request) -> Loaded:
    """Read ``torchvision:NAME:FILE``, or ``torchvision:NAME`` with its published weights.

    These are taken from the cache of torch's hub; nothing is fetched. Pillow bilinear, ImageNet.

    Raises:
        ConfigError: an unknown name, or missing weights.
    """
    name, weights = request.taken("NAME", "FILE", least=1)
    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(f"torchvision has no network '{name}'{suggest(name, known)}")
    path = weights or str(published_weights(models.get_model_weights(name).DEFAULT.url))
    state = request.state(path)
    with built(f"torchvision's network '{name}'"):
        head = _head(models.get_model(name, weights=None))
        classes = state.rows(f"{head}.weight")
        options = {"num_classes": classes} if classes > 1 else {}
        network = models.get_model(name, weights=None, **options)
    state.into(network)
    parent, _, last = head.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    LOG.warning("torchvision:%s: features of an ImageNet classifier are not re-ID features", name)
    return Loaded(network, {"resize": "pillow"})


def _head(network: nn.Module) -> str:
    """Return the name of the last linear layer.

    Raises:
        ConfigError: it has none.
    """
    linear = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and name.partition(".")[0] in _HEADS
    ]
    if not linear:
        raise ConfigError(f"torchvision's {type(network).__name__} has no linear layer as its last")
    return linear[-1]
