"""Shared parts of engines that learn one attack for all images against their network."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from torchreid_adv.attacks.build import check_gradient, configured_distance
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.manifest import RUN
from torchreid_adv.core.tensor_file import settings_in
from torchreid_adv.distances import FittedDistance
from torchreid_adv.engines.batches import pixel_model, to_pixels
from torchreid_adv.engines.loaders import EndlessLoader, loader_like, training_set
from torchreid_adv.engines.metric_attack import MetricAttackMixin
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import fingerprint
from torchreid_adv.models.prepare import Prepared
from torchreid_adv.version import __version__

META = ("meta", "two_step")  # values of adv.meta.learning with a meta-test
ALONE = ("source", "twice")  # values that use only the source sets


class LearnedAttackMixin(MetricAttackMixin):
    """Each batch updates the learned attack; the network never changes.

    After the last epoch the attack is written to ``learned_file`` in the run's folder, and the
    targets are attacked with it as by ``attack-gallery``. ``fitting`` holds the attack.
    """

    learned_file: str  # name of the written file
    learned_name: str  # name of the attack that applies it
    train_loader: Any
    learning_config: AdvConfig
    virtual: EndlessLoader | None
    fitting: Any  # None until the first epoch
    _prepared: Prepared | None = None

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config, and load the data that it requires.

        Raises:
            ConfigError: keys exclude each other, or the network has no weights.
            DataError: the virtual set is missing.
        """
        super().adapt(cfg)
        check_learning(cfg)
        self.learning_config, self.virtual, self.fitting = cfg, None, None
        stock, settings = self.train_loader, cfg.adv.meta
        if settings.learning == "twice":
            self.virtual = EndlessLoader(loader_like(stock, stock.dataset, cfg))
        elif settings.learning != "source":
            other = training_set(cfg, settings.virtual, stock.dataset.transform)
            if settings.learning in META:
                self.virtual = EndlessLoader(loader_like(stock, other, cfg))
            else:
                joined = stock.dataset + other if settings.learning == "joined" else other
                self.datamanager.train_loader = stock = loader_like(stock, joined, cfg)
        self.train_loader = EndlessLoader(stock, settings.iterations)

    trains_network = False  # the network is fixed; the attack has its own file

    def train(self, *args: Any, **keywords: Any) -> None:
        """Learn for an epoch."""
        if self.fitting is None:
            check_gradient(pixel_model(self))
            self.fitting = self.begin_learning()
            self._check_free(Path(lookup(self.learning_config, "data.save_dir", "") or "log"))
        super().train(*args, **keywords)

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Take one step of the attack.

        Raises:
            DataError: the loss is not finite.
        """
        batch = self._batch(data)
        other = None if self.virtual is None else self._batch(self.virtual.next())
        if self._prepared is None:
            precision = self.learning_config.adv.attack.precision
            self._prepared = Prepared(
                pixel_model(self), batch.images, precision=precision, graphs=self.fitting.graphs
            )
        summary = self.learn(self._prepared, batch, other)
        if not all(math.isfinite(value) for value in summary.values()):
            raise DataError(
                f"the loss is {summary['loss']} in epoch {self.epoch + 1}, batch "
                f"{self.batch_idx + 1}; is the network whole, and are its images?"
            )
        return summary

    def test(self, *args: Any, save_dir: str = "", **keywords: Any) -> float:
        """Evaluate; after the last epoch write the attack, and attack the targets with it."""
        if self.epoch + 1 >= getattr(self, "max_epoch", 0):
            path = self._write(Path(save_dir or "log"))
            self.attack_config = _applied(self.learning_config, self.learned_name, path)
        return super().test(*args, save_dir=save_dir, **keywords)

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Write the attack so far, instead of the unchanged network."""
        self._write(Path(save_dir))

    def begin_learning(self) -> Any:
        """Return the object that will learn."""
        raise NotImplementedError

    def learn(self, model: nn.Module, batch: Batch, virtual: Batch | None) -> dict[str, float]:
        """Take one step against a prepared model; return ``loss``, and other values to log."""
        raise NotImplementedError

    def save_learned(self, path: Path, about: dict[str, Any]) -> None:
        """Write the attack, with a header."""
        raise NotImplementedError

    def about_learned(self) -> dict[str, Any]:
        """Return the header: how the attack was learned."""
        cfg, settings, model = (
            self.learning_config,
            self.learning_config.adv.meta,
            pixel_model(self),
        )
        return {
            "version": __version__,
            "space": "network",
            "trained_on": [] if settings.learning == "virtual" else list(self.datamanager.sources),
            "virtual": "" if settings.learning in ALONE else settings.virtual,
            "learning": settings.learning,
            "model": lookup(cfg, "model.name", type(model.network).__name__),
            "model_sha256": fingerprint(model.network),
            "input": list(model.size),
            "steps": self.fitting.steps,
            "seed": cfg.adv.attack.seed,
        }

    def _check_free(self, folder: Path) -> None:
        """Refuse a folder with the run of an attack that was learned otherwise.

        Raises:
            ConfigError: another run is in the folder.
        """
        if not (folder / RUN).is_file():
            return
        with tempfile.TemporaryDirectory() as temporary:
            new_file = Path(temporary) / self.learned_file
            self.save_learned(new_file, self.about_learned())
            new_facts, stored_facts = settings_in(new_file), settings_in(folder / self.learned_file)
        names = [n for n in new_facts if n != "steps" and new_facts[n] != stored_facts.get(n)]
        if names:
            differences = "; ".join(
                f"{n} {stored_facts.get(n)!r} there, {new_facts[n]!r} here" for n in names[:3]
            )
            raise ConfigError(
                f"'{folder / RUN}' belongs to a run of another learned attack ({differences}); "
                "choose another data.save_dir or remove it"
            )

    def _write(self, folder: Path) -> Path:
        path = folder / self.learned_file
        self.save_learned(path, self.about_learned())
        print(f"Learned attack: {path}")
        return path

    def _batch(self, data: Any) -> Batch:
        images, pids = self.parse_data_for_train(data)
        if self.use_gpu:
            images, pids = images.cuda(), pids.cuda()
        pixels: Tensor = to_pixels(pixel_model(self), images)
        return Batch(pixels, pids=pids)


