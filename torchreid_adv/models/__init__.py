"""Networks behind pixels, and their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchreid_adv.core.lazily import attributes

if TYPE_CHECKING:
    from torchreid_adv.models.ensemble import Ensemble
    from torchreid_adv.models.features import Features, extract
    from torchreid_adv.models.loading import fingerprint, load_model
    from torchreid_adv.models.pixel_model import PixelModel
    from torchreid_adv.models.tracklet_model import TrackletModel

__all__ = [
    "Ensemble",
    "Features",
    "PixelModel",
    "TrackletModel",
    "extract",
    "fingerprint",
    "load_model",
]
_HOME = {
    "Ensemble": "torchreid_adv.models.ensemble",
    "Features": "torchreid_adv.models.features",
    "PixelModel": "torchreid_adv.models.pixel_model",
    "TrackletModel": "torchreid_adv.models.tracklet_model",
    "extract": "torchreid_adv.models.features",
    "fingerprint": "torchreid_adv.models.loading",
    "load_model": "torchreid_adv.models.loading",
}
__getattr__ = attributes(__name__, _HOME)
