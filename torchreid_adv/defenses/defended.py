"""Defended: a model behind a defense, which is a model again; defenses by name."""

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

EOT_DRAWS = 10  # that an attack sees in a step, unless it is told otherwise
_OURS = "defense."
_INNER = "model."


class Defended(ImageModel):
    """Stored pixels through a defense, then through a model; attacks and scores take it as one.

    Images of different sizes on a canvas are defended one by one at their own size. Names of
    weights are those of the model, so that checkpoints load through it, and whatever else is asked
    of it (``size``, ``network``...) the model answers.

    Args:
        defense: see :func:`build_defense`.
        model: PixelModel, Ensemble, or any module that takes images in [0, 1].
        draws: average the features of so many draws; None = as the defense is meant.
        eot_samples: draws over which an attack averages its gradient in a step (Athalye et al.,
            Synthesizing Robust Adversarial Examples, 2018); None = enough to see ten.

    Raises:
        ConfigError: several draws of a defense that is not random, or fewer than one.

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
        """Let the model answer for what is not here."""
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
            sizes: (N, 2) or (N, T, 2) height and width of each on the canvas; None = all of it.
            keywords: for the model.
        """
        clips = images.shape[:-3]
        flat = images.flatten(0, -4)
        own = None if sizes is None else sizes.flatten(0, -2)
        parts = [self._drawn(flat, own, number) for number in range(self.draws)]
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
        """Return one draw: a tensor where all images have one size, else (3, h, w) each."""
        with other_draws("draw", number) if number else contextlib.nullcontext():
            whole = list(images.shape[-2:])
            if sizes is None or all(size == whole for size in sizes.tolist()):
                together: Tensor = self.defense(images)
                return together
            crops = zip(images.split(1), sizes.tolist(), strict=True)
            return [
                self.defense(image[:, :, :h, :w])[0] if h and w else image[0, :, :0, :0]
                for image, (h, w) in crops  # where a tracklet has no further frame, nothing is
            ]

    def file_transform(self) -> DefendedFiles:
        """Return PIL image -> the model's input for each draw."""
        return self.files_before(self.model.file_transform())

    def files_before(self, transform: Callable[[Any], Any]) -> DefendedFiles:
        """Return PIL image -> what a transform makes of each draw."""
        return DefendedFiles(self.defense, self.draws, transform)

    def of_files(
        self, inputs: Sequence[list[Any]], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D), averaged over draws, of what the file transform gave."""
        features = [
            self.model.of_files([image[number] for image in inputs], modality=modality, **labels)
            for number in range(self.draws)
        ]
        return features[0] if self.draws == 1 else torch.stack(features).mean(0)

    def reseeded(self, seed: int) -> Defended:
        """Return the same model behind other draws of the same defense."""
        return Defended(
            self.defense.reseeded(seed), self.model, draws=self.draws, eot_samples=self.eot_samples
        )

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the defense, of the draws that are averaged, and of EOT."""
        facts = {"name": type(self.defense).__name__, **self.defense.describe()}
        if self.defense.random:
            facts |= {"averaged_draws": self.draws, "eot_samples": self.eot_samples}
        return facts


def _joined(parts: Sequence[Tensor | list[Tensor]]) -> tuple[Tensor, Tensor | None]:
    """Put draws one after the other on a canvas; sizes are None where all images fill it."""
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
    """Give the model's weights their own names."""
    for name in [key for key in state if key.startswith(f"{prefix}{_INNER}")]:
        state[prefix + name[len(prefix) + len(_INNER) :]] = state.pop(name)


def _with_prefix(module: nn.Module, state: dict[str, Any], prefix: str, *further: object) -> None:
    """Find the model's weights by their own names."""
    for name in [key for key in state if key.startswith(prefix)]:
        rest = name[len(prefix) :]
        if not rest.startswith(_OURS):
            state[f"{prefix}{_INNER}{rest}"] = state.pop(name)


class DefendedFiles:
    """A defense before a transform of PIL images, or of clips, for the processes that read files.

    Args:
        defense: what is put before.
        draws: how many.
        transform: what follows, usually torchreid's Resize, ToTensor and Normalize.
    """

    def __init__(self, defense: Defense, draws: int, transform: Callable[[Any], Any]) -> None:
        self.defense = defense
        self.draws = draws
        self.transform = transform

    def __call__(self, image: Image.Image | list[Image.Image]) -> list[Any]:
        """Return what the transform makes of each draw for an image, or for a clip's list."""
        found = [self.transform(self._defended(image))]
        for number in range(1, self.draws):
            with other_draws("draw", number):
                found.append(self.transform(self._defended(image)))
        return found

    def _defended(self, image: Image.Image | list[Image.Image]) -> Any:
        if isinstance(image, list):
            return [self.defense.of_image(frame) for frame in image]
        return self.defense.of_image(image)


def eot_samples(model: nn.Module) -> int:
    """Return over how many draws an attack on a model averages its gradient."""
    found = [part.eot_samples for part in model.modules() if isinstance(part, Defended)]
    return max(found, default=1)


def build_defense(name: str, **options: Any) -> Defense:
    """Build a registered defense.

    Args:
        name: ``circuitous_scaling``, ``rrp_xie``, ``jpeg``...
        options: its keywords.

    Raises:
        ConfigError: unknown name or option, or a value that cannot be.

    Example:
        >>> defense = build_defense("circuitous_scaling", preset="jad")
    """
    defense = DEFENSES.build(name, **options)
    if not isinstance(defense, Defense):
        raise ConfigError(f"what is registered as the defense '{name}' builds no Defense")
    return defense


def configured_defense(cfg: AdvConfig) -> Defense | None:
    """Build the defense of ``adv.defense.*``; None where none is named."""
    if not cfg.adv.defense.name:
        return None
    return build_defense(cfg.adv.defense.name, **defense_options(cfg))
