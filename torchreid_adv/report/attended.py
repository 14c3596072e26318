"""Attention of one model in some attacked images, or the reason why there is none to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from PIL import Image

from torchreid_adv.defenses import Defended
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.base import ImageModel
from torchreid_adv.report.attention import agreement, attention_maps, overlay
from torchreid_adv.report.pictures import load
from torchreid_adv.report.sitting import Sitting
from torchreid_adv.report.target import TargetReport


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
