"""Networks behind pixels, and their features."""

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
