"""transformers: image networks of the Hugging Face hub, from a folder or from its cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.weight_files import WEIGHTS
from torchreid_adv.models.guessing import guessed
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.loaders import Loaded, Request, built, needed
from torchreid_adv.registry import LOADERS

_RESAMPLE = {2: "pillow", 3: "bicubic"}
_FILE = "preprocessor_config.json"


class HuggingFace(nn.Module):
    """A network of transformers, asked for its pooled output.

    Args:
        network: ``pixel_values`` -> an output with attributes.
        pooled: take ``pooler_output``, or the first token where there is none.
    """

    def __init__(self, network: nn.Module, *, pooled: bool) -> None:
        super().__init__()
        self.network, self.pooled = network, pooled

    def forward(self, images: Tensor) -> Any:
        """Return features (N, D), or the whole output."""
        output = self.network(pixel_values=images)
        if not self.pooled:
            return output
        pooler_output = getattr(output, "pooler_output", None)
        return pooler_output if pooler_output is not None else output.last_hidden_state[:, 0]


@LOADERS.register("hf", weights=True, example="hf@take=pooler_output:FOLDER")
def hugging_face(request: Request) -> Loaded:
    """Read ``hf:FOLDER`` or ``hf:ORG/NAME`` (``hf:ORG/NAME@REVISION``), without code of the hub's.

    ``hf:ORG/NAME/FILE`` is a checkpoint of a network of torchreid, told by its tensors.

    Size, resampling, mean and std are those of ``preprocessor_config.json``; the whole image is
    resized. ``pooler_output``, else the first token, unless ``@take=`` names another output.

    Raises:
        ConfigError: transformers is not installed, or the folder or the repository is missing from
            the cache.
    """
    source = request.entry.source
    if source.endswith(WEIGHTS):
        return _of_file(request)
    library = needed("transformers", of="hf", pip="transformers")
    place, _, revision = source.partition("@")
    options: dict[str, Any] = {"revision": revision} if revision else {}
    folder = Path(place).expanduser()
    place = str(folder) if folder.is_dir() else place
    if folder.is_dir():
        options["local_files_only"] = True
    with built(f"the network of '{source}'"):
        network, loading_info = library.AutoModel.from_pretrained(
            place, trust_remote_code=False, output_loading_info=True, **options
        )
        described = library.image_processing_utils.ImageProcessingMixin.get_image_processor_dict(
            place, **options
        )[0]
    network = getattr(network, "vision_model", network)  # of a CLIP
    _check(source, loading_info, request.option("take"))
    wrapped = HuggingFace(network, pooled="take" not in request.entry.options)
    return Loaded(wrapped, _settings(described))


def _of_file(request: Request) -> Loaded:
    """Return the network of torchreid whose weights a file of the hub holds."""
    from torchreid_adv.models.loading import build_network, factory_of_networks  # know the formats

    source = f"hf:{request.entry.source}"
    name = guessed(local_file(source), factory_of_networks())
    state = request.state(source)
    return Loaded(state.into(build_network(name, classes=state.rows("classifier.weight"))))


def _check(source: str, loading_info: Mapping[str, Any], take: str) -> None:
    """Refuse a folder that lacks weights: transformers would draw them at random.

    Raises:
        ConfigError: with the first of them.
    """
    missing = sorted(loading_info["missing_keys"]) + sorted(
        map(str, loading_info.get("mismatched_keys", ()))
    )
    if take and not take.startswith("pooler_output"):
        missing = [name for name in missing if not name.startswith("pooler.")]
    if not missing:
        return
    pooler = all(name.startswith("pooler.") for name in missing)
    advice = "; write @take=last_hidden_state.0 for the first token's output" if pooler else ""
    raise ConfigError(
        f"'{source}' lacks weights of its network, or has them in another shape: "
        f"{', '.join(missing[:4])}{advice}"
    )


def _settings(described: dict[str, Any]) -> dict[str, Any]:
    """Return what a preprocessor's configuration says.

    Raises:
        ConfigError: a resampling that is not known here.
    """
    size = described.get("size", 224)
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        size = (size.get("height", side), size.get("width", side))
    size = (size, size) if isinstance(size, int) else size
    resample = described.get("resample", 3)
    if resample not in _RESAMPLE:
        raise ConfigError(f"{_FILE} says resample {json.dumps(resample)}, and 2 and 3 are known")
    return {
        "size": tuple(map(int, size)),
        "resize": _RESAMPLE[resample],
        "mean": tuple(described.get("image_mean", (0.5, 0.5, 0.5))),
        "std": tuple(described.get("image_std", (0.5, 0.5, 0.5))),
    }
