"""OpenCLIP: the image encoders of its networks."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.loaders import Loaded, Request, built, needed
from torchreid_adv.models.stated import INTERPOLATIONS
from torchreid_adv.registry import LOADERS


class ImageEncoder(nn.Module):
    """The image half of a CLIP.

    Args:
        visual: images -> features.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor) -> Any:
        """Return features (N, D) as ``encode_image`` does, not normalized."""
        return self.visual(images)


@LOADERS.register("openclip", weights=True, example="openclip:ViT-B-32:laion2b_s34b_b79k")
def openclip(request: Request) -> Loaded:
    """Read ``openclip:NAME:FILE``, or ``openclip:NAME:TAG`` with weights that its hub names.

    Size, mean, std and interpolation are its own; the whole image is resized, without its crop.
    ``@HEIGHTxWIDTH`` builds it for that size, for which the file must have its position embedding.

    Raises:
        ConfigError: the package is not installed, or an unknown name or tag.
    """
    name, weights = request.taken("NAME", "FILE")
    library = needed("open_clip", of="openclip", pip="open_clip_torch")
    local = local_file(weights).is_file() if not weights.startswith("hf:") else True
    if not local and weights not in library.list_pretrained_tags_by_model(name):
        raise ConfigError(f"'{weights}' is neither a file nor a tag of OpenCLIP's '{name}'")
    with built(f"OpenCLIP's network '{name}'"):
        size = {"force_image_size": request.entry.size} if request.entry.size else {}
        model = library.create_model(name, pretrained=None if local else weights, **size)
    network = ImageEncoder(model.visual)
    if local:
        request.state(weights, without=_is_text).into(network)
    preprocessing = library.get_model_preprocess_cfg(model)
    size = preprocessing["size"]
    interpolation = str(preprocessing.get("interpolation", "bicubic"))
    settings = {
        "size": (size, size) if isinstance(size, int) else tuple(size),
        "mean": tuple(preprocessing["mean"]),
        "std": tuple(preprocessing["std"]),
        "resize": INTERPOLATIONS.get(interpolation, "bicubic"),
    }
    return Loaded(network, settings)


def _is_text(name: str) -> bool:
    return not name.startswith("visual.")
