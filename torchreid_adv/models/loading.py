"""Networks as pixel models, with their weights checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.core.facts import tensors_digest
from torchreid_adv.integration.checkpoints import (
    is_head,
    load_weights,
    read_checkpoint,
    weights_in,
)
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.models import check_size
from torchreid_adv.models.foreign import FORMATS, load_foreign
from torchreid_adv.models.pixel_model import IMAGENET_MEAN, IMAGENET_STD, PixelModel
from torchreid_adv.models.tracklet_model import TrackletModel, takes_tracklets
from torchreid_adv.registry import MODELS, same_name, unknown


def load_model(
    name: str,
    weights: str | Path,
    *,
    size: Sequence[int] = (256, 128),
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    device: str | torch.device | None = None,
) -> PixelModel:
    """Load a network with its weights, in eval mode; one of tracklets takes tracklets.

    Args:
        name: of torchreid's model factory or of :data:`torchreid_adv.MODELS`; or the format of a
            network from elsewhere, ``torchscript``, ``export``, ``onnx`` or ``python``.
        weights: checkpoint that torchreid wrote, or a .safetensors file; of another format its
            file, or ``module:function``.
        size: height and width the network was trained at.
        mean: normalization the network was trained with.
        std: normalization the network was trained with.
        device: where to put it; None = the GPU if there is one.

    Raises:
        ConfigError: unknown name, no such file, weights of another network, or a file that is no
            network from images to features.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    name = same_name(name, FORMATS) or name
    if name in FORMATS:
        return load_foreign(name, weights, size=size, mean=mean, std=std, device=device)
    check_size(name, size)
    state = weights_in(read_checkpoint(weights), weights)
    known = MODELS.facts(name).get("parts") if name in MODELS else None
    options = {} if known is None else {"parts": known(state)}  # those of the checkpoint
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a classifier that the checkpoint lacks is the same in every load
        network = build_network(name, classes=_classes(state), **options)
    load_weights(network, weights, strict=True, state=state)
    kind = TrackletModel if takes_tracklets(network) else PixelModel
    return kind(network, size=size, mean=mean, std=std).to(device).eval()


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights and buffers, whatever file they came from.

    Classifiers count, because attacks on training identities depend on them.
    """
    return tensors_digest(network)


def _classes(state: Mapping[str, Tensor]) -> int:
    """Return the number of identities a checkpoint's classifier tells apart, 1 without one."""
    heads = [value for name, value in state.items() if is_head(name) and value.ndim == 2]
    return len(heads[0]) if heads else 1


def build_network(name: str, *, classes: int = 1, **options: Any) -> nn.Module:
    """Build a network, without weights.

    Args:
        name: of torchreid's model factory or of :data:`torchreid_adv.MODELS`.
        classes: of its classifier, on which features do not depend.
        options: further keywords of what builds it.

    Raises:
        ConfigError: unknown name.
    """
    models = torchreid_module("models")
    factory = dict(vars(models)["__model_factory"])
    factory.update({entry: MODELS.get(entry) for entry in MODELS})
    registered = same_name(name, factory)
    if registered is None:
        raise unknown("model", name, [*factory, *FORMATS])
    network: nn.Module = factory[registered](
        num_classes=classes,
        loss="softmax",
        pretrained=False,
        use_gpu=torch.cuda.is_available(),
        **options,
    )
    return network.eval()
