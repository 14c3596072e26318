"""All that is looked at before a model is attacked, on the sample of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchreid_adv.data.datasets import Record
from torchreid_adv.defenses import Defended, Defense
from torchreid_adv.defenses.defended import eot_samples
from torchreid_adv.models.base import black_box
from torchreid_adv.pixels import from_levels
from torchreid_adv.standard import inspection
from torchreid_adv.standard.flags import Looks
from torchreid_adv.standard.identity import metric_facts
from torchreid_adv.standard.stages import Setting
from torchreid_adv.standard.tables import Scores
from torchreid_adv.standard.trials import batches

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
