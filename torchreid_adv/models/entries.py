"""How a network is named: ``[label=]format[@option]...[:source[:source]...]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchreid_adv.core.given_files import folder_fault
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.integration.weight_files import WEIGHTS
from torchreid_adv.registry import unknown

_NUMBER = r"\d*\.?\d+(?:[eE][-+]?\d+)?"
_THREE = rf"{_NUMBER}(?:,{_NUMBER},{_NUMBER})?"  # one for each channel, or one for all
_LABEL = re.compile(r"([\w.+*-]+)=(.+)", re.DOTALL)
_NAME = re.compile(r"[\w.-]+")
_SIZE = re.compile(r"(\d+)x(\d+)")
_NORMALIZATION = re.compile(rf"({_THREE})/({_THREE})")
_OPTION = re.compile(r"(\w+)=(.*)", re.DOTALL)
_WHOLE = ("hf_hub", "hf", "hf-hub")  # formats whose source contains a colon

# key -> values that it takes, () for any; every format takes these
OPTIONS: dict[str, tuple[str, ...]] = {
    "resize": ("pillow", "bicubic", "cv2", "cv2_cubic", "letterbox", "none"),
    "order": ("rgb", "bgr"),
    "range": ("1", "255"),
    "pad": (),
    "corner": ("yes", "no"),
    "take": (),
    "neck": ("before", "after", "cfg"),
    "camera": (),
    "view": (),
    "flip": ("none", "sum"),
    "parts": ("none", "unit"),
    "set": (),
    "weights": (),
    "batch": ("any", "1"),
    "input": ("float", "uint8", "numpy"),
    "dtype": ("float32", "half", "bf16"),
}


@dataclass(frozen=True)
class Entry:
    """The parts of an entry.

    Args:
        name: of a network, or a format.
        source: what follows the first colon, such as a file; "" = nothing does.
        label: how tables call it; "" = by its name.
        size: height and width of its input; None = not said.
        normalization: mean and std, of one number or three each; None = not said.
        options: further ones, key -> value, as they are written; ``set`` may be there several times
            and is a tuple.
    """

    name: str
    source: str = ""
    label: str = ""
    size: tuple[int, int] | None = None
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_entry(text: str) -> Entry:
    """Return the parts of ``label=name@option@option:source``.

    Options are ``HEIGHTxWIDTH``, ``MEAN/STD``, or ``key=value`` with a key of :data:`OPTIONS`, in
    any order. Their values hold no ``:`` and no ``@``.

    Raises:
        ConfigError: another form, an unknown option or value, or one that is given twice.
    """
    head, _, source = text.partition(":")
    label = ""
    named = _LABEL.fullmatch(head)
    if named and "@" not in named[1]:
        label, head = named[1], named[2]
    name, *options = head.split("@")
    if not _NAME.fullmatch(name):
        if folder_fault(text):
            raise unknown_model(text, "", ())
        raise ConfigError(
            f"'{text}' names no model; write name:weights, name@HEIGHTxWIDTH:weights or "
            "label=name:weights"
        )
    return Entry(name, source, label, **_options(options, text))


def entry_in(text: str) -> Entry:
    """Parse an entry, which may be only a checkpoint, as ``[label=]FILE``; its name is "" then.

    Raises:
        ConfigError: the form is invalid.
    """
    label, equals, path = text.partition("=")
    for name, file in ((label if equals else "", path), ("", text)):
        if file and Path(file).expanduser().is_file():
            return Entry("", file, name)
    return parse_entry(text)


def unknown_model(name: str, source: str, known: Sequence[str]) -> ConfigError:
    """Return the error for a name that no network or format has, which may be a folder."""
    fault = "" if source else folder_fault(name, WEIGHTS)
    if not fault:
        return unknown("model", name, known)
    return ConfigError(f"'{name}' {fault}, or write its format, as in hf:{name}")


def _options(parts: Sequence[str], text: str) -> dict[str, Any]:
    """Return size, normalization and further options of an entry."""
    preparation: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for part in parts:
        name, value = _option(part, text)
        table = preparation if name in ("size", "normalization") else further
        if name == "set":
            further[name] = (*further.get(name, ()), value)
        elif name in table:
            raise ConfigError(f"'{text}' says {name} twice; leave one of them out")
        else:
            table[name] = value
    return {**preparation, "options": further}


def _option(part: str, text: str) -> tuple[str, Any]:
    size, numbers = _SIZE.fullmatch(part), _NORMALIZATION.fullmatch(part)
    if size:
        return "size", (int(size[1]), int(size[2]))
    if numbers:
        mean, std = (tuple(map(float, numbers[group].split(","))) for group in (1, 2))
        return "normalization", (mean, std)
    pair = _OPTION.fullmatch(part)
    if not pair:
        raise ConfigError(
            f"'{text}' names no model: '@{part}' is not an option; write @HEIGHTxWIDTH, @MEAN/STD "
            "or @key=value"
        )
    key, value = pair[1], pair[2]
    if key not in OPTIONS:
        raise ConfigError(f"'{text}' has an unknown option '{key}'{suggest(key, OPTIONS)}")
    if OPTIONS[key] and value not in OPTIONS[key]:
        raise ConfigError(
            f"'{text}' says {key}={value}, and {key} is one of {', '.join(OPTIONS[key])}"
        )
    return key, value


def sources(text: str) -> list[str]:
    r"""Return the parts of a source, split at colons.

    The colon behind a drive's letter (``C:\w.pth``) and behind ``hf_hub`` belongs to its part.
    """
    parts: list[str] = []
    for piece in text.split(":") if text else []:
        drive = parts and re.fullmatch(r"[A-Za-z]", parts[-1]) and piece[:1] in ("/", "\\")
        if parts and (drive or parts[-1] in _WHOLE):
            parts[-1] = f"{parts[-1]}:{piece}"
        else:
            parts.append(piece)
    return parts


def three(numbers: Sequence[float]) -> tuple[float, ...]:
    """Return a number for each channel, of one for all or of three."""
    return (*numbers, *numbers, *numbers)[:3]


def text_of(entry: Entry) -> str:
    """Return an entry as it is written, without its label."""
    return f"{written(entry.name, entry)}{f':{entry.source}' if entry.source else ''}"


def written(name: str, entry: Entry) -> str:
    """Return a name with the options of an entry, as :func:`parse_entry` reads them."""
    parts = [name]
    if entry.size:
        parts.append(f"{entry.size[0]}x{entry.size[1]}")
    if entry.normalization:
        parts.append("/".join(",".join(map(repr, part)) for part in entry.normalization))
    for key, value in entry.options.items():
        values = value if isinstance(value, tuple) else (value,)
        parts += [f"{key}={item}" for item in values]
    return "@".join(parts)
