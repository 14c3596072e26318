"""From keywords to a config: models and data sets by name or at hand, bounds in [0, 1]."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.config.torchreid_keys import default_config, gpu_is_there
from torchreid_adv.core.pixels import to_levels
from torchreid_adv.core.provenance import called
from torchreid_adv.core.speaking import Listener, speaking
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.loading import as_model
from torchreid_adv.models.pixel_model import PixelModel
from torchreid_adv.runs.inputs import HANDED_IN, Given
from torchreid_adv.runs.torchreid_checks import check, ready

Model = str | nn.Module  # an entry, or a module at hand
Models = Model | Sequence[Model] | Mapping[str, Model]
Data = str | Path | ReIDData | Mapping[str, Sequence[Record]]  # the last: records by side
Datas = Data | Sequence[Data]
Settings = Mapping[str, Any]  # config keys and their values
# features of unit length are attacked and ranked, as the commands do
UNIT_FEATURES: Settings = {"test.normalize_feature": True}
_SIDES = ("query", "gallery")


@dataclass
class Inputs:
    """Models and data sets of a call: what a config names, and what is at hand.

    Args:
        models: label -> model that is at hand.
        data: name -> data set that is at hand.
        targets: names of all data sets, in order.
    """

    models: dict[str, PixelModel] = field(default_factory=dict)
    data: dict[str, ReIDData] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)

    def entries(self, models: Models) -> list[str]:
        """Return models as a config writes them; modules are kept.

        Args:
            models: one or several; a mapping says their labels.

        Raises:
            ConfigError: something else, or a module whose size or normalization is not known.
        """
        if isinstance(models, (str, nn.Module)):
            models = [models]
        if isinstance(models, Mapping):
            return [self._entry(model, str(label)) for label, model in models.items()]
        return [self._entry(model, "") for model in models]

    def _entry(self, model: Model, label: str) -> str:
        if isinstance(model, str):
            return f"{label}={model}" if label else model
        if not isinstance(model, nn.Module):
            raise ConfigError(
                f"a model is an entry such as 'osnet_x1_0:model.pth' or a module, got "
                f"{type(model).__name__}"
            )
        loaded = as_model(model)
        if not isinstance(loaded, PixelModel):
            raise ConfigError(
                f"a {type(model).__name__} is not a single network; attack it by adv.attack_dataset"
            )
        name = type(loaded.network).__name__
        label = label or _unused(name, self.models)
        self.models[label] = loaded
        return f"{label}={name}:{HANDED_IN}"

    def add_data(self, data: Datas) -> None:
        """Take data sets as targets.

        Raises:
            ConfigError: no name, path, data set or records by side.
        """
        single = isinstance(data, (str, Path, ReIDData, Mapping))
        several: Any = [data] if single else data
        for item in several:
            if isinstance(item, (str, Path)):
                self.targets.append(str(item))
                continue
            dataset = data_of(item)
            self.data[dataset.name] = dataset
            self.targets.append(dataset.name)

    @property
    def given(self) -> Given:
        """What is at hand."""
        return Given(self.models, self.data)


def data_of(data: ReIDData | Mapping[str, Sequence[Record]], *, name: str = "records") -> ReIDData:
    """Return a data set of records by side; a data set is returned unchanged.

    Raises:
        ConfigError: queries or gallery are missing.
    """
    if isinstance(data, ReIDData):
        return data
    if not isinstance(data, Mapping) or not all(data.get(side) for side in _SIDES):
        raise ConfigError(
            "data is a name such as 'market1501', a path such as 'people.csv', a ReIDData, or "
            f"{{'query': records, 'gallery': records}}, got {type(data).__name__}"
        )
    train, query, gallery = (tuple(sorted(data.get(side, ()))) for side in ("train", *_SIDES))
    return ReIDData(name, Path(query[0].path).parent, train, query, gallery)


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    """Return a label that no other model has."""
    count = 1
    label = name
    while label in taken:
        count += 1
        label = f"{name}-{count}"
    return label


def config_of(
    keys: Settings,
    inputs: Inputs,
    *,
    defaults: Settings | None = None,
    config_file: str | Path = "",
    settings: Settings | None = None,
    device: str | torch.device | None = None,
) -> AdvConfig:
    """Return the config that keywords describe, checked as that of a command.

    Args:
        keys: config keys by keywords; those that are None keep the default.
        inputs: whose named data sets are targets.
        defaults: config keys that hold where nothing else says them.
        config_file: merged next.
        settings: further config keys, merged last.
        device: ``cpu`` or ``cuda``; None = the GPU if there is one.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    cfg = default_config(use_gpu=False)
    for key, value in (defaults or {}).items():
        cfg.merge_from_list([key, value])
    if config_file:
        cfg.merge_from_file(str(config_file))
    named = [name for name in inputs.targets if name not in inputs.data]
    told = {"data.targets": named or None, **keys, **(settings or {})}
    for key, value in told.items():
        if value is not None:
            cfg.merge_from_list([key, _plain(value)])
    if device is not None:
        cfg.use_gpu = torch.device(device).type == "cuda"
    elif not cfg.says("use_gpu"):
        cfg.use_gpu = gpu_is_there()
    check(cfg)
    names = iter(cfg.data.targets)  # as they are spelled where they are registered
    inputs.targets = [name if name in inputs.data else next(names) for name in inputs.targets]
    return cfg


