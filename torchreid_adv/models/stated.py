"""What an entry, or a module itself, states of the images that a network takes."""

from __future__ import annotations

from typing import Any

from torch import nn

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.entries import Entry, three
from torchreid_adv.registry import LOADERS

# options that every network takes; further ones are named by a format where it is registered
COMMON = (
    "resize", "order", "range", "pad", "corner", "take", "flip", "parts", "weights", "batch",
    "input", "dtype",
)  # fmt: skip
INTERPOLATIONS = {"bilinear": "pillow", "bicubic": "bicubic"}


def check_options(entry: Entry, loader: str | None) -> None:
    """Refuse options that a format, or a network of torchreid, has no use for.

    Args:
        entry: that says them.
        loader: the format's registered name; None = a network of torchreid or of this package.

    Raises:
        ConfigError: with the first such option, and those that it takes.
    """
    own = () if loader is None else LOADERS.facts(loader).get("options", ())
    foreign = [name for name in entry.options if name not in (*COMMON, *own)]
    if loader is not None and not LOADERS.facts(loader).get("weights"):
        foreign += [name for name in entry.options if name == "weights"]
    if foreign:
        known = ", ".join((*COMMON, *own))
        raise ConfigError(f"'{entry.name}' takes no option '{foreign[0]}', only: {known}")


def said_by(entry: Entry) -> dict[str, Any]:
    """Return the settings of a PixelModel that an entry says.

    Raises:
        ConfigError: a pad that is no level, or a corner without a letterbox.
    """
    options = dict(entry.options)
    said: dict[str, Any] = {} if entry.size is None else {"size": entry.size}
    if entry.normalization:
        said["mean"], said["std"] = map(three, entry.normalization)
    if options.get("resize") == "letterbox":
        said["letterbox"] = "corner" if options.get("corner") == "yes" else "center"
    elif "resize" in options:
        said |= {"resize": options["resize"], "letterbox": ""}
    elif "corner" in options:
        said["letterbox"] = "corner" if options["corner"] == "yes" else "center"
    if "range" in options:
        said["range"] = int(options["range"])
        if said["range"] == LEVELS and not entry.normalization:
            said |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    if "pad" in options:
        said["pad"] = _levels(options["pad"])
    said |= {name: options[name] for name in ("order", "flip", "parts") if name in options}
    if "take" in options:
        said["output"] = _path(options["take"])
    return said


def _levels(text: str) -> tuple[int, ...]:
    levels = text.split(",")
    if len(levels) not in (1, 3) or not all(level.isdigit() for level in levels):
        raise ConfigError(f"pad is one level or three, 0 to 255, got '{text}'")
    return tuple(int(level) for level in three(tuple(map(float, levels))))


def _path(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def known_settings(module: Any) -> dict[str, Any]:
    """Return the settings of a PixelModel that a module says itself, {} where it says none.

    Networks of timm do, in ``pretrained_cfg``: an input size, mean, std and an interpolation.
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
