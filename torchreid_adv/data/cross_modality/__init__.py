"""Visible and infrared: sets of tracklets and of images in both, and samplers that pair them.

    modality      which is which: a field of torchreid's tuples
    frames        of which frames of a tracklet a clip consists
    tracklets     the torchreid data set of tracklets
    vcm           HITSZ-VCM; its lists are in vcm_lists
    virtual_vi    virtual people walking, in that layout
    samplers      batches that are half visible and half infrared

Registering does not import torchreid.
"""

from __future__ import annotations

from typing import Any

from torchreid_adv.data.cross_modality.samplers import (
    CrossModalityIdentitySampler,
    CrossModalityTrackletSampler,
)
from torchreid_adv.registry import DATASETS

__all__ = ["CrossModalityIdentitySampler", "CrossModalityTrackletSampler"]


@DATASETS.register("vcm_i2v", video=True)
def vcm_i2v(root: str = "", **kwargs: Any) -> Any:
    """Open HITSZ-VCM, searched from infrared to visible."""
    from torchreid_adv.data.cross_modality.vcm import VCM

    return VCM(root, direction="i2v", **kwargs)


@DATASETS.register("vcm_v2i", video=True)
def vcm_v2i(root: str = "", **kwargs: Any) -> Any:
    """Open HITSZ-VCM, searched from visible to infrared."""
    from torchreid_adv.data.cross_modality.vcm import VCM

    return VCM(root, direction="v2i", **kwargs)


@DATASETS.register("virtual_vi_i2v", video=True)
def virtual_vi_i2v(root: str = "", **kwargs: Any) -> Any:
    """Open virtual people walking, searched from infrared to visible."""
    from torchreid_adv.data.cross_modality.virtual_vi import VirtualVI

    return VirtualVI(root, direction="i2v", **kwargs)


@DATASETS.register("virtual_vi_v2i", video=True)
def virtual_vi_v2i(root: str = "", **kwargs: Any) -> Any:
    """Open virtual people walking, searched from visible to infrared."""
    from torchreid_adv.data.cross_modality.virtual_vi import VirtualVI

    return VirtualVI(root, direction="v2i", **kwargs)