def check_learning(cfg: AdvConfig) -> None:
    """Refuse settings with which no attack can be learned.

    Raises:
        ConfigError: keys exclude each other, or the network has no weights.
    """
    engine = f"adv.engine {cfg.adv.engine}"
    if lookup(cfg, "test.evaluate", False):
        raise ConfigError(
            f"{engine} learns in training; set test.evaluate False, or apply the noise of an "
            "earlier training with torchreid-adv attack-gallery and adv.attack.weights"
        )
    if lookup(cfg, "model.load_weights") == "" and not lookup(cfg, "model.resume", ""):
        raise ConfigError(
            f"{engine} learns against a trained network, which it does not change; name its "
            "checkpoint in model.load_weights"
        )
    if cfg.adv.attack.steps is not None or cfg.adv.attack.targeted:
        raise ConfigError(
            f"{engine} takes train.max_epoch times adv.meta.iterations steps away from the image; "
            "leave adv.attack.steps None and adv.attack.targeted False"
        )
    distance = configured_distance(cfg)
    if isinstance(distance, FittedDistance) or not distance.squared_euclidean:
        raise ConfigError(
            f"{engine} does not learn against the distance '{distance.name}'; set "
            "adv.attack.metric euclidean or cosine"
        )


def _applied(cfg: AdvConfig, attack: str, path: Path) -> AdvConfig:
    """Return a config that applies the learned attack."""
    applied = cfg.clone()
    applied.adv.attack.update(
        name=attack,
        weights=str(path),
        step_size=None,
        momentum=None,
        options=AdvConfig(new_allowed=True),
    )
    return applied
