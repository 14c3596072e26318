"""``adv.engine: cross_modality``: stock image engines that tell a network the modality."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from torchreid_adv.config import AdvConfig
from torchreid_adv.data.cross_modality.image_sets import CrossModalityImages
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.models.two_streams import TwoStreams, with_modality
from torchreid_adv.registry import ENGINES


@ENGINES.register("cross_modality", title="visible-infrared images, for a network of two streams")
class CrossModalityMixin(Base):
    """Losses, optimizer and evaluation stay the engine's; images come with their modality."""

    def adapt(self, cfg: AdvConfig) -> None:
        """Refuse what this is not for.

        Raises:
            ConfigError: a network of one stream, or data sets that do not tell the modality.
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
