"""``adv.engine: mis_ranking``: train a generator of perturbations against the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from torchreid_adv.attacks.build import configured_distance
from torchreid_adv.attacks.classification import check_identities
from torchreid_adv.attacks.learned.generator import save_generator
from torchreid_adv.attacks.learned.mis_ranking import GeneratorFit, MisRankingLoss
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.engines.batches import pixel_model
from torchreid_adv.engines.learned_attack import LearnedAttackMixin
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import ENGINES


@ENGINES.register("mis_ranking", title="train a generator of perturbations, then attack with it")
class MisRankingMixin(LearnedAttackMixin):
    """Each batch updates a generator and a discriminator; the network never changes.

    After the last epoch the generator is written to ``generator.safetensors`` in the run's folder,
    and the targets are attacked with it as by ``attack-gallery``.
    """

    learned_file = "generator.safetensors"
    learned_name = "mis_ranking"
    fitting: GeneratorFit

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config, and load the data that it requires.

        Raises:
            ConfigError: keys exclude each other, or the network has no weights or no usable
                identity outputs.
            DataError: the virtual set is missing.
        """
        _check(cfg)
        super().adapt(cfg)
        if cfg.adv.mis_ranking.identity:
            self._check_identities()

    def learn(self, model: nn.Module, batch: Batch, virtual: Batch | None) -> dict[str, float]:
        """Take one step of both players."""
        return self.fitting.fit_step(model, batch)

    def update_lr(self, names: Any = None) -> None:
        """Keep the learning rate; the network's schedule is not used."""

    def get_current_lr(self, names: Any = None) -> float:
        """Return the learning rate of the generator, logged as lr."""
        return float(self.learning_config.adv.mis_ranking.lr)

    def save_learned(self, path: Path, about: dict[str, Any]) -> None:
        """Write the generator."""
        save_generator(path, self.fitting.noise, about)

    def begin_learning(self) -> GeneratorFit:
        """Return the object that trains the generator."""
        cfg, settings = self.learning_config, self.learning_config.adv.mis_ranking
        return GeneratorFit(
            MisRankingLoss(
                configured_distance(cfg),
                margin=settings.margin,
                identity=settings.identity,
            ),
            eps=from_levels(cfg.adv.attack.eps),
            size=(self.datamanager.height, self.datamanager.width),
            filters=settings.filters,
            blocks=settings.blocks,
            pixels=settings.pixels,
            weight=settings.weight,
            lr=settings.lr,
            seed=cfg.adv.attack.seed,
            precision=cfg.adv.attack.precision,
        )

    def _check_identities(self) -> None:
        try:
            check_identities(pixel_model(self))
        except ConfigError as error:
            raise ConfigError(
                "adv.engine mis_ranking also aims at the identity that the network finds least "
                f"likely; {error}, or set adv.mis_ranking.identity False"
            ) from error


def _check(cfg: AdvConfig) -> None:
    if cfg.adv.meta.learning not in ("source", "joined", "virtual"):
        raise ConfigError(
            "adv.engine mis_ranking learns on one set; set adv.meta.learning source, joined or "
            "virtual"
        )
    if cfg.adv.attack.step_size is not None or cfg.adv.attack.momentum is not None:
        raise ConfigError(
            "adv.engine mis_ranking trains by Adam; set adv.mis_ranking.lr, and leave "
            "adv.attack.step_size and adv.attack.momentum None"
        )
    if lookup(cfg, "sampler.train_sampler", "") == "RandomSampler":
        raise ConfigError(
            "adv.engine mis_ranking needs several images of an identity in a batch; set "
            "sampler.train_sampler RandomIdentitySampler"
        )
