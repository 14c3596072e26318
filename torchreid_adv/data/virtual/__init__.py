"""Synthetic ("virtual") people: articulated, dressed, walking, seen by cameras that differ.

    draws        random numbers keyed by purpose         people       draws the people
    body         proportions, gait, pose                 view         body -> canvas pixels
    clothes      cloths, cuts, outfits                   patterns     stripes, checks, prints...
    colors       named colors                            solids       materials, light, solid parts
    figure       a person as parts: trunk, bags; limbs and head are separate files
    shading      lights the parts and paints them        camera       blur, color, noise, infrared
    style        wardrobe + cameras + scenes             styles       style_a, style_b, style_c
    scenes       backgrounds, things in street           backdrop     pieces cut out of them
    occluders    things between person and camera
    image        one image of all this                   walks        one frame of a tracklet
    folder       amount to render, and where             plan         the images of a set
    render       a whole set, once; a contact sheet      datasets     torchreid data sets

An image is a function of style, seed, person, camera and image index; its background depends only
on camera and image index. In ``virtual_c_long`` clothes also depend on the camera.
Registration does not import torchreid, so that rendering processes start immediately.
"""

from __future__ import annotations

from typing import Any

from torchreid_adv.data.virtual.folder import VirtualOptions
from torchreid_adv.data.virtual.render import contact_sheet, render_dataset
from torchreid_adv.registry import DATASETS

__all__ = ["VirtualOptions", "contact_sheet", "render_dataset"]


@DATASETS.register("virtual_a", video=False)
def virtual_a(root: str = "", **kwargs: Any) -> Any:
    """Open ``virtual_a``: a campus in summer, six cameras."""
    from torchreid_adv.data.virtual.datasets import VirtualA

    return VirtualA(root, **kwargs)


@DATASETS.register("virtual_b", video=False)
def virtual_b(root: str = "", **kwargs: Any) -> Any:
    """Open ``virtual_b``: a town in winter, five cameras."""
    from torchreid_adv.data.virtual.datasets import VirtualB

    return VirtualB(root, **kwargs)


@DATASETS.register("virtual_c", video=False)
def virtual_c(root: str = "", **kwargs: Any) -> Any:
    """Open ``virtual_c``: works and sports grounds, four cameras."""
    from torchreid_adv.data.virtual.datasets import VirtualC

    return VirtualC(root, **kwargs)


@DATASETS.register("virtual_c_long", video=False)
def virtual_c_long(root: str = "", **kwargs: Any) -> Any:
    """Open ``virtual_c_long``: ``virtual_c`` with other clothes for each camera."""
    from torchreid_adv.data.virtual.datasets import VirtualCLong

    return VirtualCLong(root, **kwargs)
