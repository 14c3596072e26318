"""``adv.transfer`` and ``adv.sweep``: attacks x models x data, as a table of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.core.speaking import Listener
from torchreid_adv.core.tabular import Tabular
from torchreid_adv.errors import ConfigError
from torchreid_adv.python.configured import (
    Datas,
    Inputs,
    Model,
    Models,
    Settings,
    attack_keys,
    calling,
    configured,
    distance_keys,
    levels,
    place_keys,
)
from torchreid_adv.python.thumbnails import thumbnails
from torchreid_adv.report.curves import sweep_figures
from torchreid_adv.report.matrix import Cell, markdown, write_matrix
from torchreid_adv.report.page import write_figures
from torchreid_adv.runs.grid import BOUNDS
from torchreid_adv.runs.grid import transfer as fill

_RANKS = ("1", "5", "10", "20")


@dataclass(frozen=True)
class TransferResult(Tabular):
    """A table of attacks on some models, tested by others.

    Args:
        folder: that holds ``transfer.json``, ``transfer.md`` and the pictures.
        cells: one for each attack, tested model and data set.
    """

    folder: Path
    cells: tuple[Cell, ...] = field(repr=False)

    def __repr__(self) -> str:
        names = {name: {getattr(c, name) for c in self.cells} for name in ("attacked", "tested")}
        rates = [cell.adversarial["mAP"] for cell in self.cells]
        return (
            f"TransferResult({len(names['attacked'])} attacked x {len(names['tested'])} tested "
            f"models, {len(self.cells)} cells, adversarial mAP {min(rates):.1%} to "
            f"{max(rates):.1%})"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each cell, shares in [0, 1], eps in gray levels."""
        return [self._row(cell) for cell in self.cells]

    @staticmethod
    def _row(cell: Cell) -> dict[str, Any]:
        row: dict[str, Any] = {"data": cell.target, "attacked": cell.attacked}
        row |= {"attack": cell.attack, "eps": cell.eps, "metric": cell.metric or None}
        row |= {"tested": cell.tested, "kind": cell.kind}
        row |= {"clean mAP": cell.clean["mAP"], "mAP": cell.adversarial["mAP"]}
        ranks = {f"rank-{k}": cell.adversarial["cmc"][k] for k in _RANKS}
        return {**row, "mAP ratio": cell.ratio, **ranks}

    def shares(self) -> tuple[str, ...]:
        """Return the measures."""
        return ("clean mAP", "mAP", *(f"rank-{k}" for k in _RANKS))

    def pictures(self) -> Mapping[str, bytes]:
        """Return the matrix or the curve of the first data set."""
        name = self.cells[0].target
        curves = thumbnails(self.folder, (f"sweep_{name}",))
        return curves or thumbnails(self.folder, (f"transfer_{name}",))

    def markdown(self) -> str:
        """Return the tables as the command prints them."""
        return markdown(self.cells)


