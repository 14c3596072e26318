"""Properties of a model that an evaluation must know, inspected before anything is attacked."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from torchreid_adv.attacks import LinfDelta, MetricDistance, References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.datasets import Record
from torchreid_adv.defenses import Defended, Defense
from torchreid_adv.defenses.defended import eot_samples
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Features
from torchreid_adv.models.pixel_model import black_box
from torchreid_adv.models.prepare import frozen
from torchreid_adv.standard import inspection
from torchreid_adv.standard.flags import Inspection
from torchreid_adv.standard.identity import metric_facts
from torchreid_adv.standard.sample import batches
from torchreid_adv.standard.scores import QueryScores
from torchreid_adv.standard.session import Session

_DECLARED = ("differentiable", "random", "aggregates", "optimizes")


def inspect_model(
    session: Session, sample: Sequence[Record], clean: QueryScores, chance: NDArray[np.float64]
) -> Inspection:
    """Return the properties of a model that need no attack; cached for a resumed run.

    Args:
        session: of the run.
        sample: queries.
        clean: scores without an attack.
        chance: (Q,) expected average precision of a random order; NaN without a match.
    """
    seen = session.team.first(lambda: session.kept("looks", "", lambda: _seen(session, sample)))
    model = session.model
    defense = model.defense if isinstance(model, Defended) else None
    assert defense is None or isinstance(defense, Defense)
    return Inspection(
        **seen,
        clean=float(np.nanmean(clean.ap)),
        chance=float(np.nanmean(chance)),
        same_metric=metric_facts(session.attacked) == metric_facts(session.distance),
        averaged=defense is not None and defense.random and eot_samples(model) > 1,
        declared=defense is None or declares(defense),
        black_box=black_box(model),
    )


def _seen(session: Session, sample: Sequence[Record]) -> dict[str, Any]:
    parts, model = batches(session, sample), session.model
    first, references = parts[0][0], session.references("Q")
    eps = from_levels(max(session.version.eps[0], 1))
    without = [
        inspection.without_gradient(model, batch, references, session.attacked, eps)[: len(images)]
        for batch, images in parts
    ]
    return {
        "repeats": inspection.repeat_difference(model, first),
        "autograd": inspection.enters_autograd(model, first),
        "alone": inspection.batch_difference(model, first),
        "no_gradient": float(torch.cat(without).double().mean()),
        "cosine": inspection.mean_cosine(session.judge.clean[0]["gallery"]),
    }


def declares(defense: Defense) -> bool:
    """Return whether a defense's classes declare a property; those of this package all do."""
    classes = [kind for kind in type(defense).__mro__ if kind is not Defense]
    classes = [kind for kind in classes if issubclass(kind, Defense)]
    if any(kind.__module__.startswith("torchreid_adv.") for kind in classes):
        return True
    return any(name in vars(kind) for kind in classes for name in _DECLARED)


_REPEATS = 5
_ALONE = 4  # images that are also passed alone
_CONSTANT = 1e-5  # below this spread, unit features count as constant
_SUM = 1e-3
_PAIRS = 512  # images whose features are compared with each other


def refuse_model(model: nn.Module) -> None:
    """Refuse a model that is not ready to be tested.

    Raises:
        ConfigError: a BatchNorm layer in train mode.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.training:
            raise ConfigError(
                f"the BatchNorm layer '{name}' is in train mode, so an image's feature "
                "depends on its batch; call model.eval() before the evaluation"
            )


def refuse_features(features: Features) -> None:
    """Refuse features that are constant, or are not features.

    Raises:
        ConfigError: all features are equal, or they are class probabilities.
    """
    values = features.values.double()
    unit = F.normalize(values, dim=1)
    if float(unit.std(0, correction=0).max()) < _CONSTANT:
        raise ConfigError(
            "the features of all images are the same, so they cannot rank anything; does the "
            "checkpoint belong to this network?"
        )
    sums = values.sum(1)
    if bool((values >= 0).all()) and bool(((sums - 1).abs() < _SUM).all()):
        raise ConfigError(
            "the features are probabilities (none below 0, each row sums to 1); give the features "
            "before the classifier and its softmax"
        )


def mean_cosine(features: Features) -> float:
    """Return the mean cosine between features of different images among the first 512."""
    unit = F.normalize(features.values[:_PAIRS].double(), dim=1)
    count = len(unit)
    total = float(unit.sum(0).pow(2).sum()) - count
    return total / max(count * (count - 1), 1)


def repeat_difference(model: nn.Module, batch: Batch) -> float:
    """Return the largest difference of unit features over five passes with the same images."""
    with _inspecting(model, batch):
        passes = torch.stack([_unit(model, batch) for _ in range(_REPEATS)])
    return float((passes - passes[0]).abs().max())


def batch_difference(model: nn.Module, batch: Batch) -> float:
    """Return the largest difference of unit features between images alone and in a batch."""
    with _inspecting(model, batch):
        together = _unit(model, batch)[:_ALONE]
        alone = [_unit(model, _one(batch, row)) for row in range(len(together))]
    return float((together - torch.cat(alone)).abs().max())


def enters_autograd(model: nn.Module, batch: Batch) -> bool:
    """Return whether a forward pass under no_grad computes gradients, as in purifying models."""
    entries = {
        function.__code__
        for function in (torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward)
    }
    seen: list[str] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in entries:
            seen.append(frame.f_code.co_name)

    before = sys.gettrace()
    with _inspecting(model, batch):
        sys.settrace(watch)
        try:
            first = _one(batch, 0)
            first.embed(model)(first.images)
        finally:
            sys.settrace(before)
    return bool(seen)


def without_gradient(
    model: nn.Module, batch: Batch, references: References, distance: Distance, eps: float
) -> Tensor:
    """Return which images (N,) have a zero or non-finite gradient at a random start.

    Args:
        model: images in [0, 1] with ``sizes`` -> features.
        batch: clean images.
        references: of the distance.
        distance: to differentiate.
        eps: radius of the start, pixel units of [0, 1].
    """
    start = LinfDelta(eps)
    start.reset(batch)
    start.randomize(batch.rng(0, "inspection"))
    with frozen(model), _same_randomness(batch), torch.enable_grad():
        embed = batch.embed(model)
        losses = MetricDistance(distance).bind(embed, batch, references)(start.images)
        if not losses.requires_grad:
            return torch.ones(len(batch), dtype=torch.bool)
        (gradient,) = torch.autograd.grad(losses.sum(), start.images, allow_unused=True)
    if gradient is None:
        return torch.ones(len(batch), dtype=torch.bool)
    rows = gradient.flatten(1)
    return (~rows.isfinite().all(1) | ~rows.ne(0).any(1)).cpu()


def _unit(model: nn.Module, batch: Batch) -> Tensor:
    return F.normalize(batch.embed(model)(batch.images), dim=1)


def _one(batch: Batch, row: int) -> Batch:
    """Return one image of a batch, on the batch's canvas."""
    fields = ("images", "sizes", "pids", "camids", "modality", "places", "view")
    row_fields = {n: v[row : row + 1] for n in fields if (v := getattr(batch, n)) is not None}
    return dataclasses.replace(batch, **row_fields, image_ids=batch.image_ids[row : row + 1])


@contextlib.contextmanager
def _inspecting(model: nn.Module, batch: Batch) -> Iterator[None]:
    with torch.no_grad(), frozen(model), _same_randomness(batch):
        yield


def _same_randomness(batch: Batch) -> contextlib.AbstractContextManager[None]:
    """Return a context that restores torch's random state at its end."""
    device = batch.images.device
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
