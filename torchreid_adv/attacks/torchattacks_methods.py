"""The torchattacks classes that are correct on a metric, how each is run, and refused classes.

They attack classifiers, so they get a distance as two logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.loop.objectives import Losses
from torchreid_adv.errors import ConfigError, suggest

OFFSET = 0.5  # keeps u above 0, where the second logit is undefined
_SHIFT = 12.0  # some classes ignore logits below 0


class TwoLogits(nn.Module):
    """A distance d as two logits whose cross-entropy for class 0 is ``u = scale * d + offset``.

    ``z = (-u, log(1 - exp(-u))) + shift``, so a classifier's loss is linear in the distance, and
    class 0 wins as long as ``u < log 2``.

    Args:
        losses_of: images -> distances (N,), none below 0.
        like: an image; logits get its device and dtype.
        scale: factor of the distance.
        offset: above 0.
        shift: added to both logits; it changes no loss.
    """

    def __init__(
        self,
        losses_of: Losses,
        like: Tensor,
        *,
        scale: float,
        offset: float = OFFSET,
        shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.losses_of = losses_of
        self.scale, self.offset, self.shift = scale, offset, shift
        # torchattacks works on the device of a model's first parameter
        self.like = nn.Parameter(like.new_zeros(()), requires_grad=False)

    @classmethod
    def crossing(cls, losses_of: Losses, like: Tensor, tau: float) -> TwoLogits:
        """Return two logits; the first is larger as long as the distance is below tau."""
        half = math.log(2) / 2
        return cls(losses_of, like, scale=half / tau, offset=half, shift=_SHIFT)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2) with the dtype of the images."""
        if images.requires_grad:  # some classes view a gradient as rows
            images = images.view_as(images)
            images.register_hook(lambda gradient: gradient.contiguous())
        u = self.losses_of(images.to(self.like.dtype)) * self.scale + self.offset
        logits = torch.stack([-u, torch.log1p(-torch.exp(-u))], dim=1) + self.shift
        return logits.to(images.dtype)


@dataclass(frozen=True)
class Method:
    """How to run a torchattacks class on a metric.

    Args:
        step: its parameter for the step size, "" for none.
        steps: its parameter for the number of steps, "" for none.
        eps: its parameter for the bound, "" if it searches for the smallest change instead; the
            result is then clamped to eps.
        l2: eps and step are L2 lengths.
        alone: one image per call: the class makes more rows out of an image, or takes subsets,
            which would mix up references of several images, or its noise is for all images.
        tau: it moves an image until its distance crosses a threshold.
    """

    step: str = "alpha"
    steps: str = "steps"
    eps: str = "eps"
    l2: bool = False
    alone: bool = False
    tau: bool = False


def _crossing(*, step: str = "", steps: str = "steps", eps: str = "eps") -> Method:
    return Method(step, steps, eps, alone=True, tau=True)


METHODS: dict[str, Method] = {
    "FGSM": Method(step="", steps=""),
    "BIM": Method(),
    "PGD": Method(),
    "RFGSM": Method(),
    "FFGSM": Method(steps=""),
    "EOTPGD": Method(),
    "MIFGSM": Method(),
    "NIFGSM": Method(),
    "VMIFGSM": Method(),
    "VNIFGSM": Method(),
    "SINIFGSM": Method(),
    "UPGD": Method(),
    "PGDL2": Method(l2=True),
    "PGDRS": Method(alone=True),
    "PGDRSL2": Method(alone=True, l2=True),
    "SPSA": Method(step="lr", steps="nb_iter", alone=True),
    "APGD": _crossing(),
    "FAB": _crossing(),
    "Square": _crossing(steps="n_queries"),
    "CW": _crossing(step="lr", eps=""),
    "EADL1": _crossing(step="lr", steps="max_iterations", eps=""),
    "EADEN": _crossing(step="lr", steps="max_iterations", eps=""),
    "DeepFool": _crossing(eps=""),
}

# options that would make a method incorrect: name -> the only allowed value
FIXED: dict[str, dict[str, object]] = {
    "UPGD": {"loss": "ce"},
    "APGD": {"loss": "ce", "norm": "Linf"},
    "FAB": {"norm": "Linf"},
    "Square": {"norm": "Linf"},
}

_FOUR = "it needs four classes, and a distance makes two"
_SQUARE = "it resizes images to a square; the attack '{}' is the same for any shape"
_SPARSE = "it changes a few pixels without a bound that eps could give"
_PATCH = "its step depends on its bound and cannot be set, and it leaves gradients on weights"
_CONTROL = "it does not look at the distance"
REFUSED = {
    "APGDT": _FOUR,
    "AutoAttack": _FOUR,
    "MultiAttack": "it stops at the first attack that crosses a threshold; run them one by one",
    "LGV": "it trains copies of the network as a classifier",
    "DIFGSM": _SQUARE.format("difgsm"),
    "TIFGSM": _SQUARE.format("tifgsm"),
    "PIFGSM": _PATCH,
    "PIFGSMPP": _PATCH + ", and has no target",
    "SparseFool": _SPARSE,
    "OnePixel": _SPARSE,
    "JSMA": "its memory grows with the square of the number of pixels",
    "Pixle": "it mixes up height and width, and fails on images that are not square",
    "Jitter": "its loss is constant for two classes",
    "TPGD": "it uses no reference, so that its direction is undefined",
    "VANILA": _CONTROL,
    "GN": _CONTROL,
}


def method(name: str, *, tau: float | None) -> Method:
    """Return how to run a class.

    Raises:
        ConfigError: the class is unknown or incorrect on a metric, or tau is missing or not needed.
    """
    if name in REFUSED:
        raise ConfigError(f"torchattacks' {name} is not run on a metric: {REFUSED[name]}")
    if name not in METHODS:
        raise ConfigError(f"unknown torchattacks class '{name}'{suggest(name, METHODS)}")
    entry = METHODS[name]
    if entry.tau and tau is None:
        raise ConfigError(
            f"torchattacks' {name} moves an image until its distance to the references crosses a "
            "threshold: give it as the option tau, in units of the attacked distance"
        )
    if tau is not None and not entry.tau:
        raise ConfigError(f"torchattacks' {name} has no threshold; leave the option tau out")
    if tau is not None and tau <= 0:
        raise ConfigError(f"tau is a distance above 0, got {tau!r}")
    return entry
