"""``adv.selection.data``: choose the checkpoint by search on another data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.config import AdvConfig, check_selection, lookup
from torchreid_adv.core.files import write_text
from torchreid_adv.data.datasets import held_out_sides, load_dataset
from torchreid_adv.distances import FittedDistance
from torchreid_adv.engines.batches import pixel_model
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Protocol, RetrievalResult
from torchreid_adv.evaluation.protocol import configured_metric
from torchreid_adv.models import extract
from torchreid_adv.registry import ENGINES

FILE = "selection.json"
BEST = "model-best.pth.tar"  # torchreid's name


@ENGINES.register("selection", internal=True)
class SelectionMixin(Base):
    """Regularly ranks training identities of another data set and keeps the best network.

    Gong et al. (Robust Person Re-identification with Multi-Modal Joint Defence, section 3.2) find
    that only some trainings gain robustness, and that accuracy across data sets tells which. Each
    tested checkpoint is stored as torchreid's ``model.pth.tar-EPOCH``, the best one also as
    ``model-best.pth.tar``, and ``selection.json`` lists them. The trained weights are bit-identical
    to those without selection.
    """

    def adapt(self, cfg: AdvConfig) -> None:
        """Draw the identities, before training.

        Raises:
            ConfigError: the data are tracklets, or the data set is unknown or used for training or
                testing.
            DataError: the data set is missing or has no identities to search for.
        """
        if self.datamanager.data_type != "image":
            raise ConfigError("adv.selection.data is for data.type image, got video")
        settings = cfg.adv.selection
        check_selection(settings.data, self.datamanager.sources, list(self.test_loader))
        data = load_dataset(settings.data, lookup(cfg, "data.root", "reid-data"))
        draw = {"identities": settings.identities, "seed": settings.seed}
        self._sides = held_out_sides(data, **draw)
        self._every = settings.every
        self._workers = lookup(cfg, "data.workers", 0)
        self._folder = lookup(cfg, "data.save_dir", "log")
        self._search_rules = _search_rules(cfg)
        self._facts = {"data": settings.data, **draw, "train_seed": lookup(cfg, "train.seed")}
        self._facts["protocol"] = self._search_rules.facts()
        self._looks: list[dict[str, float]] | None = None

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch, then search if it is due."""
        super().train(*args, **keywords)
        epoch = self.epoch + 1
        if epoch % self._every == 0 or epoch == self.max_epoch:
            self._look(epoch)

    def _look(self, epoch: int) -> None:
        folder = Path(getattr(self.writer, "log_dir", None) or self._folder)
        if self._looks is None:
            self._looks = self._earlier(folder / FILE)
        result = self._search()
        best = all(result.mAP > look["mAP"] for look in self._looks)
        self._looks.append({"epoch": epoch, "mAP": result.mAP, "rank1": result.rank(1)})
        self.save_model(self.epoch, result.rank(1), str(folder), is_best=best)
        top = max(self._looks, key=lambda look: (look["mAP"], -look["epoch"]))
        name = self.get_model_names()[0]
        facts = {**self._facts, "epochs": self._looks}
        facts["best"] = {**top, "file": f"{name}/{BEST}"}
        write_text(folder / FILE, json.dumps(facts, indent=1) + "\n")
        print(
            f"=> mAP across data sets, on training identities of {self._facts['data']}: "
            f"{result.mAP:.1%}; best: {top['mAP']:.1%}, epoch {top['epoch']:.0f}"
        )
        if self.writer is not None:
            self.writer.add_scalar(f"Selection/{self._facts['data']}/mAP", result.mAP, epoch)

    def _search(self) -> RetrievalResult:
        """Rank the drawn identities; random draws of the training are not affected."""
        with torch.random.fork_rng(devices=[]):
            sides = [
                extract(
                    pixel_model(self),
                    records,
                    workers=self._workers,
                    description=f"features of {self._facts['data']}",
                )
                for records in self._sides
            ]
        return self._search_rules.evaluate(*sides)

    def _earlier(self, path: Path) -> list[dict[str, float]]:
        """Return the entries of the training that this one resumes."""
        if not self.start_epoch:
            return []
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            facts.setdefault("protocol", self._facts["protocol"])  # missing in older files
            same = all(facts[key] == value for key, value in self._facts.items())
            looks = [look for look in facts["epochs"] if look["epoch"] <= self.start_epoch]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return looks if same else []


def _search_rules(cfg: AdvConfig) -> Protocol:
    """Return the rules of the search: the config's, without re-ranking.

    Its queries and gallery are training images of all cameras, for which no data set's own protocol
    is made. A distance learned from training images is replaced by the Euclidean one.
    """
    protocol = Protocol.configured(cfg).plain
    if isinstance(protocol.distance, FittedDistance):
        protocol = replace(protocol, distance=configured_metric(cfg, "euclidean"))
    return protocol
