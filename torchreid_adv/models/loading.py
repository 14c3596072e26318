"""Networks as pixel models, with their weights checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.core.facts import tensors_digest
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import load_weights, read_checkpoint
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.matching import identities, weights_in
from torchreid_adv.integration.models import check_size
from torchreid_adv.integration.weight_names import spelled
from torchreid_adv.models.entries import Entry, entry_in, text_of, unknown_model
from torchreid_adv.models.foreign import OneByOne, check_features, try_model
from torchreid_adv.models.guessing import guessed
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.inputs import in_dtype, settings_of_input, taken_as
from torchreid_adv.models.loaders import Loaded, Request
from torchreid_adv.models.output import LOG, Output
from torchreid_adv.models.pixel_model import IMAGENET_MEAN, IMAGENET_STD, ImageModel, PixelModel
from torchreid_adv.models.stated import (
    check_letterbox,
    check_options,
    known_settings,
    settings_of_entry,
)
from torchreid_adv.models.tracklet_model import TrackletModel, takes_tracklets
from torchreid_adv.registry import LOADERS, MODELS, same_name, unknown

SIZE = (256, 128)


def load_model(
    name: str | nn.Module,
    weights: str | Path = "",
    *,
    size: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | torch.device | None = None,
    key: str | None = None,
    output: Output = None,
) -> PixelModel:
    """Load a network with its weights, in eval mode; networks of tracklets take tracklets.

    All weights that the features depend on come from the file, or the file is refused.

    Args:
        name: an entry, ``[label=]name[@option]...[:source]``, as in every list of models: ``name``
            is in torchreid's model factory, in :data:`torchreid_adv.MODELS`, or is a format of
            :data:`torchreid_adv.LOADERS`. Or only a checkpoint, whose network is detected from its
            tensors; or a module, which is wrapped if its size and normalization are given or known.
        weights: the source, if the entry has none: a checkpoint of torchreid, a .safetensors file,
            or what the format takes.
        size: height and width the network was trained at; None = from the format's file, or
            256 x 128. The entry takes precedence.
        mean: normalization the network was trained with; None = likewise, or ImageNet's.
        std: likewise.
        device: where to put it; None = the GPU if there is one.
        key: selects a part of a checkpoint with several networks, for example ``ema``.
        output: selects the features among several outputs, see :class:`PixelModel`.

    Raises:
        ConfigError: the name is unknown, the file is missing or has weights of another network or
            of several, a package is not installed, or a file is not a network from images to
            features.

    Example:
        >>> model = load_model("osnet_x1_0:model.pth.tar-60")
        >>> model = load_model("fastreid:sbs_R50.yml:market_sbs_R50.pth")
    """
    settings = {"size": size, "mean": mean, "std": std, "output": output}
    if isinstance(name, nn.Module):
        return as_model(name, device=device, **settings)
    entry = entry_of(str(name))
    if weights:
        if entry.source:
            raise ConfigError(f"'{name}' names a source, and weights='{weights}' another; give one")
        entry = replace(entry, source=str(weights))
    if size is not None and entry.size and tuple(size) != entry.size:
        raise ConfigError(f"'{name}' says another size than size={tuple(size)}; give one of them")
    return load_entry(entry, stated=settings, device=device, key=key)


def load_entry(
    entry: Entry,
    *,
    size: Sequence[int] = SIZE,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    resize: str = "pillow",
    stated: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    key: str | None = None,
) -> PixelModel:
    """Load the network of an entry.

    Settings in the entry take precedence over those the caller states, these over the format's
    file, and these over size, mean, std and resize. The log reports contradictions to the file.

    Args:
        entry: see :func:`entry_in`.
        size: the default size.
        mean: the default mean.
        std: the default std.
        resize: the default resize, see :class:`Preprocessing`.
        stated: settings of :class:`PixelModel` by name; None = not stated.
        device: where to put it; None = the GPU if there is one.
        key: selects a part of a checkpoint with several networks.

    Raises:
        ConfigError: see :func:`load_model`.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    overrides = {k: v for k, v in (stated or {}).items() if v is not None} | settings_of_entry(
        entry
    )
    key = key if key is not None else entry.options.get("weights")
    known = {"size": tuple(size), "mean": tuple(mean), "std": tuple(std), "resize": resize}
    loader = same_name(entry.name, LOADERS)
    check_options(entry, loader)
    if loader is None:
        return _of_torchreid(entry, {**known, **overrides}, device, key)
    if key is not None and not LOADERS.facts(loader).get("weights"):
        raise ConfigError(f"key chooses weights in a checkpoint, and '{loader}' files have none")
    request_size = overrides.get(
        "size", known["size"] if LOADERS.facts(loader).get("sized") else None
    )
    loaded: Loaded = LOADERS.get(loader)(Request(entry, device, key, request_size))
    check_letterbox(entry, loaded.settings)
    _tell(entry, overrides, loaded.settings)
    loaded_size = loaded.settings.get("size", size)
    if "size" not in overrides and tuple(size) != SIZE and tuple(loaded_size) != tuple(size):
        LOG.warning(
            "%s: the size is %sx%s by its own files, not data.height and data.width",
            entry.source or entry.name, *loaded_size,
        )  # fmt: skip
    settings = {**known, **loaded.settings, **overrides, **settings_of_input(entry)}
    network = in_dtype(loaded.network, entry)
    if isinstance(network, PixelModel) and settings_of_input(entry):
        raise ConfigError(f"'{entry.source}' is a PixelModel, which takes floats; leave @input out")
    if isinstance(network, PixelModel):  # has its own settings, unless the entry overrides them
        explicit = settings_of_entry(entry)
        model = replaced(network, explicit) if explicit else network
    else:
        model = _kind(network)(taken_as(network, entry, overrides), **settings)
    if entry.options.get("batch") == "1":
        model.network = OneByOne(model.network)
    model = model.to(device).eval()
    model.entry = text_of(entry)
    try_model(model, f"'{entry.source or entry.name}'", device)
    return model


