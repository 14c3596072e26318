"""The strong baseline (Luo et al., 2019) and AGW (Ye et al., 2021), from their own checkpoints."""

from __future__ import annotations

from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.loaders import Loaded, Request, State, plain
from torchreid_adv.models.resnets import Pooled, Stages, stages_of
from torchreid_adv.registry import LOADERS


class Baseline(nn.Module):
    """Backbone, pooling and a norm, under the names of both projects.

    Args:
        base: images -> maps.
        pool: maps (N, C, h, w) -> (N, C, 1, 1).
        after: features come from behind the norm.
    """

    def __init__(self, base: Stages, pool: nn.Module, *, after: bool) -> None:
        super().__init__()
        self.base, self.global_pool = base, pool
        self.bottleneck = nn.BatchNorm1d(base.channels) if after else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, C) of normalized images."""
        features: Tensor = self.bottleneck(self.global_pool(self.base(images)).flatten(1))
        return features


@LOADERS.register(
    "bagtricks", weights=True, options=("neck",), example="bagtricks@neck=after:resnet50_model.pth"
)
def bagtricks(request: Request) -> Loaded:
    """Read reid-strong-baseline: ``bagtricks@neck=after:FILE``, the key TEST.NECK_FEAT.

    The last stride is 1, as in its configs. Pillow bilinear, 256x128, ImageNet.

    Raises:
        ConfigError: the neck is not given, or the backbone is not a ResNet.
    """
    if request.option("neck") not in ("before", "after"):
        raise ConfigError(
            "bagtricks features come from before or after the norm, which no file says; write "
            "bagtricks@neck=after:FILE, or neck=before, as TEST.NECK_FEAT was"
        )
    (path,) = request.taken("FILE")
    state = request.state(path, without=_is_head)
    return _baseline(state, after=request.option("neck") == "after")


@LOADERS.register("agw", weights=True, example="agw:resnet50_nl_model_120.pth")
def agw(request: Request) -> Loaded:
    """Read AGW of ReID-Survey: ``agw:FILE``; features from behind the norm.

    The last stride is 1, as in its configs. Pillow bilinear, 256x128, ImageNet.
    """
    (path,) = request.taken("FILE")
    return _baseline(request.state(path, without=_is_head), after=True)


def _baseline(state: State, *, after: bool) -> Loaded:
    base = stages_of(map(plain, state.tensors), "base.")
    pool = Pooled() if state.find("global_pool.p") is not None else nn.AdaptiveAvgPool2d(1)
    network = Baseline(base, pool, after=after)
    if not after:  # the norm is in the file, and the features do not depend on it
        tensors = {
            n: v for n, v in state.tensors.items() if "bottleneck" not in plain(n).split(".")
        }
        state = State(state.path, tensors)
    return Loaded(state.into(network), {"resize": "pillow"})


def _is_head(name: str) -> bool:
    return name.startswith(("classifier.", "module.classifier."))
