"""Models in a config: ``label=name@HEIGHTxWIDTH@MEAN/STD:weights``.

Names and files are checked without PyTorch; only loading, and a checkpoint alone, need it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchreid_adv.core.files import near_path
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.models import TABLE
from torchreid_adv.integration.stock_names import stock_names
from torchreid_adv.models.entries import (
    Entry,
    entry_in,
    parse_entry,
    sources,
    unknown_model,
    written,
)
from torchreid_adv.registry import LOADERS, MODELS, same_name

if TYPE_CHECKING:
    from torchreid_adv.models.pixel_model import PixelModel


@dataclass(frozen=True)
class ModelSpec:
    """A model in a config.

    Args:
        label: its name in tables.
        name: in torchreid's model factory, or a format of :data:`torchreid_adv.LOADERS`.
        weights: checkpoint, or the source of the format, such as ``cfg.yml:file``; '' = untrained.
        size: height and width of its input; None = from the format's file, or the config.
        normalization: mean and std of its input, each of one number or three; None = likewise.
        options: further options of the entry, as pairs, see :func:`parse_entry`.
    """

    label: str
    name: str
    weights: str
    size: tuple[int, int] | None = None
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def parts(self) -> Entry:
        """The parts of its entry."""
        return Entry(
            self.name, self.weights, self.label, self.size, self.normalization, dict(self.options)
        )

    @property
    def entry(self) -> str:
        """The form in a config, see :func:`parse_models`."""
        weights = f":{self.weights}" if self.weights else ""
        return f"{self.label}={written(self.name, self.parts)}{weights}"

    def load(
        self,
        size: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        device: str | None = None,
        resize: str = "pillow",
    ) -> PixelModel:
        """Load it; size, mean, std and resize apply if neither entry nor file sets them."""
        from torchreid_adv.models.loading import load_entry

        settings: dict[str, Any] = {"size": size, "mean": mean, "std": std, "resize": resize}
        return load_entry(self.parts, device=device, **settings)


def parse_models(entries: Sequence[str], *, trained: bool | None = True) -> list[ModelSpec]:
    """Parse a list of models, for example ``['resnet50:a.pth', 'ha=hacnn@160x64:b.pth']``.

    Args:
        entries: entries as in a config.
        trained: each must have weights; False = none may have; None = either.

    Raises:
        ConfigError: an entry is invalid, or two have the same label.
    """
    return _different([_parse(entry, trained) for entry in entries])


def _different(specs: list[ModelSpec]) -> list[ModelSpec]:
    labels = [spec.label for spec in specs]
    twice = next((label for label in labels if labels.count(label) > 1), "")
    if twice:
        raise ConfigError(f"two models are called '{twice}'; write label=name for one")
    return specs


_FILES = (".pth", ".pt", ".pt2", ".ckpt", ".onnx", ".safetensors", ".bin", ".pkl")


def check_entries(entries: Sequence[str]) -> None:
    """Refuse entries of another form, with unknown names, or with missing files; no file is read.

    Args:
        entries: as :func:`parse_models`; plugins that register names are imported.

    Raises:
        ConfigError: with the nearest name or file.
    """
    for text in entries:
        missing = _missing_file(text) if ":" not in text else ""
        if missing:
            raise ConfigError(f"there is no file '{missing}'{near_path(missing)}")
    specs = _different([_spec(text, entry_in(text)) for text in entries])
    for text, spec in zip(entries, specs, strict=True):
        known = [*stock_names("models", TABLE), *MODELS, *LOADERS]
        if spec.name and same_name(spec.name, known) is None:
            raise unknown_model(spec.name, spec.weights, known)
        file = (sources(spec.weights) or [""])[-1]
        missing = "" if file.startswith("hf:") else _missing_file(file)
        if missing:
            raise ConfigError(
                f"the model '{text}' names the file '{missing}', which does not exist"
                f"{near_path(missing)}"
            )


def _missing_file(text: str) -> str:
    """Return the name of a missing file of weights, "" for any other text."""
    name = text.rpartition("=")[2] if not Path(text).exists() else text
    path = Path(name).expanduser()
    is_file = bool(set(path.suffixes) & set(_FILES)) or ".tar" in path.suffix
    return name if is_file and not path.exists() else ""


def _parse(text: str, trained: bool | None) -> ModelSpec:
    entry = parse_entry(str(text)) if trained is False else _loadable(str(text))
    if trained and not entry.source:
        raise ConfigError(f"'{text}' names no model with weights; write {text}:FILE")
    if trained is False and entry.source:
        raise ConfigError(
            f"'{text}' names no model without weights, and this list is of networks to train; "
            "write name, name@HEIGHTxWIDTH or label=name"
        )
    if trained is False and (entry.normalization or entry.options):
        raise ConfigError(
            f"'{text}' names a network that is trained first, with the config's normalization; an "
            "entry of this list says its name and @HEIGHTxWIDTH only"
        )
    return _spec(text, entry)


def _loadable(text: str) -> Entry:
    from torchreid_adv.models.loading import entry_of

    return entry_of(text)


def _spec(text: str, entry: Entry) -> ModelSpec:
    label, options = entry.label or _own_label(text, entry), tuple(entry.options.items())
    return ModelSpec(label, entry.name, entry.source, entry.size, entry.normalization, options)


def _own_label(text: str, entry: Entry) -> str:
    """Return the name of a model without a label: its name, or its file if that is all."""
    return re.sub(r"[^\w.+*-]", "_", Path(text).name) if text == entry.source else entry.name
