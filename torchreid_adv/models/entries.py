"""How a network is named: ``label=name@HEIGHTxWIDTH@MEAN/STD:weights``."""

from __future__ import annotations

import re

_NUMBER = r"\d*\.?\d+"
_THREE = rf"{_NUMBER}(?:,{_NUMBER},{_NUMBER})?"  # one for each channel, or one for all
_NAME = rf"(?P<name>\w+)(?:@(?P<size>\d+x\d+))?(?:@(?P<mean>{_THREE})/(?P<std>{_THREE}))?"
_ENTRY = re.compile(rf"(?:(?P<label>[\w.+*-]+)=)?{_NAME}(?::(?P<weights>.+))?")
_ALONE = re.compile(_NAME)

Settings = tuple[tuple[int, int] | None, tuple[tuple[float, ...], tuple[float, ...]] | None]


def parse_entry(entry: str) -> re.Match[str] | None:
    """Return the parts of ``label=name@size@normalization:weights``; None for another form."""
    return _ENTRY.fullmatch(entry)


def parse_name(name: str) -> re.Match[str] | None:
    """Return the parts of ``name@size@normalization``; None for another form."""
    return _ALONE.fullmatch(name)


def settings_in(found: re.Match[str]) -> Settings:
    """Return size and normalization of an entry, None for what it leaves out."""
    size = normalization = None
    if found["size"]:
        height, width = found["size"].split("x")
        size = int(height), int(width)
    if found["mean"]:
        mean, std = (tuple(map(float, found[key].split(","))) for key in ("mean", "std"))
        normalization = mean, std
    return size, normalization


def three(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Return a number for each channel, of one for all or of three."""
    return (*numbers, *numbers, *numbers)[:3]
