"""Attacks by name, from Python (pixel units) or from a config (gray levels)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from torchreid_adv.attacks.budget import FIELDS, Budget
from torchreid_adv.attacks.loop.gradient_attack import Attack
from torchreid_adv.attacks.shared_noise import with_shared_noise
from torchreid_adv.config import PER_ATTACK, AdvConfig, lookup, split_options
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.protocol import configured_metric
from torchreid_adv.models.pixel_model import PixelModel, any_labels, black_box
from torchreid_adv.models.prepare import frozen
from torchreid_adv.registry import ATTACKS

TRACKLETS = ("frames", "shared")


def build_attack(
    name: str,
    *,
    eps: float,
    distance: Distance | str = "euclidean",
    tracklet: str = "frames",
    **options: Any,
) -> Attack:
    """Build a registered attack.

    Args:
        name: ``fgsm``, ``ifgsm``, ``mifgsm``...
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked; a name means that distance of normalized features.
        tracklet: noise of a tracklet: ``frames`` = each its own, ``shared`` = one for all.
        options: of the attack, in pixel units.

    Raises:
        ConfigError: unknown name or option, a value that looks like gray levels, or an attack that
            cannot share its noise.

    Example:
        >>> attack = build_attack("mifgsm", eps=8 / 255, momentum=0.9)
    """
    spent = {field: value for field, value in options.items() if field in FIELDS}
    budget = Budget(eps=eps, **spent)
    if isinstance(distance, str):
        distance = build_distance(distance, normalize=True)
    attack: Attack = ATTACKS.build(name, eps=budget.eps, distance=distance, **options)
    attack.name = ATTACKS.name_of(name)
    if tracklet not in TRACKLETS:
        raise ConfigError(f"tracklet is one of {', '.join(TRACKLETS)}, got {tracklet!r}")
    return with_shared_noise(attack) if tracklet == "shared" else attack


def configured_attack(cfg: AdvConfig) -> Attack:
    """Build the attack of ``adv.attack.*``, whose lengths are gray levels.

    Options in a section called as an attack are of that attack alone, see
    :func:`torchreid_adv.config.split_options`.

    Raises:
        ConfigError: a key is set that this attack does not use.
    """
    chosen = cfg.adv.attack
    common, single = split_options(chosen.options)
    own = single.get(ATTACKS.name_of(chosen.name), {})
    options = {**common, **{k: v for k, v in own.items() if k not in PER_ATTACK}}
    if chosen.tracklet == "shared" and lookup(cfg, "data.type", "image") != "video":
        raise ConfigError(
            "adv.attack.tracklet shared gives the frames of a tracklet one noise; set data.type "
            "video, or adv.attack.tracklet frames"
        )
    spent = {key: own.get(key, chosen[key]) for key in PER_ATTACK}
    for key, value in spent.items():
        if value is not None and key not in ATTACKS.options(chosen.name):
            raise ConfigError(f"the attack '{chosen.name}' does not use adv.attack.{key}")
    if chosen.targeted:
        if "targeted" not in ATTACKS.options(chosen.name):
            raise ConfigError(
                f"the attack '{chosen.name}' has no target; set adv.attack.targeted False"
            )
        options["targeted"] = True
    if chosen.weights:
        if "weights" not in ATTACKS.options(chosen.name):
            raise ConfigError(f"the attack '{chosen.name}' does not use adv.attack.weights")
        options["weights"] = chosen.weights
    distance = configured_distance(cfg)
    budget = Budget.of_levels(eps=chosen.eps, seed=chosen.seed, precision=chosen.precision, **spent)
    return build_attack(
        chosen.name,
        distance=distance,
        tracklet=chosen.tracklet,
        **budget.given(),
        **options,
    )


def configured_distance(cfg: AdvConfig) -> Distance:
    """Return the distance that is attacked: ``adv.attack.metric``, or that of the evaluation."""
    return configured_metric(cfg, cfg.adv.attack.metric)


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
