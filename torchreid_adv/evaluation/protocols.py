"""How visible-infrared image sets are searched: drawn galleries, cameras of one place, curves."""

from __future__ import annotations

from dataclasses import dataclass

from torchreid_adv.registry import PROTOCOLS


@dataclass(frozen=True)
class Protocol:
    """Rules of a search.

    Args:
        galleries: that are drawn, by the seeds 0, 1...; results are means over them.
        shots: gallery images of an identity by a camera; 0 = all, with nothing to draw.
        same_place: pairs (query camid, gallery camid), from 0, that look at one place: such gallery
            images do not count, whoever is on them.
        same_camera: gallery images of the query's identity and camid do not count.
        per_identity: the match curve counts identities instead of images.
    """

    galleries: int = 1
    shots: int = 0
    same_place: tuple[tuple[int, int], ...] = ()
    same_camera: bool = True
    per_identity: bool = False


@PROTOCOLS.register("sysu_mm01", title="ten galleries, one image of an identity by each camera")
def sysu_mm01() -> Protocol:
    """Return the rules of SYSU-MM01's single-shot search; cameras 3 and 2 are in one room."""
    return Protocol(10, 1, same_place=((2, 1),), same_camera=False, per_identity=True)


@PROTOCOLS.register("regdb", title="all images; nothing is left out")
def regdb() -> Protocol:
    """Return the rules of RegDB, whose ten trials are ten divisions of the identities."""
    return Protocol(same_camera=False)


@PROTOCOLS.register("llcm", title="as sysu_mm01; the query's own camera does not count")
def llcm() -> Protocol:
    """Return the rules of LLCM."""
    return Protocol(10, 1, per_identity=True)


@PROTOCOLS.register("bupt_campus", title="all tracklets; nothing is left out")
def bupt_campus() -> Protocol:
    """Return the rules of BUPTCampus."""
    return Protocol(same_camera=False)
