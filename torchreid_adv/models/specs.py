"""Models named in a config: ``label=name@HEIGHTxWIDTH@MEAN/STD:weights``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.entries import parse_entry, settings_in, three
from torchreid_adv.models.loading import load_model
from torchreid_adv.models.pixel_model import PixelModel


@dataclass(frozen=True)
class ModelSpec:
    """A model that a config names.

    Args:
        label: how tables call it.
        name: in torchreid's model factory, or a format: torchscript, export, onnx, python.
        weights: checkpoint, file or ``module:function``; '' = to be trained.
        size: height and width of its input; None = those of the config.
        normalization: mean and std of its input, each of one number or three; None = the config's.
    """

    label: str
    name: str
    weights: str
    size: tuple[int, int] | None = None
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def entry(self) -> str:
        """How a config writes it, see :func:`parse_models`."""
        size = f"@{self.size[0]}x{self.size[1]}" if self.size else ""
        if self.normalization:
            size += "@" + "/".join(",".join(map(repr, part)) for part in self.normalization)
        weights = f":{self.weights}" if self.weights else ""
        return f"{self.label}={self.name}{size}{weights}"

    def load(
        self,
        size: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        device: str | None = None,
        interpolation: str = "bilinear",
    ) -> PixelModel:
        """Load it; size, mean and std hold where it has none of its own."""
        size = self.size or size
        if self.normalization:
            mean, std = map(three, self.normalization)
        settings: dict[str, Any] = {
            "size": size,
            "mean": mean,
            "std": std,
            "interpolation": interpolation,
        }
        return load_model(self.name, self.weights, device=device, **settings)


def parse_models(entries: Sequence[str], *, trained: bool | None = True) -> list[ModelSpec]:
    """Return the models of a list, for example ``['resnet50:a.pth', 'ha=hacnn@160x64:b.pth']``.

    Args:
        entries: as the config has them.
        trained: each has weights; False = none has; None = as they come.

    Raises:
        ConfigError: an entry of another form, or a label that two of them have.
    """
    specs = [_parse(entry, trained) for entry in entries]
    labels = [spec.label for spec in specs]
    twice = next((label for label in labels if labels.count(label) > 1), "")
    if twice:
        raise ConfigError(f"two models are called '{twice}'; write label=name for one")
    return specs


def _parse(entry: str, trained: bool | None) -> ModelSpec:
    found = parse_entry(str(entry))
    if not found or trained not in (None, bool(found["weights"])):
        end = "" if trained is False else ":weights"
        raise ConfigError(
            f"'{entry}' names no model; write name{end}, name@HEIGHTxWIDTH{end} or label=name{end}"
        )
    size, normalization = settings_in(found)
    label, weights = found["label"] or found["name"], found["weights"] or ""
    return ModelSpec(label, found["name"], weights, size, normalization)