def attack_keys(
    eps: float | None, step_size: float | None, steps: int | None, options: Settings
) -> dict[str, Any]:
    """Return the config keys of an attack from Python's units.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        step_size: the same.
        steps: how many.
        options: further ones of the attack.
    """
    option_keys = {f"adv.attack.options.{name}": value for name, value in options.items()}
    return {
        "adv.attack.eps": None if eps is None else levels(eps),
        "adv.attack.step_size": None if step_size is None else levels(step_size, "step_size"),
        "adv.attack.steps": steps,
        **option_keys,
    }


def place_keys(
    out: str | Path | None,
    root: str | Path | None,
    workers: int | None,
    size: tuple[int, int] | None,
) -> dict[str, Any]:
    """Return the config keys of where a run reads and writes, and of its networks' input.

    Args:
        out: folder of the run.
        root: data root.
        workers: processes that read images.
        size: height and width of the networks' input; None = the models' own, or the default.
    """
    return {
        "data.save_dir": out,
        "data.root": root,
        "data.workers": workers,
        "data.height": size[0] if size else None,
        "data.width": size[1] if size else None,
    }


def distance_keys(distance: str | None) -> dict[str, Any]:
    """Return the config keys of the distance of normalized features that ranks; None = no keys."""
    if distance is None:
        return {}
    return {"test.dist_metric": distance, **UNIT_FEATURES}


def levels(value: float, name: str = "eps") -> float:
    """Return gray levels of a length in [0, 1].

    Raises:
        ConfigError: it looks like gray levels.
    """
    if not 0 <= value <= 1:
        raise ConfigError(
            f"{name} is in [0, 1] pixel units, got {value:g}; for {value:g} gray levels pass "
            f"{value:g} / 255"
        )
    return round(to_levels(value), 6)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


@contextlib.contextmanager
def configured(keys: Settings, inputs: Inputs, **further: Any) -> Iterator[AdvConfig]:
    """Inside the block the config of a call on models is the current one, checked.

    Args:
        keys: config keys by keywords; those that are None keep the default.
        inputs: whose data sets are all targets.
        further: other keywords of :func:`config_of`.
    """
    cfg = config_of(keys, inputs, defaults=UNIT_FEATURES, **further)
    with config.using(cfg), ready(cfg):
        cfg.data.targets = list(inputs.targets)
        yield cfg


@contextlib.contextmanager
def calling(
    function: str, *, quiet: bool = False, progress: Listener | None = None, **values: Any
) -> Iterator[None]:
    """Inside the block results come from a call, which prints and tells what it is asked to.

    Args:
        function: its name.
        quiet: nothing is printed.
        progress: callback for work in progress.
        values: arguments of the call.
    """
    told = ", ".join(f"{name}={_shown(value)}" for name, value in values.items())
    with config.kept(), called(f"adv.{function}({told})"), speaking(quiet=quiet, progress=progress):
        yield


def _shown(value: Any) -> str:
    """Return plain values as they are written, the kind of others."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return repr(value)
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k!r}: {_shown(v)}' for k, v in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return f"<{type(value).__name__}>"
