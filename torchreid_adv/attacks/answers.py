"""Models without a gradient, which only attacks that ask for answers can be made on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from torchreid_adv.attacks.gradient_attack import Attack
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.base import any_labels, black_box
from torchreid_adv.models.pixel_model import PixelModel
from torchreid_adv.models.prepare import frozen


def check_gradient(model: nn.Module, attack: Attack | None = None) -> None:
    """Refuse an attack that follows a model's gradient where there is none; no data is read.

    Args:
        model: what is attacked; of several as one, each has a gradient.
        attack: that is going to be made; None = one that follows gradients.

    Raises:
        ConfigError: the model has no gradient, or fails on an image.
    """
    if not getattr(attack, "needs_gradient", True):
        return
    what = black_box(model) or ("a network that cuts it off" if any(_cut(model)) else "")
    if what:
        name = getattr(attack, "name", "this attack")
        raise ConfigError(
            f"{name} follows the gradient of the model, and the model has no gradient: it is "
            f"{what}. Attack it by its answers (adv.attack.name square, nes or spsa), or by "
            "transfer from another model"
        )


def _cut(model: nn.Module) -> Iterator[bool]:
    """Give for each network of a model whether its features do not lead back to its images."""
    for part in [part for part in model.modules() if isinstance(part, PixelModel)]:
        first = next(part.parameters(), torch.zeros(1))
        images = torch.full((2, 3, *part.size), 0.5, device=first.device).requires_grad_()
        with frozen(part), torch.enable_grad(), torch.random.fork_rng():
            yield not part(images, **any_labels(part, 2)).requires_grad
