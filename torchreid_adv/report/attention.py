"""Grad-CAM pictures: where in an image a re-ID feature comes from, before and after an attack."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.core.pixels import to_tensor, to_uint8
from torchreid_adv.defenses import Defended
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.models import PixelModel
from torchreid_adv.models.pixel_model import ImageModel, frozen
from torchreid_adv.report.cards import load
from torchreid_adv.report.panels import LINE, Sheet
from torchreid_adv.report.style import ATTACKED, CLEAN, INK


@dataclass(frozen=True)
class ModelImages:
    """A model and the images it was attacked on; the same images for every model.

    Args:
        label: name of the model in pictures.
        model: the model whose features are explained.
        clean: n RGB images.
        adversarial: the same n as stored after the attack on this model, of the same sizes.
    """

    label: str
    model: PixelModel
    clean: Sequence[Image.Image]
    adversarial: Sequence[Image.Image]

    def inputs(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the network's input (n, 3, H, W), through torchreid's test transform."""
        transform = self.model.file_transform()
        return torch.stack([transform(image) for image in images])

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the model's features (n, D) of length 1."""
        with frozen(self.model):
            features = self.model.of_files(list(self.inputs(images)))
        return F.normalize(features.float().cpu(), dim=1)


_CELL = (0.9, 1.8)
_BLEND = 0.55  # share of the map in the picture


def attention_maps(
    sitting: ModelImages, images: Sequence[Image.Image], toward: Tensor
) -> list[np.ndarray]:
    """Return a map in [0, 1], as large as the network's input, for each of n images.

    Grad-CAM (Selvaraju et al., 2017) at the last layer with a spatial map, of the feature's
    projection on a reference: cosine times length, since the cosine itself has no gradient at the
    reference. The network is not changed.

    Args:
        sitting: the model.
        images: n images.
        toward: (n, D), unit-length features of the clean images.

    Raises:
        ConfigError: the package grad-cam is missing, or no layer of the network has a spatial map.
    """
    inputs = sitting.inputs(images).split(1)
    return [heat_maps[0] for heat_maps in projected_maps(sitting.model.network, inputs, toward)]


def projected_maps(
    network: nn.Module, inputs: Sequence[Tensor], toward: Tensor
) -> list[np.ndarray]:
    """Return Grad-CAM's maps (B, H, W) in [0, 1], each scaled to its own range, of n inputs.

    Args:
        network: (B, 3, H, W) -> features; only the first output counts. It is not changed.
        inputs: n batches.
        toward: (n, D), the directions that the features are projected on.

    Raises:
        ConfigError: as :func:`attention_maps`.
    """
    grad_cam = _package()
    network = copy.deepcopy(network).eval().requires_grad_(True)
    inputs = [images.detach().requires_grad_() for images in inputs]
    layer = last_layer(network, inputs[0])
    device = next(network.parameters()).device
    maps = []
    with torch.enable_grad(), grad_cam(model=network, target_layers=[layer]) as cam:
        for image, reference in zip(inputs, toward.to(device), strict=True):
            heat_maps = cam(input_tensor=image, targets=[_projection(reference)])
            maps.append(np.asarray(heat_maps, np.float32))
    return maps


