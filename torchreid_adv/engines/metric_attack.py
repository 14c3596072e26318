"""``adv.engine: metric_attack``: a script's evaluation also attacks, and stores the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.datasets import from_torchreid
from torchreid_adv.engines.batches import pixel_model
from torchreid_adv.engines.modalities import TrackletEvaluationMixin
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.tracklet_model import of_tracklets
from torchreid_adv.registry import ENGINES
from torchreid_adv.runs.attack_dataset import attack_targets


@ENGINES.register("metric_attack", title="evaluation also attacks adv.attack.side, prints both")
class MetricAttackMixin(TrackletEvaluationMixin):
    """After the last evaluation, attack each target and write the files of attack-gallery.

    Training and the evaluations during training are those of the stock engine.
    """

    attack_config: AdvConfig

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config.

        Raises:
            ConfigError: other models are to be attacked.
        """
        if cfg.adv.attack.models:
            raise ConfigError(
                f"adv.engine {cfg.adv.engine} attacks the engine's own model; "
                "for adv.attack.models use torchreid-adv attack-gallery"
            )
        self.attack_config = cfg

    def test(self, *args: Any, save_dir: str = "", **keywords: Any) -> float:
        """Evaluate as the stock engine does, then attack unless more training follows."""
        rank1: float = super().test(*args, save_dir=save_dir, **keywords)
        if self.leads and self.epoch + 1 >= getattr(self, "max_epoch", 0):
            self._attack_targets(Path(save_dir or "log"))
        return rank1

    def _attack_targets(self, out: Path) -> None:
        cfg = self.attack_config
        model = pixel_model(self)
        if self.datamanager.data_type == "video":
            pooling = getattr(self, "pooling_method", "")
            model = of_tracklets(model, clip=self.clip, pooling=pooling)
        facts = {
            "name": lookup(cfg, "model.name", type(model.network).__name__),
            "weights": lookup(cfg, "model.load_weights", ""),
            "size": list(model.size),
        }
        root = lookup(cfg, "data.root", ".")
        targets = [
            from_torchreid(name, root, loaders["query"].dataset)
            for name, loaders in self.test_loader.items()
        ]
        outcome = attack_targets(cfg, model, facts, targets, out)
        assert outcome is not None  # None only for a shard
        print(f"Report: {outcome.report}")
