"""The input settings of a network that an entry, or a module itself, states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.entries import Entry, three
from torchreid_adv.models.output import LOG
from torchreid_adv.registry import LOADERS

# options of every network; formats declare further options at registration
COMMON = (
    "resize", "order", "range", "pad", "corner", "take", "flip", "parts", "weights", "batch",
    "input", "dtype",
)  # fmt: skip
INTERPOLATIONS = {"bilinear": "pillow", "bicubic": "bicubic"}


def check_options(entry: Entry, loader: str | None) -> None:
    """Refuse options that a format, or a network of torchreid, does not support.

    Args:
        entry: the entry with the options.
        loader: the format's registered name; None = a network of torchreid or of this package.

    Raises:
        ConfigError: the error names the first such option, and the supported ones.
    """
    format_options = () if loader is None else LOADERS.facts(loader).get("options", ())
    foreign = [name for name in entry.options if name not in (*COMMON, *format_options)]
    if loader is not None and not LOADERS.facts(loader).get("weights"):
        foreign += [name for name in entry.options if name == "weights"]
    if foreign:
        known = ", ".join((*COMMON, *format_options))
        raise ConfigError(f"'{entry.name}' takes no option '{foreign[0]}', only: {known}")


def check_letterbox(entry: Entry, loaded: Mapping[str, Any]) -> None:
    """Refuse options of a letterbox where there is none.

    Args:
        entry: the entry with the options.
        loaded: the settings of the format's own file.

    Raises:
        ConfigError: neither the entry nor the file asks for a letterbox.
    """
    resize = entry.options.get("resize")
    boxed = resize == "letterbox" if resize else bool(loaded.get("letterbox"))
    without = [name for name in ("corner", "pad") if name in entry.options and not boxed]
    if without:
        raise ConfigError(
            f"'{entry.name}' has the option '{without[0]}', which only a letterbox has; write "
            "resize=letterbox, too, or leave it out"
        )


def settings_of_entry(entry: Entry) -> dict[str, Any]:
    """Return the settings of a PixelModel in an entry.

    Raises:
        ConfigError: pad is not a level.
    """
    options = dict(entry.options)
    settings: dict[str, Any] = {} if entry.size is None else {"size": entry.size}
    if entry.size and entry.size[0] < entry.size[1]:
        LOG.warning("%s: images are %d high and %d wide (HEIGHTxWIDTH)", entry.name, *entry.size)
    if entry.normalization:
        settings["mean"], settings["std"] = map(three, entry.normalization)
    if options.get("resize") == "letterbox":
        settings["letterbox"] = "corner" if options.get("corner") == "yes" else "center"
    elif "resize" in options:
        settings |= {"resize": options["resize"], "letterbox": ""}
    elif "corner" in options:
        settings["letterbox"] = "corner" if options["corner"] == "yes" else "center"
    if "range" in options:
        settings["range"] = int(options["range"])
        if settings["range"] == LEVELS and not entry.normalization:
            settings |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    if "pad" in options:
        settings["pad"] = _levels(options["pad"])
    settings |= {name: options[name] for name in ("order", "flip", "parts") if name in options}
    if "take" in options:
        settings["output"] = _path(options["take"])
    return settings


def _levels(text: str) -> tuple[int, ...]:
    levels = text.split(",")
    if len(levels) not in (1, 3) or not all(level.isdigit() for level in levels):
        raise ConfigError(f"pad is one level or three, 0 to 255, got '{text}'")
    return tuple(int(level) for level in three(tuple(map(float, levels))))


def _path(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def known_settings(module: Any) -> dict[str, Any]:
    """Return the settings of a PixelModel that a module knows itself, or {}.

    Networks of timm have them in ``pretrained_cfg``: input size, mean, std and interpolation.
    """
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(module, nn.Module) or not isinstance(config, dict):
        return {}
    known: dict[str, Any] = {}
    if len(config.get("input_size", ())) == 3:
        known["size"] = tuple(config["input_size"][1:])
    known |= {name: tuple(config[name]) for name in ("mean", "std") if name in config}
    if config.get("interpolation") in INTERPOLATIONS:
        known["resize"] = INTERPOLATIONS[config["interpolation"]]
    return known
