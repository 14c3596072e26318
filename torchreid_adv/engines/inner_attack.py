"""The attack inside a training step: on the current network, or learned before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.budget import Budget
from torchreid_adv.attacks.build import configured_distance
from torchreid_adv.attacks.classification import IdentityLogits, identity_classifier
from torchreid_adv.attacks.fgsm import sign_attack
from torchreid_adv.attacks.learned.fitted import Learned, load_learned
from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.objectives import DistanceObjective, Embed, Losses, Objective
from torchreid_adv.attacks.loop.perturbations import NoisyDelta
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.sma import SelfDistance
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import Distance, FittedDistance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.cuda import Graphed
from torchreid_adv.models.pixel_model import frozen
from torchreid_adv.models.prepare import Ready
from torchreid_adv.models.twin import Twin


class GuidedDistance(DistanceObjective):
    """Moves away from other images of the identity, toward the furthest other identity (GOAT).

    ``sum_i |f - p_i|^2 - |f - n|^2`` (Bouniot et al., Vulnerability of Person Re-Identification
    Models to Metric Adversarial Attacks, guide-sampling adversarial training), with features of the
    current model. The paper draws the guides p_i from the whole training set; here they are the
    other images of the identity in the batch, at no extra cost: 4 guides, as in the paper, with 5
    images per identity. n is the furthest clean image of another identity.

    Args:
        distance: the distance to attack.
    """

    scope = "batch"

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric, and the references."""
        return {**super().describe(), "reference": "guides of the batch"}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> distances to their guides minus that to the furthest other image.

        Without guides an image is only pulled, and in a batch of one identity only pushed.

        Raises:
            ConfigError: there are no pids, or only one image.
        """
        if batch.pids is None:
            raise ConfigError("this attack needs Batch(images, pids=...) to find guides")
        with torch.no_grad():
            clean = self.distance.map(embed(batch.images))
        pids = batch.pids.to(clean.device)
        same = pids[:, None] == pids
        other = ~same
        pushes = same.to(clean).fill_diagonal_(0)
        if not (pushes.any() or other.any()):
            raise ConfigError("guided training needs batches of several images")
        furthest = torch.cdist(clean, clean).masked_fill(same, -1).argmax(1)
        pulls = other.any(1).to(clean)

        def losses(images: Tensor) -> Tensor:
            mapped = self.distance.map(embed(images))
            # explicit formula: cdist has no gradient between equal features
            squares = mapped.pow(2).sum(1, keepdim=True) + clean.pow(2).sum(1)
            push = ((squares - 2 * mapped @ clean.t()) * pushes).sum(1)
            pull = (mapped - clean[furthest]).pow(2).sum(1) * pulls
            return (push - pull) * self.distance.scale

        return losses


STEPS, STEP_SIZE = 7, 1.0  # of adversarial training by Bouniot et al.; gray levels
# method -> size of its step in bounds
ONE_STEP = {"fgsm_rs": 1.25, "n_fgsm": 1.0, "atas": 1.0, "gradalign": 1.0}


class Lasting(NamedTuple):
    """What an attack makes once for the network in training.

    Args:
        objective: of the attack.
        graphed: the network itself, replayed as CUDA graphs.
        twin: its prepared copy.
    """

    objective: Objective
    graphed: Graphed
    twin: Twin


@dataclass(frozen=True)
class InnerAttack:
    """PGD on the current network: frozen, in eval mode, with gradients of the images only.

    Args:
        objective: ``self``: away from the clean feature; ``guided``: see :class:`GuidedDistance`;
            ``classification``: cross-entropy of the identity.
        distance: the distance for ``self`` and ``guided``.
        eps: L-infinity bound, pixel units of [0, 1].
        step_size: pixel units of [0, 1].
        steps: number of steps.
        start: ``random``, or ``zero``, where ``self`` has no gradient.
        seed: seed of the random start.
        precision: ``fp32`` or ``bf16``, number format of the network during the attack.
        noise: k of N-FGSM, whose start is noise of k times eps; 0 = noise within eps.
        cache: objective, CUDA graphs and copy of the trained network.
    """

    objective: str
    distance: Distance
    eps: float
    step_size: float
    steps: int
    start: str
    seed: int
    precision: str = "fp32"
    noise: float = 0.0
    cache: dict[nn.Module, Lasting] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def configured(
        cls, cfg: AdvConfig, seed: int, *, start: str = "", **fields: Any
    ) -> InnerAttack:
        """Build the attack of ``adv.training.*``.

        Args:
            cfg: the whole config.
            seed: of the random start.
            start: the start that the method prescribes; "" = that of the config.
            fields: further ones of a subclass.

        Raises:
            ConfigError: the distance cannot be attacked while features change, or the objective
                has no gradient at the start.
        """
        settings, distance = cfg.adv.training, configured_distance(cfg)
        if isinstance(distance, FittedDistance) or not distance.squared_euclidean:
            raise ConfigError(
                f"adversarial training attacks features while they change, and '{distance.name}' "
                "is not made for that; set adv.attack.metric 'euclidean' or 'cosine'"
            )
        if settings.objective == "self" and settings.start == "zero" and not start:
            raise ConfigError(
                "adv.training.objective 'self' has no gradient at the clean image; set "
                "adv.training.start 'random'"
            )
        one_step = settings.method in ONE_STEP
        if one_step and (settings.steps not in (None, 1) or settings.start != "random"):
            raise ConfigError(
                f"adv.training.method '{settings.method}' takes one step from a random start; "
                "leave adv.training.steps and adv.training.start out, or set method 'pgd'"
            )
        usual = ONE_STEP[settings.method] * settings.eps if one_step else STEP_SIZE
        return cls(
            objective=settings.objective,
            distance=distance,
            eps=from_levels(settings.eps),
            step_size=from_levels(usual if settings.step_size is None else settings.step_size),
            steps=1 if one_step else STEPS if settings.steps is None else settings.steps,
            start=start or settings.start,
            seed=seed,
            precision=settings.precision,
            noise=settings.noise if settings.method == "n_fgsm" else 0.0,
            **fields,
        )

    def within(self, eps: float) -> InnerAttack:
        """Return the attack of another bound, pixel units; its step shrinks in proportion."""
        return replace(self, eps=eps, step_size=self.step_size * eps / self.eps)

    def __call__(self, model: PixelModel, batch: Batch) -> Tensor:
        """Return the adversarial pixels (N, 3, H, W) in [0, 1]; the model is left unchanged.

        Raises:
            ConfigError: ``classification`` needs a network with a single linear classifier.
        """
        lasting = self._lasting(model)
        loop = self._loop(lasting.objective)
        if not batch.images.is_cuda or self.precision != "fp32" or type(model) is not PixelModel:
            with lasting.twin.prepared(model, batch.images) as ready:
                return loop(ready, batch).images
        lasting.graphed.refresh()
        live = PixelModel(lasting.graphed, **model.settings())
        with frozen(model):  # on a GPU, Python is the bottleneck; graphs serve the whole training
            return loop(Ready(live), batch).images

    def _loop(self, objective: Objective) -> GradientAttack:
        budget = Budget(
            eps=self.eps,
            step_size=self.step_size,
            steps=self.steps,
            seed=self.seed,
            precision=self.precision,
        )
        loop = sign_attack(objective, budget, start=self.start, score=False)
        if self.noise:
            loop.perturbation = NoisyDelta(self.eps, self.noise)
        return loop

    def _lasting(self, model: PixelModel) -> Lasting:
        if model.network not in self.cache:
            self.cache.clear()
            objective, graphed = self._objective(model), Graphed(model.network)
            self.cache[model.network] = Lasting(objective, graphed, Twin(self.precision))
        return self.cache[model.network]

    def _objective(self, model: PixelModel) -> Objective:
        if self.objective == "classification":
            return IdentityLogits(identity_classifier(model), known=True)
        return {"self": SelfDistance, "guided": GuidedDistance}[self.objective](self.distance)


@dataclass(frozen=True)
class LearnedInner:
    """A perturbation learned before, the same in every step, independent of the network.

    Args:
        perturbation: a universal perturbation or a generator.
    """

    perturbation: Learned

    @classmethod
    def configured(cls, cfg: AdvConfig) -> LearnedInner:
        """Load the perturbation of ``adv.training.universal``.

        Raises:
            ConfigError: the file is missing or has another bound, or steps are configured.
        """
        settings = cfg.adv.training
        if not settings.universal:
            raise ConfigError(
                "adv.training.objective 'universal' adds noise that was learned in an earlier run; "
                "learn it with adv.engine meta_attack or mis_ranking, and name its file in "
                "adv.training.universal"
            )
        if settings.steps is not None or settings.step_size is not None:
            raise ConfigError(
                "adv.training.objective 'universal' takes no steps; leave adv.training.steps and "
                "adv.training.step_size None"
            )
        eps = from_levels(settings.eps)
        return cls(load_learned(settings.universal, eps, key="adv.training.eps")[0])

    @torch.no_grad()
    def __call__(self, model: PixelModel, batch: Batch) -> Tensor:
        """Return the adversarial pixels (N, [T,] 3, H, W) in [0, 1]; the model is ignored."""
        perturbation, images = self.perturbation.to(batch.images.device), batch.images
        return perturbation(images.flatten(0, -4)).view_as(images)


def configured_inner(cfg: AdvConfig, seed: int) -> InnerAttack | LearnedInner:
    """Build the attack of ``adv.training.*``.

    Raises:
        ConfigError: see :meth:`InnerAttack.configured` and :meth:`LearnedInner.configured`.
    """
    settings = cfg.adv.training
    if settings.objective == "universal":
        return LearnedInner.configured(cfg)
    if settings.universal:
        raise ConfigError(
            f"adv.training.objective '{settings.objective}' does not use adv.training.universal; "
            "set the objective 'universal', or leave the file ''"
        )
    return InnerAttack.configured(cfg, seed)


def searching(cfg: AdvConfig) -> InnerAttack:
    """Return the one-step attack that a guard compares with if the training has no attack."""
    run_cfg = cfg.clone()
    run_cfg.adv.training.method, run_cfg.adv.training.start = "fgsm_rs", "random"
    return InnerAttack.configured(run_cfg, int(lookup(cfg, "train.seed", 0)))
