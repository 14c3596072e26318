"""Attacks that were learned before: nothing is optimized on the images they change."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.gradient_attack import Adversarial
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.same_size import same_size
from torchreid_adv.attacks.universal import UniversalPerturbation, load_universal
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import PRECISIONS, prepared
from torchreid_adv.pixels import to_levels
from torchreid_adv.registry import ATTACKS

PAPER = (
    "Yang et al., Towards Robust Person Re-Identification by Defending Against Universal "
    "Attackers, 2022"
)
_SAID = ("trained_on", "virtual", "learning", "model")  # of the header, in a report


class Fitted:
    """A universal perturbation, applied to images of any size.

    The losses it gives back are how far an image's feature went from its clean one.

    Args:
        perturbation: learned before; it is left as it is.
        distance: in which the losses are.
        about: what it was learned on and against.
        precision: ``fp32`` or ``bf16``, number format inside the networks.

    Raises:
        ConfigError: an unknown precision.
    """

    name = "universal"

    def __init__(
        self,
        perturbation: UniversalPerturbation,
        distance: Distance,
        *,
        about: dict[str, Any] | None = None,
        precision: str = "fp32",
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, got '{precision}'")
        self.perturbation = perturbation
        self.distance = distance
        self.about = about or {}
        self.precision = precision

    @property
    def linf(self) -> float:
        """L-infinity bound in [0, 1]."""
        return self.perturbation.linf

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the attack, lengths in gray levels."""
        own = self.perturbation
        learned = {key: self.about[key] for key in _SAID if self.about.get(key)}
        return {
            "eps": round(to_levels(own.eps), 6),
            "linf": round(to_levels(own.linf), 6),
            "perturbation": own.kind,
            "budget": own.budget,
            "knowledge": "one perturbation for all images, learned before on training images",
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "precision": self.precision,
            "sha256": self.about.get("sha256", ""),
            **learned,
        }

    @torch.no_grad()
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Return the adversarial form of a batch; the references play no part."""
        images = self.change(batch)
        with prepared(model, batch.images, precision=self.precision) as ready:
            clean, moved = (
                self.distance.map(ready(pixels, sizes=batch.sizes))
                for pixels in (batch.images, images)
            )
        after = (moved - clean).pow(2).sum(1) * self.distance.scale
        before = torch.zeros_like(after)
        same = (images == batch.images).flatten(1).all(1)
        return Adversarial(images, before, after, same, torch.stack([before, after]))

    def change(self, batch: Batch) -> Tensor:
        """Return the adversarial images (N, 3, H, W), each changed within its own size."""
        images, own = batch.images.clone(), self.perturbation.to(batch.images.device)
        for rows, part in same_size(batch):
            height, width = part.images.shape[-2:]
            images[rows, :, :height, :width] = own(part.images)
        return images


@ATTACKS.register("universal", paper=PAPER, title="one learned delta, color table or both")
def universal(
    *,
    eps: float,
    distance: Distance,
    weights: str = "",
    seed: int = 0,
    precision: str = "fp32",
) -> Fitted:
    """Build the attack of a file.

    Args:
        eps: the bound that the file says, pixel units of [0, 1].
        distance: in which the losses are.
        weights: file that ``adv.engine: meta_attack`` wrote.
        seed: not used; nothing is drawn.
        precision: ``fp32`` or ``bf16``.

    Raises:
        ConfigError: no file, or one of another bound.
    """
    if not weights:
        raise ConfigError(
            "the attack 'universal' applies what was learned before; name its file in "
            "adv.attack.weights, and learn one with adv.engine meta_attack"
        )
    perturbation, found = load_universal(weights)
    if abs(perturbation.eps - eps) > 1e-6:
        raise ConfigError(
            f"'{weights}' was learned within {to_levels(perturbation.eps):g} gray levels, and "
            f"adv.attack.eps is {to_levels(eps):g}; set adv.attack.eps "
            f"{to_levels(perturbation.eps):g}, or learn another"
        )
    if not distance.squared_euclidean:
        raise ConfigError(
            f"the attack 'universal' measures between single features, which the distance "
            f"'{distance.name}' does not map; set adv.attack.metric euclidean or cosine"
        )
    about = {**found.about, "sha256": found.sha256}
    return Fitted(perturbation, distance, about=about, precision=precision)