def _projection(reference: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda feature: (feature * reference).sum()


def _package() -> Any:
    try:
        from pytorch_grad_cam import GradCAM
    except ImportError as error:
        raise ConfigError(
            "pictures of attention need the package grad-cam: pip install 'torchreid_adv[pictures]'"
        ) from error
    return GradCAM


def last_layer(network: nn.Module, image: Tensor) -> nn.Module:
    """Return the last module of a network whose output is a spatial map larger than 1 x 1.

    Args:
        network: in eval mode.
        image: (B, 3, H, W), its input; such a module returns one map for each image.

    Raises:
        ConfigError: no module has one, or none that a gradient flows through.
    """
    candidates: list[nn.Module] = []
    twice = torch.cat([image, image])  # a clip of one frame would look like a batch of stripes

    def note(module: nn.Module, _: Any, output: Any) -> None:
        maps = isinstance(output, Tensor) and output.ndim == 4 and len(output) == len(twice)
        if maps and output.shape[-2:].numel() > 1 and output.requires_grad:
            candidates.append(module)

    parts = [part for part in network.modules() if part is not network]
    hooks = [part.register_forward_hook(note) for part in parts]
    try:
        with torch.enable_grad():
            network(twice.to(next(network.parameters()).device).requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    if not candidates:
        raise ConfigError(f"{type(network).__name__} has no layer with a spatial map for Grad-CAM")
    return candidates[-1]


def agreement(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> list[float]:
    """Return the correlation of each pair of maps, in [-1, 1]; 0 where one of them is flat."""
    correlations = []
    for clean_map, attacked_map in zip(before, after, strict=True):
        flat = clean_map.std() == 0 or attacked_map.std() == 0
        correlations.append(
            0.0 if flat else float(np.corrcoef(clean_map.ravel(), attacked_map.ravel())[0, 1])
        )
    return correlations


Maps = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]  # before and after the attack


def attention_figure(sittings: Sequence[ModelImages], maps: Sequence[Maps], count: int) -> Figure:
    """Draw images, a row each, with the maps of each model before and after the attack.

    Args:
        sittings: the models.
        maps: the maps of each model.
        count: number of rows.
    """
    sheet = Sheet(count, 1 + 2 * len(sittings), cell=_CELL, head=0, top=LINE)
    for row in range(count):
        first = sittings[0]
        sheet.show(row, 0, first.clean[row], above="" if row else "image", frame=INK)
        for place, (sitting, (before, after)) in enumerate(zip(sittings, maps, strict=True)):
            alike = agreement(before[row : row + 1], after[row : row + 1])[0]
            shown = (
                (sitting.clean, before, "clean", CLEAN),
                (sitting.adversarial, after, "attacked", ATTACKED),
            )
            for side, (images, heat_maps, word, color) in enumerate(shown):
                sheet.show(
                    row,
                    1 + 2 * place + side,
                    overlay(images[row], heat_maps[row]),
                    frame=color,
                    above="" if row else f"{sitting.label}, {word}",
                    below=(f"agreement {alike:.2f}", INK) if side else ("", INK),
                )
    return sheet.figure


def overlay(image: Image.Image, heat_map: np.ndarray) -> Image.Image:
    """Return an image under its map, warm where it is high."""
    size = (image.height, image.width)
    values = F.interpolate(
        torch.from_numpy(heat_map)[None, None], size, mode="bilinear", align_corners=False
    )
    colors = matplotlib.colormaps["turbo"](values[0, 0].clamp(0, 1).numpy())[..., :3]
    warm = torch.from_numpy(colors).movedim(-1, 0).float()
    mixed = (1 - _BLEND) * to_tensor(np.asarray(image)) + _BLEND * warm
    return Image.fromarray(to_uint8(mixed))


@dataclass(frozen=True)
class Looked:
    """An image under its map before and after the attack.

    Args:
        image_id: its name.
        original: RGB image, as the network sees it.
        before: the clean image under its map.
        after: the attacked image under its map.
        alike: correlation of the maps, in [-1, 1].
    """

    image_id: str
    original: Image.Image
    before: Image.Image
    after: Image.Image
    alike: float


@dataclass(frozen=True)
class Attended:
    """Some images, or a sentence that says why there are none."""

    images: Sequence[Looked]
    missing: str = ""

    @property
    def alike(self) -> float | None:
        """Mean correlation of maps before and after, None without images."""
        return fmean(image.alike for image in self.images) if self.images else None


def attended(
    model: ImageModel, target: AttackedData, image_ids: Sequence[str], *, gradient: bool = True
) -> Attended:
    """Return where a model's features of some attacked images come from.

    Args:
        model: of a network; behind a defense, the images are shown as the defense changes them.
        target: finds the files.
        image_ids: of attacked images.
        gradient: the model has a gradient.
    """
    inner = model.model if isinstance(model, Defended) else model
    if not image_ids:
        return Attended((), "No attacked image is shown.")
    if not gradient:
        return Attended((), "Grad-CAM needs a gradient, and this model gives none.")
    if not isinstance(inner, PixelModel):
        return Attended((), "Grad-CAM needs the layers of one network, and this model shows none.")
    clean, adversarial = (
        [_through(model, load(target, name, after=after)) for name in image_ids]
        for after in (False, True)
    )
    sitting = ModelImages("", inner, clean, adversarial)
    toward = sitting.features(clean)
    try:
        before, after = (attention_maps(sitting, images, toward) for images in (clean, adversarial))
    except (ConfigError, RuntimeError, TypeError, AttributeError) as error:
        # Grad-CAM may fail on a network from elsewhere; the page is still written
        return Attended((), f"There are no maps: {error}.")
    parts = zip(image_ids, clean, adversarial, before, after, agreement(before, after), strict=True)
    return Attended(
        [
            Looked(name, image, overlay(image, old), overlay(other, new), alike)
            for name, image, other, old, new, alike in parts
        ]
    )


def _through(model: ImageModel, image: Image.Image) -> Image.Image:
    """Return an image as the network sees it."""
    return model.defense.of_image(image) if isinstance(model, Defended) else image
