"""``adv.engine: cross_modality``: networks that use the modality, and networks of tracklets."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from torchreid_adv.config import AdvConfig
from torchreid_adv.data.cross_modality.image_sets import CrossModalityImages
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.models.tracklet_model import takes_tracklets
from torchreid_adv.models.victims import TwoStreams, with_modality
from torchreid_adv.registry import ENGINES


@ENGINES.register("cross_modality", title="visible-infrared images, for a network of two streams")
class CrossModalityMixin(Base):
    """Losses, optimizer and evaluation stay the engine's; images come with their modality."""

    def adapt(self, cfg: AdvConfig) -> None:
        """Refuse unsupported networks and data sets.

        Raises:
            ConfigError: the network has one stream, or a data set does not say the modality.
        """
        if not isinstance(getattr(unwrap(self.model), "trunk", None), TwoStreams):
            raise ConfigError(
                "adv.engine cross_modality is for networks with a stream for each modality; set "
                "model.name agw_two_stream, or adv.engine '' for a network that takes all alike"
            )
        loaders = [self.train_loader, *(side["query"] for side in self.test_loader.values())]
        for loader in loaders:
            dataset = getattr(loader.dataset, "images", loader.dataset)
            if not isinstance(dataset, CrossModalityImages):
                raise ConfigError(
                    f"adv.engine cross_modality needs to know what is infrared, which "
                    f"{type(dataset).__name__} does not tell; set data.sources and data.targets "
                    "to sysu_mm01, regdb_v2i, llcm_v2i or their kin"
                )

    def parse_data_for_train(self, data: Any) -> tuple[Tensor, Tensor]:
        """Return images with their modality, and pids."""
        images, pids = super().parse_data_for_train(data)
        return with_modality(images, data["dsetid"]), pids

    def parse_data_for_eval(self, data: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return images with their modality, pids and camids."""
        images, pids, camids = super().parse_data_for_eval(data)
        return with_modality(images, data["dsetid"]), pids, camids


class TrackletEvaluationMixin(Base):
    """Networks of tracklets get whole tracklets with modalities; others work as in torchreid."""

    _modality: Tensor

    @property
    def clip(self) -> int:
        """Number of frames that the network takes at a time, 0 for all of a tracklet."""
        dataset = next(iter(self.test_loader.values()))["query"].dataset
        whole = getattr(dataset, "sample_method", "") == "dense"
        return int(dataset.seq_len) if whole else 0

    def parse_data_for_eval(self, data: Any) -> tuple[Any, ...]:
        """Return tracklets, pids and camids, and remember the modalities."""
        if not takes_tracklets(unwrap(self.model)):
            stock: tuple[Any, ...] = super().parse_data_for_eval(data)
            return stock
        self._modality = data["dsetid"] % 2
        return data["img"], data["pid"], data["camid"]

    def extract_features(self, input: Tensor) -> Tensor:
        """Return descriptors (N, D) of the tracklets parsed last, each computed separately."""
        if not takes_tracklets(unwrap(self.model)):
            stock: Tensor = super().extract_features(input)
            return stock
        modality, clip = self._modality.to(input.device), self.clip
        if not clip:
            features: Tensor = self.model(input, modality)
            return features
        clips = input.unflatten(1, (-1, clip))
        rows = modality.repeat_interleave(clips.shape[1])
        features = self.model(clips.flatten(0, 1), rows)
        return features.unflatten(0, clips.shape[:2]).mean(1)
