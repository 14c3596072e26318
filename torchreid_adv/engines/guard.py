"""A guard against failures of robust training that its loss does not show.

After each epoch a fixed batch of training images is attacked by the training's own attack and by
PGD of 20 steps. What comes out is printed in a line, and a failure in a sentence that says what to
try.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.models import PixelModel
from torchreid_adv.models.pixel_model import frozen

IMAGES = 64
STEPS = 20  # of PGD
GAP = 0.2  # Wong et al., Fast is Better than Free, 2020: PGD's accuracy on the first batch falls
COLLAPSED = 0.3  # mean distance of unit features; of random directions it is 1.41
_FEW = 1e-6  # deviation of a feature that says nothing, in units of the mean deviation


@dataclass(frozen=True)
class Look:
    """What the guard saw after an epoch.

    Args:
        clean: share of images whose nearest other image has the same identity, [0, 1].
        trained: the same under the attack of the training.
        searched: the same under PGD of 20 steps.
        alignment: mean cosine between the gradient at an image and at noise around it.
        distance: mean distance between unit features of different images.
        rank: effective rank of the features, at most their number.
        dead: share of features that are the same for all images, [0, 1].
        features: how many there are.
    """

    clean: float
    trained: float
    searched: float
    alignment: float
    distance: float
    rank: float
    dead: float
    features: int

    def line(self) -> str:
        """Return all values in one line."""
        return (
            f"nearest image right: clean {100 * self.clean:.0f} %, training attack "
            f"{100 * self.trained:.0f} %, PGD-{STEPS} {100 * self.searched:.0f} %; gradients align "
            f"{self.alignment:.2f}; mean distance {self.distance:.2f}; effective rank "
            f"{self.rank:.0f} of {self.features}; dead features {100 * self.dead:.0f} %"
        )


def failures(look: Look, before: Sequence[Look]) -> list[str]:
    """Return what has failed, a sentence each that says what to try.

    Args:
        look: of now.
        before: of the epochs before.
    """
    warnings = []
    best = max((earlier.searched for earlier in before), default=0.0)
    aligned = max((earlier.alignment for earlier in before), default=0.0)
    fell = bool(before) and before[-1].searched - look.searched > GAP
    gap = look.trained - look.searched
    crooked = look.alignment < aligned / 2 and gap > GAP / 2
    if gap > GAP or (fell and look.clean >= before[-1].clean - GAP) or crooked:
        warnings.append(
            f"catastrophic overfitting: PGD-{STEPS} leaves {100 * look.searched:.0f} % and the "
            f"training attack {100 * look.trained:.0f} % (best PGD-{STEPS} so far "
            f"{100 * best:.0f} %). The network has learned to break the short attack alone; go "
            "back to the last good epoch with adv.training.method 'n_fgsm', a smaller "
            "adv.training.step_size, or method 'pgd'"
        )
    if look.distance < COLLAPSED:
        warnings.append(
            f"collapse: features of different images are {look.distance:.2f} apart. The attack is "
            "too strong for the network; raise adv.training.warmup, start from a trained "
            "clean network (model.load_weights), or use adv.training.mix 'both'"
        )
    return warnings


class Guard:
    """Looks at a fixed batch of training images.

    Args:
        images: (N, 3, H, W) pixels in [0, 1], two or more images of each identity.
        pids: (N,) identities.
        attack: of the training; its bound is that of the look.
    """

    def __init__(self, images: Tensor, pids: Tensor, attack: InnerAttack) -> None:
        self.batch = Batch(images, pids=pids)
        self.attack = attack
        self.looks: list[Look] = []

    def look(self, model: PixelModel, attack: Callable[[PixelModel, Batch], Tensor]) -> list[str]:
        """Measure, print the values, and return warnings of failures; the model is not changed.

        Args:
            model: the model in training.
            attack: of the training.
        """
        seen = self._look(model, attack)
        print(f"=> Guard: {seen.line()}")
        warnings = failures(seen, self.looks)
        for sentence in warnings:
            print(f"warning: {sentence}")
        self.looks.append(seen)
        return warnings

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint keeps."""
        return [dataclasses.asdict(look) for look in self.looks]

    def take_state(self, state: list[dict[str, Any]]) -> None:
        """Continue from a state that :meth:`state` returned."""
        self.looks = [Look(**facts) for facts in state]

    def _look(self, model: PixelModel, attack: Callable[[PixelModel, Batch], Tensor]) -> Look:
        batch = self.batch.to(next(model.parameters()).device)
        pids = self.batch.pids
        assert pids is not None
        step = 2.5 * self.attack.eps / STEPS
        search = dataclasses.replace(
            self.attack, steps=STEPS, step_size=step, start="random", noise=0.0, cache={}
        )
        with torch.no_grad(), frozen(model):
            clean = _unit(model(batch.images))
        shares = []
        for images in (batch.images, attack(model, batch), search(model, batch)):
            with torch.no_grad(), frozen(model):
                shares.append(nearest_right(_unit(model(images)), clean, pids.to(clean.device)))
        return Look(
            clean=shares[0],
            trained=shares[1],
            searched=shares[2],
            alignment=alignment(model, batch, self.attack.eps),
            distance=mean_distance(clean),
            rank=effective_rank(clean),
            dead=dead_share(clean),
            features=clean.shape[1],
        )


