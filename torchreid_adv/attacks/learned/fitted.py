"""Previously learned attacks, by name; nothing is optimized on the attacked images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.learned.generator import KIND as GENERATOR
from torchreid_adv.attacks.learned.generator import GeneratedNoise, load_generator
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, load_universal
from torchreid_adv.attacks.loop.gradient_attack import Adversarial, takes_tensors
from torchreid_adv.attacks.loop.randomness import same_size
from torchreid_adv.attacks.references import References
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
_SAID = ("trained_on", "virtual", "learning", "model")  # header fields shown in a report


class Fitted(Generic[T], Described):
    """A universal perturbation or a generator, applied to images of any size.

    The reported losses are distances of an image's feature from its clean feature.

    Args:
        perturbation: the learned perturbation; it is put into eval mode, without random draws.
        distance: the distance of the losses.
        about: the data and models it was learned with.
        precision: ``fp32`` or ``bf16``, number format inside the networks.

    Raises:
        ConfigError: the precision is unknown.
    """

    name = "universal"
    needs_gradient = False  # it was learned before

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
        """Describe the attack for a report, lengths in gray levels."""
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
        """Return the adversarial form of a batch; references are ignored."""
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
        images, perturbation = batch.images.clone(), self.perturbation.to(batch.images.device)
        for rows, part in same_size(batch, alone=perturbation.alone):
            height, width = part.images.shape[-2:]
            images[rows, :, :height, :width] = perturbation(part.images)
        return images


@attack("universal", paper=PAPER, title="one learned delta, color table or both")
def universal(budget: Budget, distance: Distance, *, weights: str = "") -> Fitted:
    """Build a universal attack from a file.

    Options:
        eps: the bound stated in the file, pixel units of [0, 1].
        distance: the distance of the losses.
        weights: file that ``adv.engine: meta_attack`` wrote.
        seed: not used; nothing is drawn.

    Raises:
        ConfigError: the file is missing or has another bound.
    """
    return _fitted("universal", budget, distance, weights, "meta_attack", load_universal)


@attack("mis_ranking", paper=MIS_RANKING, title="noise drawn by a learned generator")
def mis_ranking(budget: Budget, distance: Distance, *, weights: str = "") -> Fitted:
    """Build the attack of a generator, which is in fp32.

    Options:
        eps: the bound stated in the file, pixel units of [0, 1].
        distance: the distance of the losses.
        weights: file that ``adv.engine: mis_ranking`` wrote.
        seed: not used; nothing is drawn.

    Raises:
        ConfigError: the file is missing or has another bound.
    """
    return _fitted("mis_ranking", budget, distance, weights, "mis_ranking", load_generator)


def load_learned(path: str, eps: float, *, key: str) -> tuple[Learned, TensorFile]:
    """Load a universal perturbation or a generator, and its file's header.

    Args:
        path: path of the file.
        eps: the bound stated in the file, pixel units of [0, 1].
        key: the config key of the bound, for errors.

    Raises:
        ConfigError: the file is missing, of another kind, or has another bound.
    """
    return _within(eps, path, key, load_generator if holds(path, GENERATOR) else load_universal)


def _within(
    eps: float, path: str, key: str, load: Callable[[str], tuple[Any, TensorFile]]
) -> tuple[Any, TensorFile]:
    learned, file = load(path)
    if abs(learned.eps - eps) > 1e-6:
        raise ConfigError(
            f"'{path}' was learned within {to_levels(learned.eps):g} gray levels, and {key} is "
            f"{to_levels(eps):g}; set {key} {to_levels(learned.eps):g}, or learn another"
        )
    return learned, file


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
            f"the attack '{name}' applies a learned perturbation; name its file in "
            f"adv.attack.weights, or learn one with adv.engine {engine}"
        )
    learned, file = _within(budget.eps, weights, "adv.attack.eps", load)
    if not distance.squared_euclidean:
        raise ConfigError(
            f"the attack '{name}' measures between single features, which the distance "
            f"'{distance.name}' does not map; set adv.attack.metric euclidean or cosine"
        )
    about = {**file.about, "sha256": file.sha256}
    return Fitted(learned, distance, about=about, precision=budget.precision)
