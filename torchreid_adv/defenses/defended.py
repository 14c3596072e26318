"""Defended: a model behind a defense, itself a model; and defenses by name."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.config import AdvConfig, defense_options
from torchreid_adv.defenses.base import Defense, other_draws
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.registry import DEFENSES

EOT_DRAWS = 10  # that an attack sees in a step by default
_OURS = "defense."
_INNER = "model."


class Defended(ImageModel):
    """Passes stored pixels through a defense, then a model; attacks and scores use it as a model.

    Images of different sizes on a canvas are defended one by one at their own size. Weights have
    the model's names, so checkpoints load through it, and other attributes (``size``,
    ``network``...) come from the model.

    Args:
        defense: see :func:`build_defense`.
        model: PixelModel, Ensemble, or any module that takes images in [0, 1].
        draws: number of draws to average features over; None = the defense's default.
        eot_samples: draws over which an attack averages its gradient in a step (Athalye et al.,
            Synthesizing Robust Adversarial Examples, 2018); None = enough for ten draws.

    Raises:
        ConfigError: several draws of a defense that is not random, or fewer than one draw.

    Example:
        >>> model = Defended(build_defense("circuitous_scaling", preset="jad"), model)
        >>> adversarial = attack(model, batch, references)  # the adaptive attack
    """

    model: Any

    def __init__(
        self,
        defense: Defense,
        model: nn.Module,
        *,
        draws: int | None = None,
        eot_samples: int | None = None,
    ) -> None:
        super().__init__()
        draws = defense.draws if draws is None else draws
        least = min(draws, 1 if eot_samples is None else eot_samples)
        if least < 1:
            raise ConfigError(f"draws and eot_samples are 1 or more, got {draws}, {eot_samples}")
        if draws > 1 and not defense.random:
            raise ConfigError(f"this defense is not random, so {draws} draws of it are one; use 1")
        self.defense = defense
        self.model = model
        self.draws = draws
        if not defense.random:
            eot_samples = 1
        self.eot_samples = eot_samples or math.ceil(EOT_DRAWS / draws)
        self.register_state_dict_post_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)

    def __getattr__(self, name: str) -> Any:
        """Look up missing attributes in the model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or "model" not in self.__dict__.get("_modules", {}):
                raise
            return getattr(self.model, name)

    def __repr__(self) -> str:
        draws = f", {self.draws} draws" if self.draws > 1 else ""
        return f"Defended({self.defense!r}, {self.model!r}{draws})"

    def forward(self, images: Tensor, *, sizes: Tensor | None = None, **keywords: Any) -> Tensor:
        """Return the model's features (N, D), averaged over the draws.

        Args:
            images: (N, 3, H, W) in [0, 1]; tracklets are (N, T, 3, H, W).
            sizes: (N, 2) or (N, T, 2) height and width of each image on the canvas; None = the
                whole canvas.
            keywords: passed to the model.
        """
        clips = images.shape[:-3]
        flat = images.flatten(0, -4)
        flat_sizes = None if sizes is None else sizes.flatten(0, -2)
        parts = [self._drawn(flat, flat_sizes, number) for number in range(self.draws)]
        defended, places = _joined(parts)
        if len(clips) > 1:
            defended = defended.unflatten(0, (-1, *clips[1:]))
            places = None if places is None else places.unflatten(0, (-1, *clips[1:]))
        if places is not None:
            keywords["sizes"] = places
        for name in ("modality", "camera", "view"):
            if self.draws > 1 and keywords.get(name) is not None:
                keywords[name] = torch.cat([keywords[name]] * self.draws)
        features: Tensor = self.model(defended, **keywords)
        return features if self.draws == 1 else features.unflatten(0, (self.draws, -1)).mean(0)

    def _drawn(self, images: Tensor, sizes: Tensor | None, number: int) -> Tensor | list[Tensor]:
        """Return one draw: a tensor if all images have one size, else a list of (3, h, w)."""
        with other_draws("draw", number) if number else contextlib.nullcontext():
            whole = list(images.shape[-2:])
            if sizes is None or all(size == whole for size in sizes.tolist()):
                together: Tensor = self.defense(images)
                return together
            crops = zip(images.split(1), sizes.tolist(), strict=True)
            return [
                self.defense(image[:, :, :h, :w])[0] if h and w else image[0, :, :0, :0]
                for image, (h, w) in crops  # missing frames of a tracklet stay empty
            ]

    def file_transform(self) -> DefendedFiles:
        """Return PIL image -> the model's input for each draw."""
        return self.files_before(self.model.file_transform())

    def files_before(self, transform: Callable[[Any], Any]) -> DefendedFiles:
        """Return PIL image -> the transform's output for each draw."""
        return DefendedFiles(self.defense, self.draws, transform)

    def of_files(
        self, inputs: Sequence[list[Any]], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D), averaged over draws, of outputs of the file transform."""
        features = [
            self.model.of_files([image[number] for image in inputs], modality=modality, **labels)
            for number in range(self.draws)
        ]
        return features[0] if self.draws == 1 else torch.stack(features).mean(0)

    def reseeded(self, seed: int) -> Defended:
        """Return the same model and defense with other draws."""
        return Defended(
            self.defense.reseeded(seed), self.model, draws=self.draws, eot_samples=self.eot_samples
        )

    def describe(self) -> dict[str, Any]:
        """Describe the defense, the averaged draws and EOT for a report."""
        facts = {"name": type(self.defense).__name__, **self.defense.describe()}
        if self.defense.random:
            facts |= {"averaged_draws": self.draws, "eot_samples": self.eot_samples}
        return facts


def _joined(parts: Sequence[Tensor | list[Tensor]]) -> tuple[Tensor, Tensor | None]:
    """Put all draws on one canvas; sizes are None if all images fill it."""
    whole = [part for part in parts if isinstance(part, Tensor)]
    if whole:
        return whole[0] if len(whole) == 1 else torch.cat(whole), None
    images = [image for part in parts for image in part]
    sizes = torch.tensor([image.shape[-2:] for image in images])
    height, width = sizes.amax(0).tolist()
    canvas = [F.pad(i, (0, width - i.shape[-1], 0, height - i.shape[-2])) for i in images]
    same = bool((sizes == sizes[0]).all())
    return torch.stack(canvas), None if same else sizes


def _without_prefix(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Store the model's weights under the model's names."""
    for name in [key for key in state if key.startswith(f"{prefix}{_INNER}")]:
        state[prefix + name[len(prefix) + len(_INNER) :]] = state.pop(name)