def nearest_right(features: Tensor, gallery: Tensor, pids: Tensor) -> float:
    """Return the share of images whose nearest other clean image has their identity, [0, 1].

    Args:
        features: (N, D) of images, clean or attacked.
        gallery: (N, D) of the same images, clean.
        pids: (N,) identities.
    """
    distances = torch.cdist(features, gallery)
    distances.fill_diagonal_(torch.inf)
    return float((pids[distances.argmin(1)] == pids).float().mean())


def alignment(model: PixelModel, batch: Batch, eps: float) -> float:
    """Return the mean cosine between input gradients at images and at noise around them.

    Andriushchenko and Flammarion, Understanding and Improving Fast Adversarial Training, 2020: it
    falls when one step no longer finds what many do. The gradient is that of the distance to the
    feature of the next image in the batch; the distance to the image's clean feature has none.

    Args:
        model: in eval mode.
        batch: clean images.
        eps: bound, pixel units.
    """
    with frozen(model):
        with torch.no_grad():
            others = model(batch.images).roll(1, 0)
        size, draws = batch.images.shape[1:], batch.rng(0, "guard")
        noise = torch.stack([(torch.rand(size, generator=draw) * 2 - 1) * eps for draw in draws])
        gradients = []
        for added in (torch.zeros_like(noise), noise):
            start = (batch.images + added.to(batch.images)).clamp(0, 1).requires_grad_()
            loss = (model(start) - others).pow(2).sum()
            gradients.append(torch.autograd.grad(loss, start)[0].flatten(1))
    return float(torch.cosine_similarity(gradients[0], gradients[1], dim=1).mean())


def mean_distance(features: Tensor) -> float:
    """Return the mean distance (N, D) between different rows."""
    return float(torch.pdist(features).mean())


def effective_rank(features: Tensor) -> float:
    """Return the exponential of the entropy of the shares of singular values (N, D)."""
    values = torch.linalg.svdvals((features - features.mean(0)).double())
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    shares = shares[shares > 0]
    return float((-(shares * shares.log()).sum()).exp())


def dead_share(features: Tensor) -> float:
    """Return the share of features (N, D) that hardly differ between images."""
    deviations = features.std(0)
    return float((deviations <= _FEW * deviations.mean().clamp_min(_FEW)).float().mean())


def fixed_rows(pids: Sequence[int], count: int = IMAGES, *, seed: int = 0) -> list[int]:
    """Return the rows of a training set that are looked at: pairs and more of the same identity.

    Args:
        pids: of the training images.
        count: rows, at most.
        seed: of the draw of identities.
    """
    rows: dict[int, list[int]] = {}
    for row, pid in enumerate(pids):
        rows.setdefault(pid, []).append(row)
    several = [pid for pid in rows if len(rows[pid]) > 1]
    order = torch.randperm(len(several), generator=generator(seed, "guard")).tolist()
    each = max(2, count // max(1, min(len(several), count // 4)))
    fixed = [row for place in order for row in rows[several[place]][:each]]
    return fixed[:count]


def _unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features.float(), dim=1)
