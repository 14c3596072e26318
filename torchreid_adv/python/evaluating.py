"""``adv.standard``: models by the standard ensemble of attacks, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.core.processes import joined
from torchreid_adv.core.provenance import call
from torchreid_adv.core.speaking import Listener
from torchreid_adv.core.tabular import ResultList, Tabular
from torchreid_adv.experiments.standard_runs import standard as run_standard
from torchreid_adv.python.configured import (
    Datas,
    Inputs,
    Models,
    Settings,
    calling,
    configured,
    distance_keys,
    place_keys,
)
from torchreid_adv.standard.page import PAGE
from torchreid_adv.standard.reading import read_result
from torchreid_adv.standard.result import lines

_RANKS = ("1", "5", "10")


@dataclass(frozen=True)
class StandardResult(Tabular):
    """The standard evaluation of one model on one data set.

    Args:
        path: of ``standard.json``.
        content: what it holds.
    """

    path: Path
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> StandardResult:
        """Read a ``standard.json``.

        Raises:
            DataError: it is none, or was changed by hand.
        """
        return cls(Path(path), read_result(Path(path)))

    def __repr__(self) -> str:
        rates = ", ".join(
            f"{row['track']} eps {row['eps']:g}/255 {row['mAP']:.1%}" for row in self.rows()[1:]
        )
        flags = [flag["name"] for flag in self.content["flags"]]
        told = f", flags {', '.join(dict.fromkeys(flags))}" if flags else ""
        return (
            f"StandardResult({self.content['standard']['name']}, {self._named()}, clean "
            f"{self.rows()[0]['mAP']:.1%}, robust mAP {rates}{told})"
        )

    def _named(self) -> str:
        return f"{self.content['model']['name']} on {self.content['data']['name']}"

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.path.with_name(PAGE)

    def rows(self) -> list[dict[str, Any]]:
        """Return the clean row, then one for each track and bound; shares in [0, 1]."""
        about = {"model": self.content["model"]["name"], "data": self.content["data"]["name"]}
        rows: list[dict[str, Any]] = []
        for track, bounds in self.content["tracks"].items():
            for eps, facts in bounds.items():
                if not rows:
                    clean = _measures(facts["clean"], None)
                    rows.append({**about, "track": "clean", "eps": 0.0, **clean})
                robust = _measures(facts["robust"], facts["interval"])
                rows.append({**about, "track": track, "eps": float(eps), **robust})
        return rows

    def shares(self) -> tuple[str, ...]:
        """Return the measures."""
        return ("mAP", "from", "to", *(f"rank-{k}" for k in _RANKS))

    def text(self) -> str:
        """Return what the command prints: the table, the flags, and what it may be called."""
        return "\n".join(lines(dict(self.content)))


def _measures(facts: Mapping[str, Any], interval: Sequence[float] | None) -> dict[str, Any]:
    low, high = interval or (None, None)
    ranks = {f"rank-{k}": facts["cmc"][k] for k in _RANKS}
    return {"mAP": facts["mAP"], "from": low, "to": high, **ranks}


class StandardResults(ResultList[StandardResult]):
    """Results of several models or data sets, in the order in which they were evaluated."""


def standard(
    models: Models,
    data: Datas,
    *,
    version: str | None = None,
    surrogates: Models = (),
    tracks: Sequence[str] | None = None,
    distance: str | None = None,
    out: str | Path = "standard",
    root: str | Path | None = None,
    size: tuple[int, int] | None = None,
    workers: int = 0,
    device: str | torch.device | None = None,
    page: bool = True,
    config_file: str | Path = "",
    settings: Settings | None = None,
    quiet: bool = False,
    progress: Listener | None = None,
) -> StandardResults:
    """Evaluate each model on each data set by the standard ensemble of attacks.

    Does the same as ``torchreid-adv standard`` and writes the same files. The same call continues
    an interrupted run. The module ``torchreid_adv.standard`` can be called in the same way.

    Args:
        models: entries such as ``osnet_x1_0:model.pth``, or modules; a mapping says their labels.
        data: name, path, data set, records by side, or several of them.
        version: ``standard``, ``lite`` or ``plus``; None = ``standard``.
        surrogates: two other models or more, on which transferred attacks are made.
        tracks: ``Q``, ``G`` or both; None = both.
        out: folder, below which each run has its own: ``out/DATA/LABEL``.
        distance: ranks galleries, by normalized features; None = Euclidean, unless
            ``config_file`` or ``settings`` set another one.
        root: data root; None = ``reid-data``.
        size: height and width for models that do not say theirs.
        workers: processes that read images.
        device: ``cpu`` or ``cuda``; None = the GPU if there is one. Modules stay where they are.
        page: write ``standard.html``, too.
        config_file: YAML file, merged first.
        settings: further config keys.
        quiet: nothing is printed.
        progress: called as ``progress(description, done, total)``.

    Raises:
        ConfigError: a model, name or key that cannot be used.
        DataError: a data set or an image that cannot be used.

    Example:
        >>> (result,) = adv.standard("osnet_x1_0:model.pth", "market1501", version="lite")
        >>> print(result.text())
    """
    shown = {"models": models, "data": data, "version": version, "out": out}
    with calling("standard", quiet=quiet, progress=progress, **shown, **(settings or {})):
        inputs = Inputs()
        keys = {
            "adv.standard.models": inputs.entries(models),
            "adv.standard.surrogates": inputs.entries(surrogates),
            "adv.standard.version": version,
            "adv.standard.tracks": tracks,
            "adv.report.page": page,
            **distance_keys(distance),
            **place_keys(out, root, workers, size),
        }
        inputs.add_data(data)
        with (
            configured(
                keys, inputs, config_file=config_file, settings=settings, device=device
            ) as cfg,
            joined() as team,
        ):
            paths = run_standard(cfg, call(), team, loaded=inputs.given)
    return StandardResults(tuple(StandardResult.read(path) for path in paths))
