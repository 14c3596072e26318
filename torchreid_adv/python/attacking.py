"""``adv.attack_dataset``: one side of a data set attacked, stored and scored, from Python."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from torchreid_adv.attacks import Attack, build_attack
from torchreid_adv.attacks.references import RANDOM
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.core.speaking import Listener
from torchreid_adv.core.tabular import Tabular
from torchreid_adv.data.datasets import ReIDData, load_dataset
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation.result import REPORTED_RANKS
from torchreid_adv.python.configured import Data, calling, data_of
from torchreid_adv.python.thumbnails import thumbnails
from torchreid_adv.registry import ATTACKS
from torchreid_adv.report.text import percent
from torchreid_adv.runs import attack_dataset as runs
from torchreid_adv.runs.attack_run import AttackRun

RESULTS = "results.json"
_OF_RUN = {f.name for f in dataclasses.fields(AttackRun)} - {"attack", "protocol", "left_out"}
_KINDS = {"clean": "no attack", "adversarial": "stored files", "adversarial_float": "not rounded"}


@dataclass(frozen=True)
class AttackResult(Tabular):
    """What came of a run: the content of ``results.json``.

    Args:
        folder: of the run.
        content: of ``results.json``.
    """

    folder: Path
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> AttackResult:
        """Read the results of a run.

        Raises:
            DataError: there are none.
        """
        path = Path(folder) / RESULTS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            targets = content["targets"].values()
            fits = all("clean" in facts and "adversarial" in facts for facts in targets)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError(f"'{path}' holds no results of an attack: {error}") from error
        if not fits:
            raise DataError(f"'{path}' holds no results of an attack")
        return cls(Path(folder), content)

    def __repr__(self) -> str:
        parts = [f"{name}: {self._sentence(facts)}" for name, facts in self.targets.items()]
        return f"AttackResult({'; '.join(parts)})"

    @staticmethod
    def _sentence(facts: Mapping[str, Any]) -> str:
        attack, changed = facts["attack"], (facts["clean"]["mAP"], facts["adversarial"]["mAP"])
        eps = "" if attack.get("eps") is None else f", eps {attack['eps']:g}/255"
        return f"{attack['name']}{eps}: mAP {' to '.join(map(percent, changed))}"

    @property
    def targets(self) -> Mapping[str, Any]:
        """Data set -> its part of ``results.json``."""
        targets: Mapping[str, Any] = self.content["targets"]
        return targets

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.folder / "report.html"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each data set and condition, shares in [0, 1], eps in gray levels."""
        rows = []
        for name, facts in self.targets.items():
            conditions = [(kind, facts.get(kind)) for kind in _KINDS]
            defense = facts.get("defense") or {}
            conditions += [
                (f"{defense.get('name')}: {kind}", defense.get(kind))
                for kind in ("clean", "oblivious", "adaptive")
            ]
            attack = facts["attack"]
            for condition, measures in conditions:
                if measures:
                    row = {"data": name, "attack": attack["name"], "eps": attack.get("eps")}
                    rows.append({**row, "condition": condition, **_measures(measures)})
        return rows

    def shares(self) -> tuple[str, ...]:
        """Return the measures."""
        return ("mAP", "mINP", *(f"rank-{k}" for k in REPORTED_RANKS))

    def pictures(self) -> Mapping[str, bytes]:
        """Return a ranking list before and after, and images with their noise."""
        return thumbnails(self.folder / "figures", ("ranking_1", "noise"))


def _measures(measures: Mapping[str, Any]) -> dict[str, Any]:
    ranks = {f"rank-{k}": measures["cmc"].get(str(k)) for k in REPORTED_RANKS}
    return {"mAP": measures["mAP"], "mINP": measures.get("mINP"), **ranks}


@dataclass(frozen=True, repr=False)
class AdversarialData(ReIDData):
    """The adversarial version of a data set, stored; ``result`` says what came of the attack."""

    result: AttackResult | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; {self.result!r})"


def attack_dataset(
    model: nn.Module | str,
    data: Data,
    attack: Attack | str = "ifgsm",
    *,
    eps: float = from_levels(5),
    side: str = "gallery",
    out: str | Path = "run",
    root: str | Path = "reid-data",
    distance: Distance | str | None = None,
    workers: int = 0,
    seed: int = 0,
    page: bool = True,
    quiet: bool = False,
    progress: Listener | None = None,
    **settings: Any,
) -> AdversarialData:
    """Attack one side of a data set and return its adversarial version with the result.

    Does the same as ``torchreid-adv attack-gallery``: the folder holds the images, ``results.json``
    and ``report.html``, and the same call continues an interrupted run.

    Args:
        model: the attacked model; with a defense, the attack goes through it. An entry such as
            ``osnet_x1_0:model.pth`` and a module are loaded, see :func:`load_model`.
        data: name, path, data set, or records by side, see :func:`load_dataset`.
        attack: its name, or one that :func:`build_attack` made.
        eps: L-infinity bound of an attack by name, pixel units of [0, 1]; 5 gray levels.
        side: ``gallery`` or ``query``.
        out: folder for the images, results.json and report.html.
        root: data root, of a data set by name.
        distance: ranks the gallery, and is the target of an attack by name; None = Euclidean of
            normalized features.
        workers: processes that read images.
        seed: of random starts and random targets.
        page: write report.html, too; without it there are no pictures.
        quiet: nothing is printed.
        progress: called as ``progress(description, done, total)``.
        settings: further keywords of :class:`AttackRun` (``chunk``, ``quarantine``...), rules of
            the scores (``protocol``, ``ap_rule``, ``max_rank``, ``rerank``, ``neighbors``,
            ``block``), and, of an attack by name, its own options (``steps``, ``step_size``...).

    Raises:
        ConfigError: the folder holds another run, an unknown option, or a protocol that is not the
            data set's.
        DataError: an image that cannot be used, or nothing to attack.

    Example:
        >>> attacked = adv.attack_dataset("osnet_x1_0:model.pth", "market1501", eps=8 / 255)
        >>> attacked.result.to_frame()
    """
    shown: dict[str, Any] = {"model": model, "data": data, "attack": attack}
    shown |= {"eps": eps} if isinstance(attack, str) else {}
    shown |= {"side": side, "out": out}
    with calling("attack_dataset", quiet=quiet, progress=progress, **shown, **settings):
        options = {k: settings.pop(k) for k in list(settings) if k not in (*_OF_RUN, *runs.RULES)}
        if isinstance(attack, str):
            if options.get("targeted"):
                settings.setdefault("target", RANDOM)
            attack = _named(attack, eps, distance, seed, options)
        elif options:
            raise ConfigError(
                f"attack_dataset takes no keyword '{next(iter(options))}'; options of an attack go "
                "to build_attack, or to an attack by name"
            )
        loaded = load_dataset(str(data), root) if isinstance(data, (str, Path)) else data_of(data)
        stored = runs.attack_dataset(
            model,  # type: ignore[arg-type]
            loaded,
            attack,
            side=side,
            out=out,
            distance=distance,
            workers=workers,
            seed=seed,
            page=page,
            **settings,
        )
    values = {f.name: getattr(stored, f.name) for f in dataclasses.fields(ReIDData)}
    return AdversarialData(**values, result=AttackResult.read(out))


def _named(
    name: str, eps: float, distance: Distance | str | None, seed: int, options: dict[str, Any]
) -> Attack:
    if "seed" in ATTACKS.options(name):
        options = {"seed": seed, **options}
    return build_attack(name, eps=eps, distance=distance or "euclidean", **options)
