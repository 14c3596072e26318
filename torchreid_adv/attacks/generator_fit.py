"""The game that trains a generator of perturbations: one step of both players per batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.generated import GeneratedNoise
from torchreid_adv.attacks.mis_ranking import MisRankingLoss
from torchreid_adv.attacks.randomness import seeded
from torchreid_adv.data.batch import Batch, generator
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.similarity import ms_ssim
from torchreid_adv.models.patch_discriminator import SMALLEST, PatchDiscriminator, least_squares
from torchreid_adv.models.prepare import prepared

BETAS = (0.5, 0.999)
SIMILARITY = 0.1  # weight of looking alike


class GeneratorFit:
    """Trains a generator against a network that stays as it is, and against a discriminator.

    ``weight * L_misrank + mean (D(x, x~) - 1)^2 + 0.1 (1 - MS-SSIM(x, x~))`` for the generator,
    least squares for the discriminator, Adam for both (Wang et al., Deep Mis-Ranking, 2020).

    Args:
        loss: the misranking.
        eps: L-infinity bound, pixel units of [0, 1].
        size: height and width of the network's input, 16 pixels or more.
        filters: of the first convolution of the generator and of the discriminator.
        blocks: residual blocks of the generator.
        pixels: share of an image's pixels that may move.
        weight: of the misranking; the released code has 10, and 2 against PCB.
        lr: of Adam.
        seed: of the first weights and of everything random in a step.
        precision: ``fp32`` or ``bf16``, number format inside the attacked network.

    Raises:
        ConfigError: a bound, size, share or number of filters that cannot be.

    Example:
        >>> fit = GeneratorFit(MisRankingLoss(distance), eps=8 / 255, size=(256, 128))
        >>> summary = fit.fit_step(model, batch)
        >>> adversarial = fit.noise.eval()(images)
    """

    graphs = True  # one derivative of the network is all that is asked for

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
        if min(size) < SMALLEST:
            raise ConfigError(
                f"a discriminator needs images of {SMALLEST} pixels a side or more, got {size}"
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
        """Take one step of each player; the model, the batch and random states are left alone.

        Args:
            model: images in [0, 1] -> features; a prepared one saves its preparation.
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
        """Let the discriminator learn which is which; return its loss."""
        own = least_squares(self.discriminator(clean, clean), 1.0)
        other = least_squares(self.discriminator(clean, adversarial), 0.0)
        loss = (own + other) / 2
        self._step(1, loss)
        return loss

    def _drawn(self, clean: Tensor, adversarial: Tensor) -> dict[str, Tensor]:
        """Return how clean the discriminator finds the images, and how like the clean ones."""
        verdicts = self.discriminator(clean, adversarial)
        alike = ms_ssim(adversarial, clean).mean()
        return {"fooling": least_squares(verdicts, 1.0), "ms_ssim": alike}

    def _step(self, player: int, loss: Tensor) -> None:
        """Move the weights of one player, and of no other."""
        rule = self.rules[player]
        weights = [weight for group in rule.param_groups for weight in group["params"]]
        gradients = torch.autograd.grad(loss, weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        rule.step()
