"""A defense in torchreid's own evaluation, before its Resize, for queries and gallery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from torchreid_adv.config import AdvConfig
from torchreid_adv.defenses import Defended, configured_defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TEST_TRANSFORMS


class DefendedTransform:
    """A defense, then torchreid's test transform; pickled for the processes that read images.

    Args:
        defended: the defense and its number of draws.
        stock: torchreid's transform; other attributes come from it.
    """

    def __init__(self, defended: Defended, stock: Callable[[Any], Any]) -> None:
        self.stock = stock
        self.transforms = getattr(stock, "transforms", [])
        self.draws = defended.draws
        self.files = defended.files_before(stock)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the network's input (3, H, W), or (draws, 3, H, W) for several draws."""
        inputs = self.files(image)
        return inputs[0] if self.draws == 1 else torch.stack(inputs)


def defend_tests(engine: Any, cfg: AdvConfig) -> int:
    """Put a config's defense before the test images of an engine, or remove it.

    Returns:
        the number of draws to average features over.

    Raises:
        ConfigError: several draws for tracklets.
    """
    defended, data = _defended(cfg), engine.datamanager
    if defended is not None and defended.draws > 1 and data.data_type != "image":
        raise ConfigError(
            "features of tracklets are not averaged over draws; set adv.defense.draws 1"
        )
    datasets = [loader.dataset for pair in engine.test_loader.values() for loader in pair.values()]
    changed: dict[int, Any] = {}
    for owner, name in [*((dataset, "transform") for dataset in datasets), (data, "transform_te")]:
        transform = getattr(owner, name)
        stock = transform.stock if isinstance(transform, DefendedTransform) else transform
        new = stock if defended is None else DefendedTransform(defended, stock)
        setattr(owner, name, changed.setdefault(id(stock), new))
    if defended is None:
        return 1
    print(f"+ defense {cfg.adv.defense.name} of test images ({_words(defended)})")
    return defended.draws


class Averaged(nn.Module):
    """A network whose features are averaged over the draws of a defense.

    Args:
        network: (N, 3, H, W) -> (N, D).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, D) of images (N, draws, 3, H, W)."""
        features: Tensor = self.network(images.flatten(0, 1))
        return features.unflatten(0, images.shape[:2]).mean(1)


# the hook of torchreid's FeatureExtractor finds it here
@TEST_TRANSFORMS.register("defense")
def defend_extractor(extractor: Any, cfg: AdvConfig) -> None:
    """Put a config's defense before the images of a FeatureExtractor."""
    defended = _defended(cfg)
    assert defended is not None
    extractor.preprocess = DefendedTransform(defended, extractor.preprocess)
    if defended.draws > 1:
        extractor.model = Averaged(extractor.model)


def _defended(cfg: AdvConfig) -> Defended | None:
    """Return the defense before an identity model, for its draws and files."""
    defense, settings = configured_defense(cfg), cfg.adv.defense
    if defense is None:
        return None
    return Defended(defense, nn.Identity(), draws=settings.draws or None)


def _words(defended: Defended) -> str:
    facts = defended.describe()
    return ", ".join(f"{key}={value}" for key, value in facts.items() if key not in _UNSAID)


_UNSAID = ("name", "differentiable", "eot_samples")
