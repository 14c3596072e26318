"""The attacks of a grid: groups of models x attacks, bounds and metrics."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.models.specs import ModelSpec


@dataclass(frozen=True)
class GridAttack:
    """One attack on one model or several, stored once and tested on all models.

    Args:
        attacked: the models.
        attack: registered name.
        eps: gray levels.
        metric: attacked metric; "" = that of the evaluation.
        weights: file of an attack that was learned earlier; "" = the config's.
        folder_name: of its run; "" = named after the attacked models.
    """

    attacked: tuple[ModelSpec, ...]
    attack: str
    eps: float
    metric: str
    weights: str = ""
    folder_name: str = ""

    @property
    def label(self) -> str:
        """The attacked models' labels."""
        return "+".join(spec.label for spec in self.attacked)

    def folder(self, out: Path) -> Path:
        """Return the folder of its run."""
        metric = f"-{self.metric.replace(':', '.')}" if self.metric else ""
        return (
            out
            / "attacks"
            / (self.folder_name or self.label)
            / f"{self.attack}-eps{self.eps:g}{metric}"
        )

    def config(self, cfg: AdvConfig, out: Path) -> AdvConfig:
        """Return the config of its run."""
        run_cfg = cfg.clone()
        run_cfg.adv.attack.name, run_cfg.adv.attack.eps = self.attack, float(self.eps)
        run_cfg.adv.attack.metric = self.metric
        run_cfg.adv.attack.models = []
        if self.weights:
            run_cfg.adv.attack.weights = self.weights
        run_cfg.data.save_dir = str(self.folder(out))
        return run_cfg


def grid_attacks(cfg: AdvConfig, specs: Sequence[ModelSpec]) -> Iterator[GridAttack]:
    """Yield the attacks of ``adv.transfer.*``.

    Raises:
        ConfigError: a label that no model has.
    """
    settings = cfg.adv.transfer
    groups = settings.attacked or [spec.label for spec in specs]
    bounds = settings.eps or [cfg.adv.attack.eps]
    metrics = settings.metrics or [cfg.adv.attack.metric]
    for group, attack, eps, metric in itertools.product(groups, settings.attacks, bounds, metrics):
        yield GridAttack(tuple(_group(specs, str(group))), attack, eps, metric)


def _group(specs: Sequence[ModelSpec], group: str) -> list[ModelSpec]:
    """Return the models of ``a``, ``a+b`` or ``-a`` (all but a)."""
    if not group.startswith("-"):
        return labeled(specs, group.split("+"))
    without = labeled(specs, [group[1:]])
    others = [spec for spec in specs if spec not in without]
    if not others:
        raise ConfigError(f"adv.transfer.attacked '{group}' leaves no model")
    return others


def labeled(specs: Sequence[ModelSpec], labels: Sequence[str]) -> list[ModelSpec]:
    """Return the models of these labels.

    Raises:
        ConfigError: a label that no model has.
    """
    known = {spec.label: spec for spec in specs}
    for label in labels:
        if label not in known:
            raise ConfigError(
                f"no model of adv.transfer.models is '{label}'{suggest(label, known)}"
            )
    return [known[label] for label in labels]
