"""What the defenses of the triplet loss share: mined triplets, their attack, their loss."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.loop.objectives import Objective
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.distances import Distance
from torchreid_adv.engines.batches import Mixture, moved, to_pixels
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.engines.methods.base import Method, Sample
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.pixel_model import frozen

_TINY = 1e-12  # below a squared distance, whose root has no gradient at 0


@dataclass(frozen=True)
class Triplets:
    """Rows of a batch: (T,) anchors, positives of their identity, negatives of another one."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor

    def __len__(self) -> int:
        return len(self.anchors)


def softhard(distances: Tensor, pids: Tensor, draws: torch.Generator) -> Triplets:
    """Mine a triplet for every second image of an identity, by softhard sampling.

    The negative is drawn among those nearer than the furthest positive, the positive among those
    further than the nearest negative; where there are none, among all (Roth et al., Revisiting
    Training Strategies and Generalization Performance in Deep Metric Learning, 2020). The published
    code of the defenses has two images of an identity in a batch, and may draw the anchor as its
    own positive, which is not done here.

    Args:
        distances: (N, N) between images.
        pids: (N,) identities.
        draws: on the CPU.

    Raises:
        ConfigError: no image has both a positive and a negative.
    """
    same = (pids[:, None] == pids).cpu()
    positive, negative = same.clone().fill_diagonal_(False), ~same
    earlier = (same.tril(-1)).sum(1)  # images of the identity in rows before
    anchors = ((earlier % 2 == 0) & positive.any(1) & negative.any(1)).nonzero()[:, 0]
    if not len(anchors):
        raise ConfigError(
            "this method trains on triplets, and a batch has no two images of an identity next to "
            "another identity; set sampler.train_sampler RandomIdentitySampler"
        )
    rows = distances.detach().float().cpu()[anchors]
    positive, negative = positive[anchors], negative[anchors]
    furthest = rows.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
    nearest = rows.masked_fill(~negative, torch.inf).amin(1, keepdim=True)
    drawn = [
        _one_of(candidates & near, candidates, draws)
        for candidates, near in ((positive, rows > nearest), (negative, rows < furthest))
    ]
    return Triplets(*(part.to(pids.device) for part in (anchors, *drawn)))


