"""timm: any of its networks, by name, from the Hugging Face hub, or from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.loaders import Loaded, Request, built, needed
from torchreid_adv.models.stated import INTERPOLATIONS, known_settings
from torchreid_adv.registry import LOADERS

_HUB = ("hf_hub:", "hf-hub:")


@LOADERS.register("timm", weights=True, example="timm@256x128:vit_small_patch16_224:vit.pth")
def timm(request: Request) -> Loaded:
    """Read ``timm:NAME:FILE``, a folder, or ``timm:NAME``, ``timm:hf_hub:ORG/NAME`` of the hub.

    A folder holds ``config.json`` and ``model.safetensors``. The head is left out. Mean, std and
    interpolation are those of its configuration; its size, too, unless the entry says another one;
    the whole image is resized, without the crop from the center that it has for ImageNet.

    Raises:
        ConfigError: the package is not installed, an unknown name, or missing weights.
    """
    name, weights = request.taken("NAME", "FILE", least=1)
    library = needed("timm", of="timm", pip="timm")
    folder = Path(name).expanduser()
    if folder.is_dir():
        name = f"local-dir:{folder}"
    published = not weights
    state = None if published else request.state(weights, without=_is_head)
    with built(f"timm's network '{name}'"):
        network = create(library, name, request.entry.size, pretrained=published)
    if state is not None:
        state.into(network)
    settings = known_settings(network)
    interpolation = vars(network).get("pretrained_cfg", {}).get("interpolation", "")
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(
            f"timm resizes images for '{name}' by '{interpolation}', which is not one of "
            f"{', '.join(INTERPOLATIONS)}"
        )
    return Loaded(network, settings)


def create(library: Any, name: str, size: tuple[int, int] | None, *, pretrained: bool) -> nn.Module:
    """Build a network of timm without its head; the size is passed only to those that need it."""
    name = f"hf-hub:{name.partition(':')[2]}" if name.startswith(_HUB) else name
    if size is not None:
        try:
            sized: nn.Module = library.create_model(
                name, pretrained=pretrained, num_classes=0, img_size=size
            )
            return sized
        except TypeError as error:  # a convolutional network, which takes any
            if "img_size" not in str(error):
                raise
    plain: nn.Module = library.create_model(name, pretrained=pretrained, num_classes=0)
    return plain


def _is_head(name: str) -> bool:
    return name.startswith(("head.", "fc.", "classifier.", "head_dist.", "head.fc."))
