"""How engines evaluate a network of tracklets."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from torchreid_adv.engines.evaluation import Base
from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.models.tracklet_model import takes_tracklets


class TrackletEvaluationMixin(Base):
    """A network of tracklets gets them whole, with modalities; others as torchreid does it."""

    _modality: Tensor

    @property
    def clip(self) -> int:
        """Frames that the network takes at a time, 0 for all of a tracklet."""
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
        """Return descriptors (N, D) of the tracklets that were parsed last, each by itself."""
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
