"""Attacks that were learned before, by name: nothing is optimized on the images they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.learned.generator import KIND as GENERATOR
from torchreid_adv.attacks.learned.generator import GeneratedNoise, load_generator
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, load_universal
from torchreid_adv.attacks.loop.gradient_attack import Adversarial
from torchreid_adv.attacks.loop.randomness import same_size
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.tensors import takes_tensors
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.core.pixels import to_levels
from torchreid_adv.core.tensor_file import TensorFile, holds
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import PRECISIONS, prepared

PAPER = (
    "Yang et al., Towards Robust Person Re-Identification by Defending Against Universal "
    "Attackers, 2022"
)
MIS_RANKING = (
    "Wang et al., Transferable, Controllable, and Inconspicuous Adversarial Attacks on Person "
    "Re-identification With Deep Mis-Ranking, 2020"
)
Learned = UniversalPerturbation | GeneratedNoise
T = TypeVar("T", bound=Learned)
_SAID = ("trained_on", "virtual", "learning", "model")  # of the header, in a report


class Fitted(Generic[T], Described):
    """A universal perturbation or a generator, applied to images of any size.

    The losses it gives back are how far an image's feature went from its clean one.

    Args:
        perturbation: learned before; it is put into eval mode, in which nothing is drawn.
        distance: in which the losses are.
        about: what it was learned on and against.
        precision: ``fp32`` or ``bf16``, number format inside the networks.

    Raises:
        ConfigError: an unknown precision.
    """

    name = "universal"
    needs_gradient = False  # any more

    def __init__(
        self,
        perturbation: T,
        distance: Distance,
        *,
        about: dict[str, Any] | None = None,
        precision: str = "fp32",
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, got '{precision}'")
        self.perturbation = perturbation.eval()
        self.distance = distance
        self.about = about or {}
        self.precision = precision

    @property
    def linf(self) -> float:
        """L-infinity bound in [0, 1]."""
        return self.perturbation.linf

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the attack, lengths in gray levels."""
        learned = {key: self.about[key] for key in _SAID if self.about.get(key)}
        return {
            **self.perturbation.describe(),
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "precision": self.precision,
            "sha256": self.about.get("sha256", ""),
            **learned,
        }

    @takes_tensors
    @torch.no_grad()
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Return the adversarial form of a batch; the references play no part."""
        images = self.change(batch)
        with prepared(model, batch.images, precision=self.precision) as ready:
            clean, moved = (
                self.distance.map(batch.embed(ready)(pixels)) for pixels in (batch.images, images)
            )
        after = (moved - clean).pow(2).sum(1) * self.distance.scale
        before = torch.zeros_like(after)
        same = (images == batch.images).flatten(1).all(1)
        return Adversarial(images, before, after, same, torch.stack([before, after]))

    def change(self, batch: Batch) -> Tensor:
        """Return the adversarial images (N, 3, H, W), each changed within its own size."""
        images, own = batch.images.clone(), self.perturbation.to(batch.images.device)
        for rows, part in same_size(batch, alone=own.alone):
            height, width = part.images.shape[-2:]
            images[rows, :, :height, :width] = own(part.images)
        return images


@attack("universal", paper=PAPER, title="one learned delta, color table or both")
def universal(budget: Budget, distance: Distance, *, weights: str = "") -> Fitted:
    """Build the attack of a file.

    Options:
        eps: the bound that the file says, pixel units of [0, 1].
        distance: in which the losses are.
        weights: file that ``adv.engine: meta_attack`` wrote.
        seed: not used; nothing is drawn.

    Raises:
        ConfigError: no file, or one of another bound.
    """
    return _fitted("universal", budget, distance, weights, "meta_attack", load_universal)


@attack("mis_ranking", paper=MIS_RANKING, title="noise drawn by a learned generator")
def mis_ranking(budget: Budget, distance: Distance, *, weights: str = "") -> Fitted:
    """Build the attack of a generator, which is fp32 itself.

    Options:
        eps: the bound that the file says, pixel units of [0, 1].
        distance: in which the losses are.
        weights: file that ``adv.engine: mis_ranking`` wrote.
        seed: not used; nothing is drawn.

    Raises:
        ConfigError: no file, or one of another bound.
    """
    return _fitted("mis_ranking", budget, distance, weights, "mis_ranking", load_generator)


def load_learned(path: str, eps: float, *, key: str) -> tuple[Learned, TensorFile]:
    """Return what a file holds, a universal perturbation or a generator, and what it says of it.

    Args:
        path: of the file.
        eps: the bound that the file says, pixel units of [0, 1].
        key: the config key of the bound, for the error.

    Raises:
        ConfigError: no file, another kind of file, or one of another bound.
    """
    return _within(eps, path, key, load_generator if holds(path, GENERATOR) else load_universal)


def _within(
    eps: float, path: str, key: str, load: Callable[[str], tuple[Any, TensorFile]]
) -> tuple[Any, TensorFile]:
    own, found = load(path)
    if abs(own.eps - eps) > 1e-6:
        raise ConfigError(
            f"'{path}' was learned within {to_levels(own.eps):g} gray levels, and {key} is "
            f"{to_levels(eps):g}; set {key} {to_levels(own.eps):g}, or learn another"
        )
    return own, found


def _fitted(
    name: str,
    budget: Budget,
    distance: Distance,
    weights: str,
    engine: str,
    load: Callable[[str], tuple[Any, TensorFile]],
) -> Fitted:
    if not weights:
        raise ConfigError(
            f"the attack '{name}' applies what was learned before; name its file in "
            f"adv.attack.weights, and learn one with adv.engine {engine}"
        )
    own, found = _within(budget.eps, weights, "adv.attack.eps", load)
    if not distance.squared_euclidean:
        raise ConfigError(
            f"the attack '{name}' measures between single features, which the distance "
            f"'{distance.name}' does not map; set adv.attack.metric euclidean or cosine"
        )
    about = {**found.about, "sha256": found.sha256}
    return Fitted(own, distance, about=about, precision=budget.precision)
