"""The attack inside a training step: on the network as it is now, or learned before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.budget import Budget
from torchreid_adv.attacks.build import configured_distance
from torchreid_adv.attacks.classification import IdentityLogits, identity_classifier
from torchreid_adv.attacks.fgsm import sign_attack
from torchreid_adv.attacks.learned.fitted import Learned, load_learned
from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
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
from torchreid_adv.models.prepare import Ready, frozen


class GuidedDistance(Objective):
    """Away from the identity's other images, towards the furthest other identity (GOAT).

    ``sum_i |f - p_i|^2 - |f - n|^2`` (Bouniot et al., Vulnerability of Person Re-Identification
    Models to Metric Adversarial Attacks, guide-sampling adversarial training), with features of the
    model as it is now. The paper draws the guides p_i from the whole training set; here they are
    the identity's other images in the batch, which cost nothing more: 4 of them, as in the paper,
    with 5 images per identity. n is the clean image of another identity that is furthest.

    Args:
        distance: the metric that is attacked.
    """

    scope = "batch"

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric, and what the references are."""
        return {
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "reference": "guides of the batch",
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> distances to their own guides minus that to the furthest other image.

        An image that is alone with its identity is pulled only, a batch of one identity is pushed
        only.

        Raises:
            ConfigError: no pids, or one identity with one image only.
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
            # written out: a distance between equal features has no gradient in cdist
            squares = mapped.pow(2).sum(1, keepdim=True) + clean.pow(2).sum(1)
            push = ((squares - 2 * mapped @ clean.t()) * pushes).sum(1)
            pull = (mapped - clean[furthest]).pow(2).sum(1) * pulls
            return (push - pull) * self.distance.scale

        return losses


STEPS, STEP_SIZE = 7, 1.0  # of adversarial training by Bouniot et al.; gray levels
ONE_STEP = {"fgsm_rs": 1.25, "n_fgsm": 1.0}  # method -> size of its step in bounds


@dataclass(frozen=True)
class InnerAttack:
    """PGD on the network as it is now: frozen, in eval mode, gradients of the images alone.

    Args:
        objective: ``self``: away from the own feature; ``guided``: see :class:`GuidedDistance`;
            ``classification``: cross-entropy of the identity.
        distance: that ``self`` and ``guided`` attack.
        eps: L-infinity bound, pixel units of [0, 1].
        step_size: pixel units of [0, 1].
        steps: how many.
        start: ``random`` or ``zero``, which ``self`` cannot leave by itself.
        seed: of the random start.
        precision: ``fp32`` or ``bf16``, number format of the network during the attack.
        noise: k of N-FGSM, whose start is noise of k times eps; 0 = noise within eps.
        kept: objective and graphs of the network that is trained.
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
    kept: dict[nn.Module, tuple[Objective, Graphed]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def configured(cls, cfg: AdvConfig, seed: int) -> InnerAttack:
        """Return the attack of ``adv.training.*``.

        Raises:
            ConfigError: a distance that cannot be attacked while features change, or an objective
                that does not leave its start.
        """
        chosen, distance = cfg.adv.training, configured_distance(cfg)
        if isinstance(distance, FittedDistance) or not distance.squared_euclidean:
            raise ConfigError(
                f"adversarial training attacks features while they change, and '{distance.name}' "
                "is not made for that; set adv.attack.metric 'euclidean' or 'cosine'"
            )
        if chosen.objective == "self" and chosen.start == "zero":
            raise ConfigError(
                "adv.training.objective 'self' has no gradient at the clean image; set "
                "adv.training.start 'random'"
            )
        one_step = chosen.method in ONE_STEP
        if one_step and (chosen.steps not in (None, 1) or chosen.start != "random"):
            raise ConfigError(
                f"adv.training.method '{chosen.method}' takes one step from a random start; leave "
                "adv.training.steps and adv.training.start out, or set method 'pgd'"
            )
        usual = ONE_STEP[chosen.method] * chosen.eps if one_step else STEP_SIZE
        return cls(
            objective=chosen.objective,
            distance=distance,
            eps=from_levels(chosen.eps),
            step_size=from_levels(usual if chosen.step_size is None else chosen.step_size),
            steps=1 if one_step else STEPS if chosen.steps is None else chosen.steps,
            start=chosen.start,
            seed=seed,
            precision=chosen.precision,
            noise=chosen.noise if chosen.method == "n_fgsm" else 0.0,
        )

    def within(self, eps: float) -> InnerAttack:
        """Return the attack of another bound, pixel units; its step shrinks in proportion."""
        return replace(self, eps=eps, step_size=self.step_size * eps / self.eps)

    def __call__(self, model: PixelModel, batch: Batch) -> Tensor:
        """Return the adversarial pixels (N, 3, H, W) in [0, 1]; the model is left as it was.

        Raises:
            ConfigError: ``classification`` and a network without one linear classifier.
        """
        objective, graphed = self._kept(model)
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
        if not batch.images.is_cuda or self.precision != "fp32" or type(model) is not PixelModel:
            return loop(model, batch).images  # of a copy, whose BatchNorm is folded
        graphed.refresh()
        live = PixelModel(graphed, **model.settings())
        with frozen(model):  # a GPU waits for Python; graphs last for the whole training
            return loop(Ready(live), batch).images

    def _kept(self, model: PixelModel) -> tuple[Objective, Graphed]:
        if model.network not in self.kept:
            self.kept.clear()
            self.kept[model.network] = self._objective(model), Graphed(model.network)
        return self.kept[model.network]

    def _objective(self, model: PixelModel) -> Objective:
        if self.objective == "classification":
            return IdentityLogits(identity_classifier(model), known=True)
        return {"self": SelfDistance, "guided": GuidedDistance}[self.objective](self.distance)


@dataclass(frozen=True)
class LearnedInner:
    """What was learned before, the same in every step whatever the network is by then.

    Args:
        perturbation: universal, or a generator.
    """

    perturbation: Learned

    @classmethod
    def configured(cls, cfg: AdvConfig) -> LearnedInner:
        """Return what ``adv.training.universal`` names.

        Raises:
            ConfigError: no file, one of another bound, or keys of a search.
        """
        chosen = cfg.adv.training
        if not chosen.universal:
            raise ConfigError(
                "adv.training.objective 'universal' perturbs by what was learned before; name its "
                "file in adv.training.universal, and learn one with adv.engine meta_attack or "
                "mis_ranking"
            )
        if chosen.steps is not None or chosen.step_size is not None:
            raise ConfigError(
                "adv.training.objective 'universal' takes no steps; leave adv.training.steps and "
                "adv.training.step_size None"
            )
        eps = from_levels(chosen.eps)
        return cls(load_learned(chosen.universal, eps, key="adv.training.eps")[0])

    @torch.no_grad()
    def __call__(self, model: PixelModel, batch: Batch) -> Tensor:
        """Return the adversarial pixels (N, [T,] 3, H, W) in [0, 1]; the model plays no part."""
        own, images = self.perturbation.to(batch.images.device), batch.images
        return own(images.flatten(0, -4)).view_as(images)


def configured_inner(cfg: AdvConfig, seed: int) -> InnerAttack | LearnedInner:
    """Return the attack of ``adv.training.*`` in training.

    Raises:
        ConfigError: see :meth:`InnerAttack.configured` and :meth:`LearnedInner.configured`.
    """
    chosen = cfg.adv.training
    if chosen.objective == "universal":
        return LearnedInner.configured(cfg)
    if chosen.universal:
        raise ConfigError(
            f"adv.training.objective '{chosen.objective}' does not use adv.training.universal; set "
            "the objective 'universal', or leave the file ''"
        )
    return InnerAttack.configured(cfg, seed)


def searching(cfg: AdvConfig) -> InnerAttack:
    """Return the one-step attack that a guard compares with where training has none of its own."""
    run_cfg = cfg.clone()
    run_cfg.adv.training.method, run_cfg.adv.training.start = "fgsm_rs", "random"
    return InnerAttack.configured(run_cfg, int(lookup(cfg, "train.seed", 0)))
