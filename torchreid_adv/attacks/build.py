"""Attacks by name, from Python (pixel units) or from a config (gray levels), and what they suit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from torchreid_adv.attacks.budget import FIELDS, Budget
from torchreid_adv.attacks.loop.gradient_attack import Attack, GradientAttack
from torchreid_adv.attacks.shared_noise import with_shared_noise
from torchreid_adv.config import PER_ATTACK, AdvConfig, lookup, split_options
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.protocol import configured_metric
from torchreid_adv.models.pixel_model import PixelModel, any_labels, black_box, frozen
from torchreid_adv.models.tracklet_model import TrackletModel
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
        distance: the distance to attack; a name means that distance of normalized features.
        tracklet: noise of a tracklet: ``frames`` = one per frame, ``shared`` = one for all frames.
        options: options of the attack, in pixel units.

    Raises:
        ConfigError: the name or an option is unknown, a value looks like gray levels, or the attack
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
    """Build the attack of ``adv.attack.*``; its lengths are in gray levels.

    Options in a section named after an attack apply only to that attack, see
    :func:`torchreid_adv.config.split_options`.

    Raises:
        ConfigError: the attack does not use a key that is set.
    """
    settings = cfg.adv.attack
    common, single = split_options(settings.options)
    attack_options = single.get(ATTACKS.name_of(settings.name), {})
    options = {**common, **{k: v for k, v in attack_options.items() if k not in PER_ATTACK}}
    if settings.tracklet == "shared" and lookup(cfg, "data.type", "image") != "video":
        raise ConfigError(
            "adv.attack.tracklet shared gives the frames of a tracklet one noise; set data.type "
            "video, or adv.attack.tracklet frames"
        )
    spent = {key: attack_options.get(key, settings[key]) for key in PER_ATTACK}
    for key, value in spent.items():
        if value is not None and key not in ATTACKS.options(settings.name):
            raise ConfigError(f"the attack '{settings.name}' does not use adv.attack.{key}")
    if settings.targeted:
        if "targeted" not in ATTACKS.options(settings.name):
            raise ConfigError(
                f"the attack '{settings.name}' has no target; set adv.attack.targeted False"
            )
        options["targeted"] = True
    if settings.weights:
        if "weights" not in ATTACKS.options(settings.name):
            raise ConfigError(f"the attack '{settings.name}' does not use adv.attack.weights")
        options["weights"] = settings.weights
    distance = configured_distance(cfg)
    budget = Budget.of_levels(
        eps=settings.eps, seed=settings.seed, precision=settings.precision, **spent
    )
    return build_attack(
        settings.name,
        distance=distance,
        tracklet=settings.tracklet,
        **budget.given(),
        **options,
    )


def configured_distance(cfg: AdvConfig) -> Distance:
    """Return the attacked distance: ``adv.attack.metric``, or that of the evaluation."""
    return configured_metric(cfg, cfg.adv.attack.metric)


def metric_of(attack: Attack) -> Distance | None:
    """Return the distance of an attack, of its objective, or of that objective's objective."""
    part: Any = attack
    while part is not None:
        distance = getattr(part, "distance", None)
        if isinstance(distance, Distance):
            return distance
        part = getattr(part, "objective", None)
    return None


def check_target(attack: Attack, target: str) -> None:
    """Refuse a targeted attack without targets, and an untargeted attack with targets.

    Args:
        attack: to check; one that does not say whether it is targeted passes.
        target: the target map, see :func:`target_map`; "" = none.

    Raises:
        ConfigError: the attack and the target map do not match.
    """
    targeted = attack.describe().get("targeted")
    if targeted and not target:
        raise ConfigError(
            f"the attack '{attack.name}' pulls images to other identities, and none are named; set "
            "adv.attack.target_map (from Python: target) to 'random', a pid or a JSON file"
        )
    if targeted is False and target:
        raise ConfigError(
            f"a target map is given and the attack '{attack.name}' pushes away from an image's own "
            "identity; set adv.attack.targeted True (from Python: build_attack(..., targeted=True))"
        )


def check_tracklets(attack: Attack, model: nn.Module, data: ReIDData) -> None:
    """Refuse tracklets for a model or an attack of single images.

    Raises:
        ConfigError: the data set has tracklets, and the model or the attack takes images.
    """
    if not data.tracklets:
        return
    if not isinstance(attack, GradientAttack):
        raise ConfigError(
            f"the attack '{attack.name}' is for single images and '{data.name}' has "
            "tracklets; choose a gradient attack, such as ifgsm, mifgsm or sma"
        )
    models = [part for part in model.modules() if isinstance(part, PixelModel)]
    if not all(isinstance(part, TrackletModel) for part in models):
        raise ConfigError(
            f"'{data.name}' has tracklets and the model takes images; set data.type video, "
            "or from Python make it a TrackletModel"
        )


def check_gradient(model: nn.Module, attack: Attack | None = None) -> None:
    """Refuse a gradient attack on a model without a gradient, before any data is read.

    Args:
        model: the model to attack; in an ensemble, each model must have a gradient.
        attack: the attack to run; None = some gradient attack.

    Raises:
        ConfigError: the model has no gradient, or fails on an image.
    """
    if not getattr(attack, "needs_gradient", True):
        return
    reason = black_box(model) or ("a network that cuts it off" if any(_cut(model)) else "")
    if reason:
        name = getattr(attack, "name", "this attack")
        raise ConfigError(
            f"{name} follows the gradient of the model, and the model has no gradient: it is "
            f"{reason}. Attack it by its answers (adv.attack.name square, nes or spsa), or by "
            "transfer from another model"
        )


def _cut(model: nn.Module) -> Iterator[bool]:
    """Yield for each network of a model whether its features have no gradient to its images."""
    for part in [part for part in model.modules() if isinstance(part, PixelModel)]:
        first = next(part.parameters(), torch.zeros(1))
        images = torch.full((2, 3, *part.size), 0.5, device=first.device).requires_grad_()
        with frozen(part), torch.enable_grad(), torch.random.fork_rng():
            yield not part(images, **any_labels(part, 2)).requires_grad
