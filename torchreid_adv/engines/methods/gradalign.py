"""GradAlign: single steps on a network whose gradients are held straight."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.batch import Batch
from torchreid_adv.engines.batches import Mixture, to_pixels
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.engines.losses import ReidLoss
from torchreid_adv.engines.methods.base import Sample
from torchreid_adv.engines.methods.usual import OneStep
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.models import PixelModel
from torchreid_adv.registry import TRAININGS


@TRAININGS.register(
    "gradalign",
    title="one step from the clean image, and a term that aligns gradients",
    paper="Andriushchenko and Flammarion, Understanding and Improving Fast Adversarial Training, "
    "2020",
)
class GradAlign(OneStep):
    """FGSM, and ``lambda (1 - cos(gradient at x, gradient at x + U(-eps, eps)))`` (eq. 4).

    Both gradients are those of the engine's own losses, and are differentiated again; about six
    plain steps. The term's gradient is added to that of the losses before the optimizer steps.
    Departure: the network is in eval mode for the term, as for every attack here; the published
    code uses batch statistics. Images without a gradient do not count, as there.
    """

    unread = ("steps", "step_size", "start")

    def __init__(self, engine: Any, cfg: AdvConfig) -> None:
        super().__init__(engine, cfg)
        if cfg.adv.training.objective == "self":
            raise ConfigError(
                "adv.training.method 'gradalign' starts at the clean image, where "
                "adv.training.objective 'self' has no gradient; set it 'classification' or "
                "'guided'"
            )
        if engine.datamanager.data_type != "image":
            raise ConfigError("adv.training.method 'gradalign' is for data.type image, got video")
        self.losses = ReidLoss.of(engine)

    def attack(self, cfg: AdvConfig) -> InnerAttack:
        """Build FGSM from the clean image."""
        return InnerAttack.configured(cfg, self.seed, start="zero")

    @contextlib.contextmanager
    def around(self, engine: Any, sample: Sample, batch: Mixture) -> Iterator[dict[str, float]]:
        """Add the term's gradient before the optimizer's step; its value is ``loss_g``."""
        summary: dict[str, float] = {}

        def add(*_: Any) -> None:
            summary["loss_g"] = self._add(engine, sample)

        handle = engine.optimizer.register_step_pre_hook(add)
        try:
            yield summary
        finally:
            handle.remove()

    def _add(self, engine: Any, sample: Sample) -> float:
        network = unwrap(engine.model)
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        clean = to_pixels(sample.model, sample.images)
        draws = Batch(clean, image_ids=sample.draws).rng(self.seed, "align")
        noise = torch.stack([torch.rand(clean.shape[1:], generator=draw) for draw in draws])
        noisy = (clean + (noise.to(clean) * 2 - 1) * sample.eps).clamp(0, 1)
        with torch.enable_grad(), answering_in_eval_mode(network):
            term = self.settings.gradalign * misalignment(
                sample.model, self.losses, sample.pids, clean, noisy
            )
            gradients = torch.autograd.grad(term, weights, allow_unused=True)
        value = float(term.detach())
        engine.check_finite("loss_g", value)
        for weight, gradient in zip(weights, gradients, strict=True):
            share = torch.zeros_like(weight) if gradient is None else averaged(gradient)
            weight.grad = share if weight.grad is None else weight.grad + share
        return value


def misalignment(
    model: PixelModel, losses: ReidLoss, pids: Tensor, clean: Tensor, noisy: Tensor
) -> Tensor:
    """Return the mean of ``1 - cos`` between the input gradients at two points, differentiable.

    Args:
        model: the network behind pixels, answering with what its losses take.
        losses: of the engine.
        pids: (N,) training identities.
        clean: (N, 3, H, W) pixels in [0, 1].
        noisy: the same around them.
    """
    gradients = []
    for pixels in (clean, noisy):
        start = pixels.detach().requires_grad_()
        loss, _ = losses(model.network(model.normalize(start)), pids)
        gradients.append(torch.autograd.grad(loss, start, create_graph=True)[0].flatten(1))
    moving = [bool(row) for row in (gradients[0].ne(0).any(1) & gradients[1].ne(0).any(1)).tolist()]
    if not any(moving):
        return gradients[0].sum() * 0
    pairs = [gradient[moving] for gradient in gradients]
    return (1 - torch.cosine_similarity(pairs[0], pairs[1], dim=1)).mean()


def averaged(gradient: Tensor) -> Tensor:
    """Return the mean of a gradient over the processes of a training."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(gradient)
        gradient /= distributed.get_world_size()
    return gradient


@contextlib.contextmanager
def answering_in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Inside the block a network gives its training output while its layers are in eval mode."""
    flags = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        network.training = True
        yield
    finally:
        for module, flag in flags:
            module.training = flag
