"""The models on which the versions of the standard evaluation are compared, and planted defects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.config import AdvConfig
from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.experiments.studies.cheap_training import PLAIN, method_config
from torchreid_adv.experiments.study import trained_models
from torchreid_adv.models import PixelModel
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.runs.inputs import load_spec

from .small_networks import RESIDUAL, SMALL


class Waves(nn.Module):
    """A planted defect: waves too short for a gradient to see over them."""

    def forward(self, images: Tensor) -> Tensor:
        """Return images with waves."""
        return images + 0.02 * torch.sin(600 * images)


class Levels(nn.Module):
    """A planted defect: four levels, which have no gradient."""

    def forward(self, images: Tensor) -> Tensor:
        """Return rounded images."""
        return (images * 3).round() / 3


DEFECTS = {"waves": Waves, "levels": Levels}


@dataclass(frozen=True)
class Entrant:
    """A model of the table.

    Args:
        network: of torchreid.
        method: of its training, ``plain`` or an ``adv.training.method``.
        seed: of its training.
        defense: before it, ``name`` of :func:`build_defense`.
        options: of the defense.
        defect: planted before the network, a key of :data:`DEFECTS`.
    """

    network: str
    method: str = PLAIN
    seed: int = 1
    defense: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    defect: str = ""

    @property
    def label(self) -> str:
        """What the table calls it."""
        parts = [self.network, self.method, f"seed {self.seed}", self.defense, self.defect]
        return ", ".join(filter(None, parts))


SHUFFLENET, OSNET, MOBILENET = "shufflenet_v2_x0_5", "osnet_x0_25", "mobilenetv2_x1_0"
SCALING = {"preset": "jad", "proportional": True, "randomized": 10}
PADDING = {"place": "random"}
ENTRANTS = (
    Entrant(SMALL),
    Entrant(SMALL, "fgsm_rs"),
    Entrant(SMALL, "n_fgsm"),
    Entrant(SMALL, defect="waves"),
    Entrant(SMALL, "pgd"),
    Entrant(SMALL, "fgsm_rs", defense="rrp_paper", options=PADDING),
    Entrant(SMALL, "fgsm_rs", defect="waves"),
    Entrant(SMALL, defect="levels"),
    Entrant(SMALL, defense="circuitous_scaling", options=SCALING),
    Entrant(RESIDUAL),
    Entrant(RESIDUAL, "fgsm_rs"),
    Entrant(RESIDUAL, "n_fgsm"),
    Entrant(SMALL, seed=2),
    Entrant(SMALL, "fgsm_rs", seed=2),
    Entrant(RESIDUAL, "pgd"),
    Entrant(SMALL, "fgsm_rs", defense="circuitous_scaling", options=SCALING),
    Entrant(SHUFFLENET),
    Entrant(SHUFFLENET, "fgsm_rs"),
    Entrant(OSNET),
    Entrant(SHUFFLENET, "n_fgsm"),
    Entrant(SHUFFLENET, "pgd"),
    Entrant(MOBILENET),
    Entrant(OSNET, "fgsm_rs"),
)


def trained(cfg: AdvConfig, entrant: Entrant) -> ImageModel:
    """Return the model of an entrant, trained unless it was before.

    Args:
        cfg: of the study of the ensemble.
        entrant: of the table.
    """
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.study.models = [f"{entrant.network}={entrant.network}"]
    (spec,) = trained_models(run_cfg, entrant.seed)
    if entrant.method != PLAIN:
        robust_cfg = method_config(run_cfg, spec, entrant.method)
        robust_cfg.train.seed = entrant.seed
        spec = dataclasses.replace(spec, weights=str(trained_weights(robust_cfg)))
    return surrounded(cfg, entrant, load_spec(run_cfg, spec))


def surrounded(cfg: AdvConfig, entrant: Entrant, model: PixelModel) -> ImageModel:
    """Return a model with the defect and behind the defense of an entrant, in eval mode.

    Args:
        cfg: for the size.
        entrant: of the table.
        model: is changed by a defect.
    """
    if entrant.defect:
        model.network = nn.Sequential(DEFECTS[entrant.defect](), model.network)
    if not entrant.defense:
        return model.eval()
    final = [cfg.data.height, cfg.data.width]
    defense = build_defense(entrant.defense, **entrant.options, final=final)
    return Defended(defense, model).eval()