def _of_torchreid(
    entry: Entry, settings: Mapping[str, Any], device: torch.device, key: str | None
) -> PixelModel:
    """Load a network of torchreid's factory or of this package, with its weights."""
    if not entry.source:
        factory = factory_of_networks()
        if same_name(entry.name, factory) is None:
            raise unknown_model(entry.name, "", [*factory, *LOADERS])
        raise ConfigError(f"'{entry.name}' has no weights; write {entry.name}:model.pth.tar-60")
    check_size(entry.name, settings["size"])
    check_letterbox(entry, {})
    if same_name(entry.name, factory_of_networks()) is None:
        raise unknown("model", entry.name, [*factory_of_networks(), *LOADERS])
    path = local_file(entry.source)
    state = weights_in(read_checkpoint(path), path, key=key)
    with torch.random.fork_rng(devices=[]):
        network = in_dtype(_loaded(entry.name, path, state), entry)
    settings = {**settings, **settings_of_input(entry)}
    model = _kind(network)(taken_as(network, entry, {}), **settings).to(device).eval()
    model.entry = text_of(entry)
    check_features(model, f"'{entry.source}'")
    return model


def _kind(network: nn.Module) -> type[PixelModel]:
    return TrackletModel if takes_tracklets(network) else PixelModel


def entry_of(text: str) -> Entry:
    """Parse an entry, which may be only a checkpoint, whose network is detected.

    Raises:
        ConfigError: the form is invalid, or the file fits no network or several.
    """
    entry = entry_in(text)
    if entry.name:
        return entry
    name = guessed(Path(entry.source).expanduser(), factory_of_networks())
    return replace(entry, name=name)


def scorable(thing: Any) -> Any:
    """Return a scorable model: a model itself, or an entry or module as a PixelModel.

    Raises:
        ConfigError: see :func:`load_model` and :func:`as_model`.
    """
    return thing if isinstance(thing, ImageModel) else as_model(thing)


