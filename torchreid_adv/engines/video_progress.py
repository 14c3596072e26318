"""Training of the video network inside another job."""

from __future__ import annotations

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.progress import ProgressMixin
from torchreid_adv.engines.vi_self_attack import VISelfAttackMixin
from torchreid_adv.registry import ENGINES


@ENGINES.register("video_progress", internal=True)
class VideoProgressMixin(ProgressMixin, VISelfAttackMixin):
    """Algorithm 1 inside another job, with its progress bar."""

    def adapt(self, cfg: AdvConfig) -> None:
        """Take the config for both."""
        VISelfAttackMixin.adapt(self, cfg)
        ProgressMixin.adapt(self, cfg)
