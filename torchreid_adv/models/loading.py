"""Networks as pixel models, with their weights checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.core.facts import tensors_digest
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import load_weights, read_checkpoint
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.matching import identities, spelled, weights_in
from torchreid_adv.integration.models import check_size
from torchreid_adv.models.entries import parse_name, settings_in, three
from torchreid_adv.models.foreign import FORMATS, load_foreign
from torchreid_adv.models.output import Output
from torchreid_adv.models.pixel_model import IMAGENET_MEAN, IMAGENET_STD, PixelModel
from torchreid_adv.models.tracklet_model import TrackletModel, takes_tracklets
from torchreid_adv.registry import MODELS, same_name, unknown

SIZE = (256, 128)


def load_model(
    name: str,
    weights: str | Path,
    *,
    size: Sequence[int] = SIZE,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    device: str | torch.device | None = None,
    key: str | None = None,
    output: Output = None,
    interpolation: str = "bilinear",
) -> PixelModel:
    """Load a network with its weights, in eval mode; one of tracklets takes tracklets.

    Whatever the features depend on comes from the file, or the file is refused.

    Args:
        name: of torchreid's model factory or of :data:`torchreid_adv.MODELS`; or the format of a
            network from elsewhere, ``torchscript``, ``export``, ``onnx`` or ``python``. Size and
            normalization may follow, as in ``onnx@256x128@0.5/0.25``.
        weights: checkpoint that torchreid wrote, or a .safetensors file; of another format its
            file, or ``module:function``.
        size: height and width the network was trained at.
        mean: normalization the network was trained with.
        std: normalization the network was trained with.
        device: where to put it; None = the GPU if there is one.
        key: which part of a checkpoint that holds several networks, for example ``ema``.
        output: which of several results are the features, see :class:`PixelModel`.
        interpolation: how images are resized to the input, ``bilinear`` or ``bicubic``.

    Raises:
        ConfigError: unknown name, no such file, weights of another network or of several, or a
            file that is no network from images to features.
    """
    name, size, mean, std = _settings(name, size, mean, std)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    name = same_name(name, FORMATS) or name
    settings: dict[str, Any] = {"size": size, "mean": mean, "std": std, "output": output}
    if name in FORMATS:
        if key is not None:
            raise ConfigError(f"key chooses weights in a checkpoint, and '{name}' files have none")
        return load_foreign(name, weights, device=device, interpolation=interpolation, **settings)
    check_size(name, size)
    state = weights_in(read_checkpoint(weights), weights, key=key)
    with torch.random.fork_rng(devices=[]):
        network = _loaded(name, weights, state)
    kind = TrackletModel if takes_tracklets(network) else PixelModel
    return kind(network, interpolation=interpolation, **settings).to(device).eval()


def _settings(
    name: str, size: Sequence[int], mean: Sequence[float], std: Sequence[float]
) -> tuple[str, Sequence[int], Sequence[float], Sequence[float]]:
    """Return a name without the size and normalization that it says, and those."""
    found = parse_name(str(name))
    if found is None or "@" not in str(name):
        return name, size, mean, std
    own, normalization = settings_in(found)
    if own and tuple(size) not in (SIZE, own):
        raise ConfigError(f"'{name}' says another size than size={tuple(size)}; give one of them")
    if normalization:
        mean, std = map(three, normalization)
    return found["name"], own or size, mean, std


def _loaded(name: str, path: str | Path, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a network of as many identities as its checkpoint has, with its weights."""
    known = MODELS.facts(name).get("parts") if name in MODELS else None
    parts = {} if known is None else {"parts": known(map(spelled, state))}  # the checkpoint's
    first = build_network(name, **parts)
    torch.manual_seed(0)  # a classifier that the checkpoint lacks is the same in every load
    network = build_network(name, classes=identities(first, state, path), **parts)
    load_weights(network, path, strict=True, state=state)
    return network


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights and buffers, whatever file they came from.

    Classifiers count, because attacks on training identities depend on them.
    """
    return tensors_digest(network)


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
