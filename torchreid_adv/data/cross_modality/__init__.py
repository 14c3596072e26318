"""Visible and infrared: sets of tracklets and of images, and samplers that pair modalities.

    modality      the modality: a field of torchreid's tuples
    frames        the frames of a tracklet that form a clip
    tracklets     the torchreid data set of tracklets
    vcm           HITSZ-VCM and its lists
    bupt_campus   BUPTCampus
    virtual_vi    virtual people walking, in the same layout
    image_sets    SYSU-MM01, RegDB and LLCM
    samplers      batches that are half visible and half infrared
Registration does not import torchreid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchreid_adv.core.lazily import attributes
from torchreid_adv.registry import DATASETS

if TYPE_CHECKING:
    from torchreid_adv.data.cross_modality.samplers import (
        CrossModalityIdentitySampler,
        CrossModalityTrackletSampler,
    )

__all__ = ["CrossModalityIdentitySampler", "CrossModalityTrackletSampler"]
__getattr__ = attributes(
    __name__, dict.fromkeys(__all__, "torchreid_adv.data.cross_modality.samplers")
)


@DATASETS.register("vcm_i2v", video=True)
def vcm_i2v(root: str = "", **kwargs: Any) -> Any:
    """Open HITSZ-VCM, with infrared queries and a visible gallery."""
    from torchreid_adv.data.cross_modality.vcm import VCM

    return VCM(root, direction="i2v", **kwargs)


@DATASETS.register("vcm_v2i", video=True)
def vcm_v2i(root: str = "", **kwargs: Any) -> Any:
    """Open HITSZ-VCM, with visible queries and an infrared gallery."""
    from torchreid_adv.data.cross_modality.vcm import VCM

    return VCM(root, direction="v2i", **kwargs)


@DATASETS.register("bupt_campus_i2v", video=True, protocol="bupt_campus")
def bupt_campus_i2v(root: str = "", **kwargs: Any) -> Any:
    """Open BUPTCampus, with infrared queries and a visible gallery."""
    from torchreid_adv.data.cross_modality.bupt_campus import BUPTCampus

    return BUPTCampus(root, direction="i2v", **kwargs)


@DATASETS.register("bupt_campus_v2i", video=True, protocol="bupt_campus")
def bupt_campus_v2i(root: str = "", **kwargs: Any) -> Any:
    """Open BUPTCampus, with visible queries and an infrared gallery."""
    from torchreid_adv.data.cross_modality.bupt_campus import BUPTCampus

    return BUPTCampus(root, direction="v2i", **kwargs)


@DATASETS.register("virtual_vi_i2v", video=True)
def virtual_vi_i2v(root: str = "", **kwargs: Any) -> Any:
    """Open virtual people walking, with infrared queries and a visible gallery."""
    from torchreid_adv.data.cross_modality.virtual_vi import VirtualVI

    return VirtualVI(root, direction="i2v", **kwargs)


@DATASETS.register("virtual_vi_v2i", video=True)
def virtual_vi_v2i(root: str = "", **kwargs: Any) -> Any:
    """Open virtual people walking, with visible queries and an infrared gallery."""
    from torchreid_adv.data.cross_modality.virtual_vi import VirtualVI

    return VirtualVI(root, direction="v2i", **kwargs)


@DATASETS.register("sysu_mm01", video=False, protocol="sysu_mm01")
def sysu_mm01(root: str = "", **kwargs: Any) -> Any:
    """Open SYSU-MM01, all-search: infrared queries among four visible cameras."""
    from torchreid_adv.data.cross_modality.image_sets import SYSUMM01

    return SYSUMM01(root, **kwargs)


@DATASETS.register("sysu_mm01_indoor", video=False, protocol="sysu_mm01")
def sysu_mm01_indoor(root: str = "", **kwargs: Any) -> Any:
    """Open SYSU-MM01, indoor search: infrared queries among the two visible cameras indoors."""
    from torchreid_adv.data.cross_modality.image_sets import SYSUMM01

    return SYSUMM01(root, indoor=True, **kwargs)


@DATASETS.register("regdb_i2v", video=False, protocol="regdb")
def regdb_i2v(root: str = "", **kwargs: Any) -> Any:
    """Open RegDB, from thermal to visible; data.split_id 0 to 9 selects trial 1 to 10."""
    from torchreid_adv.data.cross_modality.image_sets import RegDB

    return RegDB(root, direction="i2v", **kwargs)


@DATASETS.register("regdb_v2i", video=False, protocol="regdb")
def regdb_v2i(root: str = "", **kwargs: Any) -> Any:
    """Open RegDB, from visible to thermal; data.split_id 0 to 9 selects trial 1 to 10."""
    from torchreid_adv.data.cross_modality.image_sets import RegDB

    return RegDB(root, direction="v2i", **kwargs)


@DATASETS.register("llcm_i2v", video=False, protocol="llcm")
def llcm_i2v(root: str = "", **kwargs: Any) -> Any:
    """Open LLCM, with infrared queries and a visible gallery."""
    from torchreid_adv.data.cross_modality.image_sets import LLCM

    return LLCM(root, direction="i2v", **kwargs)


@DATASETS.register("llcm_v2i", video=False, protocol="llcm")
def llcm_v2i(root: str = "", **kwargs: Any) -> Any:
    """Open LLCM, with visible queries and an infrared gallery."""
    from torchreid_adv.data.cross_modality.image_sets import LLCM

    return LLCM(root, direction="v2i", **kwargs)
