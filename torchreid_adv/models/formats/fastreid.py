"""fast-reid (JDAI-CV): any of its configs, built by its own package."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.models.loaders import Loaded, Request, State, built, config_file, needed
from torchreid_adv.registry import LOADERS

_PIP = "--no-deps fastreid && pip install yacs termcolor tabulate"


class FastReID(nn.Module):
    """A network of fast-reid, which normalizes in place what it is given.

    Args:
        network: levels of 0 to 255 -> features.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        """Return features (N, D) of levels, which are not changed."""
        return self.network(images.clone())


@LOADERS.register(
    "fastreid", weights=True, options=("set",), example="fastreid:sbs_R50.yml:market_sbs_R50.pth"
)
def fastreid(request: Request) -> Loaded:
    """Read ``fastreid:CFG.yml:FILE``; the configs that ``_BASE_`` names must be next to it.

    INPUT.SIZE_TEST, Pillow bicubic, levels of 0 to 255 that the network normalizes itself. Features
    come from behind the norm, as in all of its tests. ``@set=KEY,VALUE`` changes its config.

    Raises:
        ConfigError: the package or a file is missing, or the package rejects the config.
    """
    source, weights = request.taken("CFG.yml", "FILE")
    needed("fastreid", of="fastreid", pip=_PIP)
    configs = needed("fastreid.config", of="fastreid", pip=_PIP)
    building = needed("fastreid.modeling.meta_arch", of="fastreid", pip=_PIP)
    state = request.state(weights, without=_is_moment)
    with built(f"the network of '{source}'"):
        cfg = _configured(configs.get_cfg(), source, request, state)
        network = building.build_model(cfg)
    height, width = cfg.INPUT.SIZE_TEST
    settings = {
        "size": (int(height), int(width)),
        "resize": "bicubic",
        "range": LEVELS,
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    }
    return Loaded(FastReID(state.into(network)), settings)


def _configured(cfg: Any, source: str, request: Request, state: State) -> Any:
    """Return the config of a file, for a test on the CPU."""
    cfg.merge_from_file(str(config_file(source)))
    classes = max(1, state.rows("heads.weight"), state.rows("b1_head.weight"))
    fixed = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", False]
    fixed += ["MODEL.HEADS.NUM_CLASSES", classes]
    pairs = [word for pair in request.entry.options.get("set", ()) for word in pair.split(",", 1)]
    cfg.merge_from_list([*pairs, *fixed])
    return cfg


def _is_moment(name: str) -> bool:
    """Tell the normalization, which comes from the config."""
    return name.rpartition(".")[2] in ("pixel_mean", "pixel_std")