def _with_prefix(module: nn.Module, state: dict[str, Any], prefix: str, *further: object) -> None:
    """Load the model's weights by the model's names."""
    for name in [key for key in state if key.startswith(prefix)]:
        weight_name = name[len(prefix) :]
        if not weight_name.startswith(_OURS):
            state[f"{prefix}{_INNER}{weight_name}"] = state.pop(name)


class DefendedFiles:
    """A defense before a transform of PIL images or clips, for the processes that read files.

    Args:
        defense: applied first.
        draws: number of draws.
        transform: applied next, usually torchreid's Resize, ToTensor and Normalize.
    """

    def __init__(self, defense: Defense, draws: int, transform: Callable[[Any], Any]) -> None:
        self.defense = defense
        self.draws = draws
        self.transform = transform

    def __call__(self, image: Image.Image | list[Image.Image]) -> list[Any]:
        """Return the transform's output for each draw of an image, or of a clip's list."""
        inputs = [self.transform(self._defended(image))]
        for number in range(1, self.draws):
            with other_draws("draw", number):
                inputs.append(self.transform(self._defended(image)))
        return inputs

    def _defended(self, image: Image.Image | list[Image.Image]) -> Any:
        if isinstance(image, list):
            return [self.defense.of_image(frame) for frame in image]
        return self.defense.of_image(image)


def eot_samples(model: nn.Module) -> int:
    """Return the number of draws over which an attack on a model averages its gradient."""
    draws = [part.eot_samples for part in model.modules() if isinstance(part, Defended)]
    return max(draws, default=1)


def build_defense(name: str, **options: Any) -> Defense:
    """Build a registered defense.

    Args:
        name: ``circuitous_scaling``, ``rrp_xie``, ``jpeg``...
        options: its options.

    Raises:
        ConfigError: the name or an option is unknown, or a value is invalid.

    Example:
        >>> defense = build_defense("circuitous_scaling", preset="jad")
    """
    defense = DEFENSES.build(name, **options)
    if not isinstance(defense, Defense):
        raise ConfigError(f"what is registered as the defense '{name}' builds no Defense")
    return defense


def configured_defense(cfg: AdvConfig) -> Defense | None:
    """Build the defense of ``adv.defense.*``; None if no defense is set."""
    if not cfg.adv.defense.name:
        return None
    return build_defense(cfg.adv.defense.name, **defense_options(cfg))
