"""What a model does that an evaluation must know of: looked at before anything is attacked."""

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
from torchreid_adv.standard.flags import Looks
from torchreid_adv.standard.identity import metric_facts
from torchreid_adv.standard.sample import batches
from torchreid_adv.standard.scores import Scores
from torchreid_adv.standard.session import Setting

_DECLARED = ("differentiable", "random", "aggregates", "optimizes")


def look(
    setting: Setting, sample: Sequence[Record], clean: Scores, chance: NDArray[np.float64]
) -> Looks:
    """Return what is seen of a model without attacking it; kept for a run that goes on.

    Args:
        setting: of the run.
        sample: queries.
        clean: scores without an attack.
        chance: (Q,) expected average precision of a random order; NaN where there is no match.
    """
    seen = setting.team.first(lambda: setting.kept("looks", "", lambda: _seen(setting, sample)))
    model = setting.model
    defense = model.defense if isinstance(model, Defended) else None
    assert defense is None or isinstance(defense, Defense)
    return Looks(
        **seen,
        clean=float(np.nanmean(clean.ap)),
        chance=float(np.nanmean(chance)),
        same_metric=metric_facts(setting.attacked) == metric_facts(setting.distance),
        averaged=defense is not None and defense.random and eot_samples(model) > 1,
        declared=defense is None or declares(defense),
        black_box=black_box(model),
    )


def _seen(setting: Setting, sample: Sequence[Record]) -> dict[str, Any]:
    parts, model = batches(setting, sample), setting.model
    first, references = parts[0][0], setting.references("Q")
    eps = from_levels(max(setting.version.eps[0], 1))
    without = [
        inspection.without_gradient(model, batch, references, setting.attacked, eps)[: len(images)]
        for batch, images in parts
    ]
    return {
        "repeats": inspection.repeat_difference(model, first),
        "autograd": inspection.enters_autograd(model, first),
        "alone": inspection.batch_difference(model, first),
        "no_gradient": float(torch.cat(without).double().mean()),
        "cosine": inspection.mean_cosine(setting.judge.clean[0]["gallery"]),
    }


def declares(defense: Defense) -> bool:
    """Tell whether the classes of a defense say any of what they do; the package's own all do."""
    own = [kind for kind in type(defense).__mro__ if kind is not Defense]
    own = [kind for kind in own if issubclass(kind, Defense)]
    if any(kind.__module__.startswith("torchreid_adv.") for kind in own):
        return True
    return any(name in vars(kind) for kind in own for name in _DECLARED)


_REPEATS = 5
_ALONE = 4  # images looked at by themselves
_CONSTANT = 1e-5  # spread of unit features below which they are one feature
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
                f"the BatchNorm layer '{name}' is in train mode, so that an image's feature "
                "depends on its batch; call model.eval() before the evaluation"
            )


def refuse_features(features: Features) -> None:
    """Refuse features that say nothing, or are no features.

    Raises:
        ConfigError: all the same, or probabilities of classes.
    """
    values = features.values.double()
    unit = F.normalize(values, dim=1)
    if float(unit.std(0, correction=0).max()) < _CONSTANT:
        raise ConfigError(
            "the features of all images are the same, so that nothing can be ranked by them; is "
            "the checkpoint the right one for this network?"
        )
    sums = values.sum(1)
    if bool((values >= 0).all()) and bool(((sums - 1).abs() < _SUM).all()):
        raise ConfigError(
            "the features are probabilities (none below 0, each row's sum 1); give the features "
            "before the classifier and its softmax"
        )


def mean_cosine(features: Features) -> float:
    """Return the mean cosine between features of different images, of the first 512."""
    unit = F.normalize(features.values[:_PAIRS].double(), dim=1)
    count = len(unit)
    total = float(unit.sum(0).pow(2).sum()) - count
    return total / max(count * (count - 1), 1)


def repeat_difference(model: nn.Module, batch: Batch) -> float:
    """Return the largest difference of unit features over five passes with the same images."""
    with _looking(model, batch):
        passes = torch.stack([_unit(model, batch) for _ in range(_REPEATS)])
    return float((passes - passes[0]).abs().max())


def batch_difference(model: nn.Module, batch: Batch) -> float:
    """Return the largest difference of unit features between images alone and in a batch."""
    with _looking(model, batch):
        together = _unit(model, batch)[:_ALONE]
        alone = [_unit(model, _one(batch, row)) for row in range(len(together))]
    return float((together - torch.cat(alone)).abs().max())


def enters_autograd(model: nn.Module, batch: Batch) -> bool:
    """Tell whether a forward pass without gradients computes some, as a purifying model does."""
    entries = {
        function.__code__
        for function in (torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward)
    }
    seen: list[str] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in entries:
            seen.append(frame.f_code.co_name)

    before = sys.gettrace()
    with _looking(model, batch):
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
        references: that the distance is to.
        distance: whose gradient it is.
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
    """Return one image of a batch, on the canvas of all."""
    fields = ("images", "sizes", "pids", "camids", "modality", "places", "view")
    own = {n: v[row : row + 1] for n in fields if (v := getattr(batch, n)) is not None}
    return dataclasses.replace(batch, **own, image_ids=batch.image_ids[row : row + 1])


@contextlib.contextmanager
def _looking(model: nn.Module, batch: Batch) -> Iterator[None]:
    with torch.no_grad(), frozen(model), _same_randomness(batch):
        yield


def _same_randomness(batch: Batch) -> contextlib.AbstractContextManager[None]:
    """Return a context after which torch's random state is what it was."""
    device = batch.images.device
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