def as_model(
    thing: Any, *, device: str | torch.device | None = None, **settings: Any
) -> PixelModel:
    """Return a model for a model, an entry, or a module.

    Args:
        thing: a PixelModel, an entry, or a module from normalized images (N, 3, H, W) to features.
        device: where to put it; None = a module stays where it is, an entry goes to the GPU.
        settings: of :class:`PixelModel`; None = not stated. A module of timm knows its size and
            normalization; for other modules they must be given.

    Raises:
        ConfigError: the size or normalization of a module is unknown.
    """
    stated = {name: value for name, value in settings.items() if value is not None}
    if isinstance(thing, str):
        return load_entry(entry_of(thing), stated=stated, device=device)
    if isinstance(thing, PixelModel):
        return thing
    known = {**known_settings(thing), **stated}
    missing = [name for name in ("size", "mean", "std") if name not in known]
    if missing:
        raise ConfigError(
            f"the module {type(thing).__name__} does not say which images it takes; give "
            f"{', '.join(f'{name}=' for name in missing)} as PixelModel does, for example "
            "load_model(module, size=(256, 128), mean=(0.485, 0.456, 0.406), "
            "std=(0.229, 0.224, 0.225))"
        )
    model = _kind(thing)(thing, **known)
    model = (model if device is None else model.to(device)).eval()
    check_features(model, f"the module {type(thing).__name__}")
    return model


def replaced(model: PixelModel, settings: Mapping[str, Any]) -> PixelModel:
    """Return a model with other settings around the same network."""
    merged = model.settings() | dict(settings)
    if isinstance(model, TrackletModel):
        return TrackletModel(model.network, clip=model.clip, pooling=model.pooling, **merged)
    return PixelModel(model.network, **merged)


def _tell(entry: Entry, overrides: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    """Log where an entry or a caller contradicts the format's file."""
    for name in overrides.keys() & stated.keys():
        if overrides[name] != stated[name]:
            LOG.warning(
                "%s: %s is %s as the entry says, and %s by its own files",
                entry.source or entry.name, name, overrides[name], stated[name],
            )  # fmt: skip


def _loaded(name: str, path: str | Path, state: Mapping[str, Tensor]) -> nn.Module:
    """Build a network with the checkpoint's number of identities, and load the weights."""
    known = MODELS.facts(name).get("parts") if name in MODELS else None
    parts = {} if known is None else {"parts": known(map(spelled, state))}  # as in the checkpoint
    first = build_network(name, **parts)
    torch.manual_seed(0)  # a classifier missing in the checkpoint is the same in every load
    network = build_network(name, classes=identities(first, state, path), **parts)
    load_weights(network, path, strict=True, state=state)
    return network


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights and buffers, independent of their file.

    Classifiers count, because attacks on training identities depend on them.
    """
    return tensors_digest(network)


def build_network(name: str, *, classes: int = 1, **options: Any) -> nn.Module:
    """Build a network without weights.

    Args:
        name: in torchreid's model factory or in :data:`torchreid_adv.MODELS`.
        classes: number of classes, which features do not depend on.
        options: further keywords of its constructor.

    Raises:
        ConfigError: the name is unknown.
    """
    factory = factory_of_networks()
    registered = same_name(name, factory)
    if registered is None:
        raise unknown("model", name, [*factory, *LOADERS])
    network: nn.Module = factory[registered](
        num_classes=classes,
        loss="softmax",
        pretrained=False,
        use_gpu=torch.cuda.is_available(),
        **options,
    )
    return network.eval()


def factory_of_networks() -> dict[str, Any]:
    """Return the constructors of torchreid's networks and ours, by name."""
    factory = dict(vars(torchreid_module("models"))["__model_factory"])
    factory.update({entry: MODELS.get(entry) for entry in MODELS})
    return factory
