"""Corruptions of images: bad light, bad weather, bad cameras; the same bytes on every machine."""

from torchreid_adv.corruptions.base import (
    FAMILIES,
    SCALES,
    SEVERITIES,
    Conditions,
    corrupt,
    corruption,
    drawn,
    published_kinds,
)

__all__ = [
    "FAMILIES",
    "SCALES",
    "SEVERITIES",
    "Conditions",
    "corrupt",
    "corruption",
    "drawn",
    "published_kinds",
]