def transfer(
    models: Models,
    data: Datas,
    *,
    attacks: str | Sequence[str] | None = None,
    eps: float | Sequence[float] | None = None,
    attacked: Sequence[str] | None = None,
    tested: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    side: str | None = None,
    step_size: float | None = None,
    steps: int | None = None,
    distance: str | None = None,
    out: str | Path = "transfer",
    root: str | Path | None = None,
    size: tuple[int, int] | None = None,
    workers: int = 0,
    device: str | torch.device | None = None,
    config_file: str | Path = "",
    settings: Settings | None = None,
    quiet: bool = False,
    progress: Listener | None = None,
    **options: Any,
) -> TransferResult:
    """Attack some models and test others on the adversarial images.

    Does the same as ``torchreid-adv transfer`` and writes the same files. Stored attacks and scores
    are reused.

    Args:
        models: entries such as ``osnet_x1_0:model.pth``, or modules; a mapping says their labels.
        data: name, path, data set, records by side, or several of them.
        attacks: names; None = ``fgsm``, ``ifgsm`` and ``mifgsm``.
        eps: L-infinity bound or bounds, pixel units of [0, 1]; None = 5 / 255.
        attacked: labels of the models to attack, ``a+b`` for two as one; None = each.
        tested: labels of the models to test; None = all.
        metrics: attacked metrics; None = that of the evaluation.
        side: ``gallery`` or ``query``; None = the gallery.
        step_size: of the attacks, pixel units of [0, 1]; None = their own.
        steps: of the attacks; None = their own.
        out: folder of the table.
        distance: ranks galleries, by normalized features; None = Euclidean, unless
            ``config_file`` or ``settings`` set another one.
        root: data root; None = ``reid-data``.
        size: height and width for models that do not say theirs.
        workers: processes that read images.
        device: ``cpu`` or ``cuda``; None = the GPU if there is one. Modules stay where they are.
        config_file: YAML file, merged first.
        settings: further config keys, for example ``{"adv.evaluation.ap_rule": "trapezoid"}``.
        quiet: nothing is printed.
        progress: called as ``progress(description, done, total)``.
        options: further options of the attacks.

    Raises:
        ConfigError: a name, key or model that cannot be used, or a folder of another run.
        DataError: a data set or an image that cannot be used.

    Example:
        >>> table = adv.transfer({"a": "osnet_x1_0:a.pth", "b": "resnet50:b.pth"}, "market1501")
        >>> table.to_frame()
    """
    shown = {"models": models, "data": data, "attacks": attacks, "eps": eps, "out": out}
    with calling("transfer", quiet=quiet, progress=progress, **shown, **(settings or {})):
        inputs = Inputs()
        bounds = [eps] if isinstance(eps, (int, float)) else eps
        keys = attack_keys(None, step_size, steps, options) | {
            "adv.transfer.models": inputs.entries(models),
            "adv.transfer.attacks": [attacks] if isinstance(attacks, str) else attacks,
            "adv.transfer.eps": None if bounds is None else [levels(bound) for bound in bounds],
            "adv.transfer.attacked": attacked,
            "adv.transfer.tested": tested,
            "adv.transfer.metrics": metrics,
            "adv.attack.side": side,
            **distance_keys(distance),
            **place_keys(out, root, workers, size),
        }
        inputs.add_data(data)
        with configured(
            keys, inputs, config_file=config_file, settings=settings, device=device
        ) as cfg:
            return _table(cfg, inputs)


def _table(cfg: AdvConfig, inputs: Inputs) -> TransferResult:
    cells = fill(cfg, loaded=inputs.given)
    folder = Path(cfg.data.save_dir)
    write_matrix(folder, cells)
    return TransferResult(folder, tuple(cells))


def sweep(
    model: Model | Mapping[str, Model],
    data: Datas,
    *,
    eps: Sequence[float] | None = None,
    attacks: str | Sequence[str] | None = None,
    out: str | Path = "sweep",
    **keywords: Any,
) -> TransferResult:
    """Attack one model with several bounds, and draw the curve.

    It is what ``torchreid-adv sweep`` does, and writes the same files.

    Args:
        model: see :func:`transfer`.
        data: the same.
        eps: bounds, pixel units of [0, 1]; None = 1, 2, 4, 8 and 16 gray levels.
        attacks: names; None = ``fgsm``, ``ifgsm`` and ``mifgsm``.
        out: folder of the table.
        keywords: as :func:`transfer` takes them.

    Raises:
        ConfigError: see :func:`transfer`, or several models.
        DataError: see :func:`transfer`.

    Example:
        >>> adv.sweep("osnet_x1_0:a.pth", "market1501", eps=[2 / 255, 4 / 255]).to_csv("sweep.csv")
    """
    if isinstance(model, (list, tuple)) or (isinstance(model, Mapping) and len(model) != 1):
        raise ConfigError("a sweep takes one model; adv.transfer takes several")
    bounds = [from_levels(bound) for bound in BOUNDS] if eps is None else list(eps)
    table = transfer(model, data, eps=bounds, attacks=attacks, out=out, **keywords)
    write_figures(table.folder, sweep_figures(table.cells))
    return table
