"""Mis-Ranking: adversarial training of a generator of perturbations, and its losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.attacks.classification import identity_scores
from torchreid_adv.attacks.learned.generator import GeneratedNoise
from torchreid_adv.attacks.learned.triplets import same_identity, single_features
from torchreid_adv.attacks.loop.randomness import seeded
from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.similarity import ms_ssim
from torchreid_adv.models.generator import SMALLEST_PATCH, PatchDiscriminator, least_squares
from torchreid_adv.models.prepare import prepared

BETAS = (0.5, 0.999)
SIMILARITY = 0.1  # weight of the visual similarity


class GeneratorFit:
    """Trains a generator against a fixed network and a discriminator.

    ``weight * L_misrank + mean (D(x, x~) - 1)^2 + 0.1 (1 - MS-SSIM(x, x~))`` for the generator,
    least squares for the discriminator, Adam for both (Wang et al., Deep Mis-Ranking, 2020).

    Args:
        loss: the misranking loss.
        eps: L-infinity bound, pixel units of [0, 1].
        size: height and width of the network's input, 16 pixels or more.
        filters: filters of the first convolution of the generator and of the discriminator.
        blocks: residual blocks of the generator.
        pixels: share of an image's pixels that may change.
        weight: weight of the misranking loss; 10 in the released code, and 2 against PCB.
        lr: learning rate of Adam.
        seed: seed of the initial weights and of all random numbers in a step.
        precision: ``fp32`` or ``bf16``, number format inside the attacked network.

    Raises:
        ConfigError: the bound, size, share or number of filters is invalid.

    Example:
        >>> fit = GeneratorFit(MisRankingLoss(distance), eps=8 / 255, size=(256, 128))
        >>> summary = fit.fit_step(model, batch)
        >>> adversarial = fit.noise.eval()(images)
    """

    graphs = True  # only a first derivative of the network is needed

    def __init__(
        self,
        loss: MisRankingLoss,
        *,
        eps: float,
        size: Sequence[int],
        filters: int = 32,
        blocks: int = 6,
        pixels: float = 1.0,
        weight: float = 10.0,
        lr: float = 2e-4,
        seed: int = 0,
        precision: str = "fp32",
    ) -> None:
        if min(size) < SMALLEST_PATCH:
            raise ConfigError(
                f"a discriminator needs at least {SMALLEST_PATCH} pixels a side, got {size}"
            )
        self.loss, self.weight, self.seed, self.precision = loss, weight, seed, precision
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(generator(seed, "generator").initial_seed())
            self.noise = GeneratedNoise(
                eps, size=size, filters=filters, blocks=blocks, pixels=pixels
            )
            self.discriminator = PatchDiscriminator(filters=filters)
        players = (self.noise, self.discriminator)
        self.rules = [torch.optim.Adam(p.parameters(), lr=lr, betas=BETAS) for p in players]
        self.steps = 0

    def fit_step(self, model: nn.Module, batch: Batch) -> dict[str, float]:
        """Take one step of each player; the model, the batch and random states are unchanged.

        Args:
            model: images in [0, 1] -> features; a prepared model is not prepared again.
            batch: clean images of one size, with pids.

        Returns:
            the losses before the step: ``loss`` of the generator, and its parts.
        """
        for player in (self.noise, self.discriminator):
            player.to(batch.images.device).train()
        with (
            prepared(model, batch.images, precision=self.precision) as ready,
            torch.enable_grad(),
            seeded(self.seed, batch, self.steps),
        ):
            misranked = self.loss.bind(ready, batch)
            adversarial = self.noise(batch.images)
            judged = self._judge(batch.images, adversarial.detach())
            parts = self._drawn(batch.images, adversarial)
            parts |= misranked(adversarial)
            names = ("triplet", "identity")
            ranking = torch.stack([parts[name] for name in names if name in parts]).sum()
            total = self.weight * ranking + parts["fooling"] + SIMILARITY * (1 - parts["ms_ssim"])
            self._step(0, total)
        self.steps += 1
        summary = {"loss": total, "discriminator": judged, **parts}
        return {name: float(value.detach()) for name, value in summary.items()}

    def _judge(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """Train the discriminator to tell clean from adversarial; return its loss."""
        real_loss = least_squares(self.discriminator(clean, clean), 1.0)
        fake_loss = least_squares(self.discriminator(clean, adversarial), 0.0)
        loss = (real_loss + fake_loss) / 2
        self._step(1, loss)
        return loss

    def _drawn(self, clean: Tensor, adversarial: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's loss on adversarial images, and their similarity to clean."""
        verdicts = self.discriminator(clean, adversarial)
        alike = ms_ssim(adversarial, clean).mean()
        return {"fooling": least_squares(verdicts, 1.0), "ms_ssim": alike}

    def _step(self, player: int, loss: Tensor) -> None:
        """Update the weights of one player only."""
        rule = self.rules[player]
        weights = [weight for group in rule.param_groups for weight in group["params"]]
        gradients = torch.autograd.grad(loss, weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        rule.step()


SMOOTHING = 0.1
_TINY = 1e-12  # lower limit of a logarithm; a loss of 0 has no gradient


class MisRankingLoss:
    """``log CE + log [|f(x~) - f(x_n)| - |f(x~) - f(x_p)| + margin]_+``, means over the batch.

    Wang et al., Transferable, Controllable, and Inconspicuous Adversarial Attacks on Person
    Re-identification With Deep Mis-Ranking, 2020. x_p is the image of the same identity nearest to
    the current adversarial feature, and is pushed away; x_n is the furthest image of another
    identity, and is pulled near. Both are clean, as a gallery is; an image is its own x_p only if
    it is the only one of its identity. The label, smoothed, is the training identity that the
    network finds least likely for the clean image; with several classifiers (PCB) the CE is their
    mean.

    Args:
        distance: its space is used to compare features.
        margin: in the unit of that space.
        identity: add the cross-entropy, for networks with a classifier.

    Raises:
        ConfigError: the distance does not map single features.
    """

    def __init__(self, distance: Distance, *, margin: float = 0.3, identity: bool = True) -> None:
        single_features(distance)
        self.distance, self.margin, self.identity = distance, margin, identity

    def bind(self, model: nn.Module, batch: Batch) -> Callable[[Tensor], dict[str, Tensor]]:
        """Return images -> the logarithms ``triplet`` and, if used, ``identity``.

        Args:
            model: images -> features, prepared or in eval mode.
            batch: clean images of one size with pids.

        Raises:
            ConfigError: there are no identities, or only one.
        """
        same = same_identity(batch)
        with torch.no_grad():
            clean = self.distance.map(model(batch.images))
            scores = identity_scores(model, batch.images) if self.identity else []
        labels = [logits.argmin(1) for logits in scores]

        def losses(images: Tensor) -> dict[str, Tensor]:
            moved = self.distance.map(model(images))
            hinge = reversed_hardest(moved, clean, same, margin=self.margin)
            parts = {"triplet": _log(hinge.mean())}
            if self.identity:
                wrong = [
                    F.cross_entropy(logits, label, label_smoothing=SMOOTHING)
                    for logits, label in zip(identity_scores(model, images), labels, strict=True)
                ]
                parts["identity"] = _log(torch.stack(wrong).mean())
            return parts

        return losses


def reversed_hardest(moved: Tensor, clean: Tensor, same: Tensor, *, margin: float) -> Tensor:
    """Return ``[max_n |m_i - c_n| - min_p |m_i - c_p| + margin]_+`` (N,).

    Args:
        moved: adversarial features (N, E).
        clean: clean features (N, E).
        same: (N, N) bool, pairs of the same identity.
        margin: in the unit of the features.
    """
    between = torch.cdist(moved, clean, compute_mode="donot_use_mm_for_euclid_dist")
    diagonal = torch.eye(len(same), dtype=torch.bool, device=same.device)
    lonely = same.sum(1, keepdim=True) == 1
    positives = same & (~diagonal | lonely)
    nearest = between.masked_fill(~positives, torch.inf).amin(1)
    furthest = between.masked_fill(same, -torch.inf).amax(1)
    return (furthest - nearest + margin).clamp_min(0)


def _log(loss: Tensor) -> Tensor:
    return loss.clamp_min(_TINY).log()
