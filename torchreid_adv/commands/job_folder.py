"""What a run keeps beside its results, so that it can go on after any end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.loading import check_images
from torchreid_adv.distances import FittedDistance, load_distance, save_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.jobs.files import write_text
from torchreid_adv.jobs.manifest import RUN, sha256
from torchreid_adv.jobs.team import Team
from torchreid_adv.models.features import Features
from torchreid_adv.models.store import load_features, save_features

_IMAGES = "images.json"


class JobFolder:
    """The folder ``.job`` of one data set of a run: ledgers, checked images, clean features.

    Nothing is written into it before :meth:`begin`.

    Args:
        out: folder of the run.
        name: of the data set.
        identity: what makes a run the same run.
        team: this process and those that share the run.
    """

    def __init__(self, out: Path, name: str, identity: dict[str, Any], team: Team) -> None:
        self.out = out
        self.name = name
        self.variant = out / name / "adversarial"
        self.path = out / name / ".job"
        self.identity = identity
        self.team = team
        self._new: dict[str, Features] = {}
        self._fitted: dict[Path, FittedDistance] = {}
        self._images: dict[str, Any] = {}

    def check_free(self) -> None:
        """Refuse a folder that holds another run, or a variant that is nobody's.

        Raises:
            ConfigError: another run is there.
        """
        path = self.out / RUN
        there = _read(path)
        if there == json.loads(_text(self.identity)):
            return
        if there or path.exists() or self.variant.exists():
            raise ConfigError(
                f"'{path if path.exists() else self.variant}' belongs to another run"
                f"{_difference(there, self.identity)}; choose another data.save_dir or remove it"
            )

    def checked(self, data: ReIDData, workers: int) -> tuple[dict[str, str], int]:
        """Return image_id -> fault of the bad images, and the pixels of the good ones.

        Raises:
            DataError: the images are not those that this run began with.
        """
        records = data.files()
        listed, found = listing(records), _read(self.path / _IMAGES)
        if not found:
            bad, pixels = check_images(records, workers=workers, team=self.team)
            found = {"listing": listed, "bad": bad, "pixels": pixels}
        if found["listing"] != listed:
            raise DataError(
                f"the images of '{data.name}' are not those that the run in '{self.out}' began "
                "with; choose another data.save_dir, or put the images back"
            )
        self._images = found
        return found["bad"], found["pixels"]

    def features(
        self, name: str, records: Sequence[Record], compute: Callable[[], Features]
    ) -> Features:
        """Return stored features, or compute them and store them when the run begins."""
        features = load_features(self.path / f"{name}.safetensors", records)
        if features is None:
            features = self._new[name] = compute()
        return features

    def fit(self, distance: FittedDistance, train: Callable[[], Features]) -> None:
        """Fit a distance, or take over what this run has stored of it beside its results.

        Args:
            distance: not fitted.
            train: computes the training features, where they are needed.

        Raises:
            ConfigError: another distance of that name, with other options, is fitted in this run.
            DataError: the distance cannot be learned from these features.
        """
        path = self.out / self.name / f"{distance.name}.safetensors"
        known = self._fitted.get(path) or _stored(path)
        if known is not None and known.settings == distance.settings:
            distance.take(known)
        elif path in self._fitted:
            raise ConfigError(
                f"the attack and the evaluation both fit '{distance.name}', with different "
                "options; give them the same ones"
            )
        else:
            features = train()
            print(f"Fitting {distance.name} to {len(features)} training images of {self.name}")
            distance.fit(features.values, features.pids, features.camids)
            _agree(distance, self.team)
        self._fitted[path] = distance

    def begin(self) -> None:
        """Write what makes the folder this run's; called when nothing can be refused any more."""
        if not self.team.leads:
            return
        write_text(self.out / RUN, _text(self.identity))
        write_text(self.path / _IMAGES, _text(self._images))
        self.keep()
        for path, distance in self._fitted.items():
            save_distance(path, distance)

    def keep(self) -> None:
        """Store the features that were computed since; not before :meth:`begin`."""
        if self.team.leads:
            for name, features in self._new.items():
                save_features(self.path / f"{name}.safetensors", features)
        self._new.clear()


def _stored(path: Path) -> FittedDistance | None:
    try:
        return load_distance(path)
    except ConfigError:  # none there, or damaged: fitted again
        return None


def _agree(distance: FittedDistance, team: Team) -> None:
    """Give all connected processes the leader's bits; linear algebra may differ by machine."""
    assert distance.factor is not None
    factor, center = distance.factor.numpy(), distance.center
    rows, columns = team.shared({"shape": factor.shape} if team.leads else {})["shape"]
    same = team.assembled(factor if team.leads else np.zeros((rows, columns)))
    distance.set_map(torch.from_numpy(same), center)


def listing(records: Sequence[Record]) -> str:
    """Return a hash of the names, labels and file sizes of images."""
    lines = [f"{r.image_id}\0{r.pid}\0{r.camid}\0{_size(r.path)}" for r in records]
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a bad image, which the check names
        return -1


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Return which facts of two runs differ, in words."""
    if not there:
        return ""
    pairs = {k: (there.get(k), here.get(k)) for k in sorted({*there, *here})}
    for key in ("attack",):  # a table of its own
        old, new = (value if isinstance(value, dict) else {} for value in pairs.pop(key, ({}, {})))
        pairs |= {f"{key}.{k}": (old.get(k), new.get(k)) for k in sorted({*old, *new})}
    changed = [f"{k} {old!r} there, {new!r} here" for k, (old, new) in pairs.items() if old != new]
    return f" ({'; '.join(changed[:3])})"
