"""The folder of a run, and what decides its bytes: a run that differs in it may not go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchreid_adv.attacks import Attack
from torchreid_adv.core.cache import RUN, Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.facts import facts_of
from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import Entry
from torchreid_adv.core.processes import Team
from torchreid_adv.data.contents import data_facts, note_of, noted_images
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.loading import check_images
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import (
    Distance,
    FittedDistance,
    LinearDistance,
    load_distance,
    save_distance,
)
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.features import Features, device_of, load_features, save_features
from torchreid_adv.version import __version__

LEDGER = 2  # what is kept of a unit; a run that another number began cannot go on
Scorable = PixelModel | Ensemble | Defended


def machinery() -> dict[str, Any]:
    """Return what decides how every sum is rounded: versions and threads."""
    return {
        "version": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def surroundings(model: Scorable, chunk: int, network: Any = None) -> dict[str, Any]:
    """Return what decides the bytes of any run besides its attack: versions, network, chunk.

    Args:
        model: the network.
        chunk: images attacked together.
        network: ``facts_of(model)`` where they are known, because all weights are hashed for them.
    """
    return {
        **machinery(),
        "device": device_of(model).type,
        "ledger": LEDGER,
        "chunk": chunk,
        "network": facts_of(model) if network is None else network,
    }


def metric_of(attack: Attack) -> Distance | None:
    """Return the distance that an attack, its objective or the objective within that one has."""
    part: Any = attack
    while part is not None:
        distance = getattr(part, "distance", None)
        if isinstance(distance, Distance):
            return distance
        part = getattr(part, "objective", None)
    return None


def to_fit(distance: Distance) -> bool:
    """Tell whether a distance has to be fitted before it is used."""
    return isinstance(distance, FittedDistance) and not distance.fitted


def metric_facts(key: str, distance: Distance | None) -> dict[str, Any]:
    """Return what results.json says of a distance: its name, options, and the hash of its map.

    Args:
        key: ``metric`` or ``evaluation_metric``.
        distance: None for an attack without one.
    """
    if distance is None:
        return {}
    facts: dict[str, Any] = {key: distance.name}
    if distance.options:
        facts[f"{key}_options"] = distance.options
    if isinstance(distance, LinearDistance) and distance.factor is not None:
        facts[f"{key}_sha256"] = distance.digest()
    return facts


_IMAGES = "images.json"


class RunFolder:
    """The folder ``.job`` of one data set of a run: ledgers, checked images, clean features.

    ``run.json`` beside it says whose the folder is, ``.job/images.json`` what the images held when
    the run began; all else in it is of that run and of those images. Nothing is written into it
    before :meth:`begin`.

    Args:
        out: folder of the run.
        name: of the data set.
        identity: what makes a run the same run; plain values or objects, see :meth:`Key.of`.
        team: this process and those that share the run.
        stored: name of the folder that its images go to.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        identity: dict[str, Any],
        team: Team,
        *,
        stored: str = "adversarial",
    ) -> None:
        self.out = out
        self.name = name
        self.stored_images = out / name / stored
        self.path = out / name / ".job"
        self.key = Key.of(**identity)
        self.identity = dict(self.key.facts)
        self.team = team
        self.contents = Contents(self.path)
        self._new: dict[str, Features] = {}
        self._fitted: dict[Path, FittedDistance] = {}
        self._images: dict[str, Any] = {}

    def check_free(self) -> None:
        """Refuse a folder that holds another run, or a variant that is nobody's.

        Raises:
            ConfigError: another run is there.
        """
        if not Cache(self.out).check(self.key) and self.stored_images.exists():
            raise ConfigError(
                f"'{self.out / RUN}' is missing, so nothing says which run the images in "
                f"'{self.stored_images}' are of; remove '{self.out}', or choose another "
                "data.save_dir"
            )

    def checked(self, data: ReIDData, workers: int) -> tuple[dict[str, str], int]:
        """Return image_id -> fault of the bad images, and the pixels of the good ones.

        Raises:
            ConfigError: a run began here and left no list of its images.
            DataError: the images are not those that this run began with.
        """
        self._images = self.same_images(data)
        if not self._images:
            records = data.files()
            bad, pixels = check_images(
                records, workers=workers, team=self.team, contents=self.contents
            )
            self._images = note_of(data, self.contents) | {"bad": bad, "pixels": pixels}
        return self._images["bad"], self._images["pixels"]

    def same_images(self, data: ReIDData) -> dict[str, Any]:
        """Return what the run noted of its images when it began; {} for one that begins now.

        Raises:
            ConfigError: a run began here and left no list of its images.
            DataError: the images are not those that the run began with.
        """
        noted = noted_images(self.path / _IMAGES, data, self.contents, self.out)
        if not noted and any(self.path.glob("*.ledger")):
            raise ConfigError(
                f"'{self.path / _IMAGES}' is missing or damaged, so that nothing says which images "
                f"the run in '{self.out}' is of; choose another data.save_dir or remove it"
            )
        return noted

    def require_unchanged(self, stored: Sequence[Entry]) -> None:
        """Refuse what was made of images that changed while the run went on.

        Args:
            stored: entries of the manifest, each with the hash of the original it was made of.

        Raises:
            DataError: the originals are not those that the run began with.
        """
        images = self._images["images"]
        changed = [e.image_id for e in stored if e.source_sha256 != images[e.image_id][2]]
        if changed:
            raise DataError(
                f"{len(changed)} images of '{self.name}' were changed during the run (first: "
                f"'{changed[0]}'); put them back and run again in another data.save_dir"
            )

    def data_facts(self, data: ReIDData) -> dict[str, Any]:
        """Return what tells the data set from any other one, see :func:`data_facts`."""
        return data_facts(data, self.contents)

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
        Cache(self.out).claim(self.key)
        write_text(self.path / _IMAGES, json.dumps(self._images) + "\n")
        self.contents.keep()
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
