"""PGD, single steps and replays, as methods of online adversarial training."""

from __future__ import annotations

from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.inner_attack import InnerAttack, searching
from torchreid_adv.engines.methods.base import Method
from torchreid_adv.engines.replays import configured_replays
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRAININGS


@TRAININGS.register(
    "pgd",
    title="adv.training.steps steps on each batch",
    paper="Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018",
)
class PGD(Method):
    """``d ~ U(-eps, eps)``, then k times ``d <- clip(d + a sign(gradient))``; k + 1 plain steps."""


class OneStep(Method):
    """A single step, which needs an objective to search along."""

    def _check(self, cfg: AdvConfig) -> None:
        super()._check(cfg)
        if cfg.adv.training.objective == "universal":
            raise ConfigError(
                f"adv.training.method '{cfg.adv.training.method}' makes its own perturbation; set "
                "adv.training.objective 'self', 'guided' or 'classification'"
            )


@TRAININGS.register(
    "fgsm_rs",
    title="one step of 1.25 bounds from noise within the bound",
    paper="Wong et al., Fast is Better than Free, 2020",
)
class FGSMRS(OneStep):
    """``d ~ U(-eps, eps)``, ``d <- clip(d + 1.25 eps sign(gradient))``; two plain steps."""


@TRAININGS.register(
    "n_fgsm",
    title="one step from noise of adv.training.noise bounds, not clipped to the bound",
    paper="de Jorge et al., Make Some Noise, 2022",
)
class NFGSM(OneStep):
    """``n ~ U(-k eps, k eps)``, ``d = n + eps sign(gradient at x + n)``; two plain steps."""


class Replays(OneStep):
    """A perturbation that the training's own backward pass moves."""

    def __init__(self, engine: Any, cfg: AdvConfig) -> None:
        super().__init__(engine, cfg)
        self.replays = configured_replays(cfg)
        if engine.datamanager.data_type != "image":
            raise ConfigError(
                f"adv.training.method '{cfg.adv.training.method}' is for data.type image, got video"
            )

    def attack(self, cfg: AdvConfig) -> InnerAttack:
        """Return the one-step attack that the guard compares with."""
        return searching(cfg)


@TRAININGS.register(
    "free",
    title="each batch adv.training.replays times, perturbed by the training's own gradient",
    paper="Shafahi et al., Adversarial Training for Free!, 2019",
)
class Free(Replays):
    """Free-AT; one plain step per update of the weights."""


@TRAININGS.register(
    "universal_free",
    title="one perturbation for all images, against universal noise only",
    paper="Liu et al., Fast Universal Adversarial Training, 2024",
)
class UniversalFree(Replays):
    """Fast universal adversarial training; one plain step per update of the weights."""
