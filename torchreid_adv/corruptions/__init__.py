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
from torchreid_adv.corruptions.of_files import FileCorruption, people_of

__all__ = [
    "FAMILIES",
    "SCALES",
    "SEVERITIES",
    "Conditions",
    "FileCorruption",
    "corrupt",
    "corruption",
    "drawn",
    "people_of",
    "published_kinds",
]