def _one_of(preferred: Tensor, otherwise: Tensor, draws: torch.Generator) -> Tensor:
    """Draw a column of each row among the preferred ones, or among the others without any."""
    mask = torch.where(preferred.any(1, keepdim=True), preferred, otherwise)
    return torch.multinomial(mask.double(), 1, generator=draws)[:, 0]


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Return the distances (N,) between the rows of two matrices (N, D)."""
    return (a - b).pow(2).sum(1).clamp_min(_TINY).sqrt()


class GivenTriplets:
    """``mean max(0, margin + d(a, p) - d(a, n))`` of triplets that are listed one after the other.

    Takes the place of an engine's triplet loss.

    Args:
        distance: whose map the features pass; d is the root of its squared distance.
        margin: of the loss.
        structure: weight of ``max(0, d(clean a, a) - d(clean a, clean p))``, for batches that end
            with clean anchors and positives; 0 = none.
    """

    def __init__(self, distance: Distance, margin: float, structure: float = 0.0) -> None:
        self.distance, self.margin, self.structure = distance, margin, structure
        self.value = margin  # of the last batch

    def __call__(self, features: Tensor, pids: Tensor) -> Tensor:
        """Return the loss.

        Args:
            features: (3 T, D) of anchors, positives, negatives; with a structure (5 T, D).
            pids: are not needed, as the order says which images belong together.
        """
        parts = self.distance.map(features).chunk(5 if self.structure else 3)
        anchor, positive, negative = parts[:3]
        hardness = apart(anchor, positive) - apart(anchor, negative)
        loss = (self.margin + hardness).clamp_min(0).mean()
        self.value = float(loss.detach())
        if not self.structure:
            return loss
        clean, clean_positive = parts[3:]
        structure_loss = (apart(clean, anchor) - apart(clean, clean_positive)).clamp_min(0).mean()
        return loss + self.structure * structure_loss


@dataclass(frozen=True)
class TripletAttack(InnerAttack):
    """PGD on images of triplets together.

    Args:
        goal: what it raises.
    """

    goal: Objective | None = field(default=None, compare=False, repr=False)

    def _objective(self, model: PixelModel) -> Objective:
        assert self.goal is not None
        return self.goal


class TripletMethod(Method):
    """Mines triplets of each batch, attacks them, and trains on them alone.

    Softmax losses of the engine count all images that pass. Needs the triplet engine.
    """

    unread = ("objective", "start", "ratio", "consistency", "universal")

    def __init__(self, engine: Any, cfg: AdvConfig) -> None:
        super().__init__(engine, cfg)
        name = cfg.adv.training.method
        if engine.datamanager.data_type != "image":
            raise ConfigError(f"adv.training.method '{name}' is for data.type image, got video")
        if not getattr(engine, "weight_t", 0):
            raise ConfigError(
                f"adv.training.method '{name}' defends a triplet loss; set loss.name triplet and "
                "loss.triplet.weight_t above 0"
            )
        if cfg.adv.loss.triplet:
            raise ConfigError(
                f"adv.training.method '{name}' brings its own triplet loss; leave "
                "adv.loss.triplet ''"
            )
        margin = float(getattr(engine.criterion_t, "margin", 0.3))
        self.criterion = GivenTriplets(self.inner.distance, margin, self.structure)
        self.triplets: Triplets | None = None

    inner: TripletAttack
    structure = 0.0

    @abstractmethod
    def goal(self, distance: Distance) -> Objective:
        """Return what the attack on triplets raises."""

    @abstractmethod
    def passed(self, sample: Sample, triplets: Triplets, inner: TripletAttack) -> Mixture:
        """Return the images that pass: anchors, positives, negatives, and clean ones behind."""

    def attack(self, cfg: AdvConfig) -> InnerAttack:
        """Build PGD from the clean images."""
        distance = InnerAttack.configured(cfg, self.seed, start="zero").distance
        goal = self.goal(distance)
        return TripletAttack.configured(cfg, self.seed, start="zero", goal=goal)

    @property
    def probe(self) -> InnerAttack:
        """PGD of the same steps away from the clean feature: the guard has no triplets."""
        fields = ("distance", "eps", "step_size", "steps", "seed", "precision")
        facts = {name: getattr(self.inner, name) for name in fields}
        return InnerAttack(objective="self", start="random", **facts)

    def mixed(self, sample: Sample) -> Mixture:
        """Return the attacked triplets of a batch."""
        clean = to_pixels(sample.model, sample.images)
        with torch.no_grad(), frozen(sample.model):
            features = self.inner.distance.map(sample.model(clean))
        draws = generator(self.seed, "triplets", sample.draws[0])
        triplets = softhard(torch.cdist(features, features), sample.pids, draws)
        inner = self.inner_now(sample.eps)
        assert isinstance(inner, TripletAttack)
        return self.passed(sample, triplets, inner)

    @contextlib.contextmanager
    def around(self, engine: Any, sample: Sample, batch: Mixture) -> Iterator[dict[str, float]]:
        """Let the engine's triplet loss be that of these triplets."""
        stock = engine.criterion_t
        try:
            engine.criterion_t = self.criterion
            yield {}
        finally:
            engine.criterion_t = stock


def perturbed(sample: Sample, rows: Tensor, inner: TripletAttack) -> Tensor:
    """Return the attacked form (R, 3, H, W) of rows of a batch, normalized.

    Args:
        sample: the batch.
        rows: (R,), the roles one after the other; an image may have several.
        inner: attacks them together.
    """
    images = sample.images[rows]
    clean = to_pixels(sample.model, images)
    draws = tuple(f"{sample.draws[row]}/{place}" for place, row in enumerate(rows.tolist()))
    adversarial = inner(sample.model, Batch(clean, pids=sample.pids[rows], image_ids=draws))
    return moved(sample.model, images, clean, adversarial)


def of_triplets(sample: Sample, images: Tensor, rows: Tensor, attacked: Tensor) -> Mixture:
    """Return what passes.

    Args:
        sample: the batch.
        images: (R, 3, H, W) that pass, normalized.
        rows: (R,) of the batch, which they are forms of.
        attacked: (R,) bool.
    """
    nothing = rows[:0]
    return Mixture(images, sample.pids[rows], attacked, nothing, nothing)
