"""Grad-CAM: where in an image a re-ID feature comes from, before and after an attack; drawn."""

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
from torchreid_adv.evaluation.attacked import TargetReport
from torchreid_adv.models import PixelModel
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.models.prepare import frozen
from torchreid_adv.report.cards import load
from torchreid_adv.report.panels import LINE, Sheet
from torchreid_adv.report.style import ATTACKED, CLEAN, INK


@dataclass(frozen=True)
class Sitting:
    """A model and the images it was attacked on; the same images for every model.

    Args:
        label: how pictures call the model.
        model: in whose features they look.
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
            found = self.model.of_files(list(self.inputs(images)))
        return F.normalize(found.float().cpu(), dim=1)


_CELL = (0.9, 1.8)
_BLEND = 0.55  # share of the map in the picture


def attention_maps(
    sitting: Sitting, images: Sequence[Image.Image], toward: Tensor
) -> list[np.ndarray]:
    """Return a map in [0, 1], as large as the network's input, for each of n images.

    Grad-CAM (Selvaraju et al., 2017) at the last layer that has places, of the feature's
    projection on a reference: cosine times length, since the cosine itself has no gradient at the
    reference. The network is left as it was.

    Args:
        sitting: the model.
        images: n of them.
        toward: (n, D), of length 1 each; the features of the clean images.

    Raises:
        ConfigError: the package grad-cam is missing, or the network has no layer with places.
    """
    inputs = sitting.inputs(images).split(1)
    return [found[0] for found in projected_maps(sitting.model.network, inputs, toward)]


def projected_maps(
    network: nn.Module, inputs: Sequence[Tensor], toward: Tensor
) -> list[np.ndarray]:
    """Return Grad-CAM's maps (B, H, W) in [0, 1], each scaled to its own range, of n inputs.

    Args:
        network: (B, 3, H, W) -> features whose first one counts; left as it was.
        inputs: n of them.
        toward: (n, D), on which the features are projected.

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
            found = cam(input_tensor=image, targets=[_projection(reference)])
            maps.append(np.asarray(found, np.float32))
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
    """Return the part of a network that is the last to give maps with more than one place.

    Args:
        network: in eval mode.
        image: (B, 3, H, W), its input; what gives maps gives one for each of them.

    Raises:
        ConfigError: there is none, or none that a gradient comes from.
    """
    found: list[nn.Module] = []
    twice = torch.cat([image, image])  # a clip of one frame would look like a batch of stripes

    def note(module: nn.Module, _: Any, output: Any) -> None:
        maps = isinstance(output, Tensor) and output.ndim == 4 and len(output) == len(twice)
        if maps and output.shape[-2:].numel() > 1 and output.requires_grad:
            found.append(module)

    parts = [part for part in network.modules() if part is not network]
    hooks = [part.register_forward_hook(note) for part in parts]
    try:
        with torch.enable_grad():
            network(twice.to(next(network.parameters()).device).requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ConfigError(f"{type(network).__name__} has no layer with places for Grad-CAM")
    return found[-1]


def agreement(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> list[float]:
    """Return the correlation of each pair of maps, in [-1, 1]; 0 where one of them is flat."""
    found = []
    for one, other in zip(before, after, strict=True):
        flat = one.std() == 0 or other.std() == 0
        found.append(0.0 if flat else float(np.corrcoef(one.ravel(), other.ravel())[0, 1]))
    return found


Maps = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]  # before and after the attack


def attention_figure(sittings: Sequence[Sitting], maps: Sequence[Maps], count: int) -> Figure:
    """Draw images, a row each, with the maps of each model before and after the attack.

    Args:
        sittings: the models.
        maps: of each of them.
        count: rows.
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
            for side, (images, found, word, color) in enumerate(shown):
                sheet.show(
                    row,
                    1 + 2 * place + side,
                    overlay(images[row], found[row]),
                    frame=color,
                    above="" if row else f"{sitting.label}, {word}",
                    below=(f"agreement {alike:.2f}", INK) if side else ("", INK),
                )
    return sheet.figure


def overlay(image: Image.Image, found: np.ndarray) -> Image.Image:
    """Return an image under its map, warm where it is high."""
    size = (image.height, image.width)
    values = F.interpolate(
        torch.from_numpy(found)[None, None], size, mode="bilinear", align_corners=False
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
        original: RGB image, as the network gets to see it.
        before: under its map.
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
        return fmean(one.alike for one in self.images) if self.images else None


def attended(
    model: ImageModel, target: TargetReport, image_ids: Sequence[str], *, gradient: bool = True
) -> Attended:
    """Return where a model's features of some attacked images come from.

    Args:
        model: a network's; behind a defense, its images are those that the defense lets through.
        target: knows the files.
        image_ids: of attacked images.
        gradient: the model has one.
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
    sitting = Sitting("", inner, clean, adversarial)
    toward = sitting.features(clean)
    try:
        before, after = (attention_maps(sitting, found, toward) for found in (clean, adversarial))
    except (ConfigError, RuntimeError, TypeError, AttributeError) as error:
        # a network from elsewhere may refuse to be looked into; the page is written all the same
        return Attended((), f"Nothing is drawn here: {error}.")
    parts = zip(image_ids, clean, adversarial, before, after, agreement(before, after), strict=True)
    return Attended(
        [
            Looked(name, image, overlay(image, old), overlay(other, new), alike)
            for name, image, other, old, new, alike in parts
        ]
    )


def _through(model: ImageModel, image: Image.Image) -> Image.Image:
    """Return an image as the network gets to see it."""
    return model.defense.of_image(image) if isinstance(model, Defended) else image
