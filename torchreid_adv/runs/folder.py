"""The folder of a run, and the facts that decide its bytes: a resumed run must agree in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchreid_adv.core.cache import RUN, Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.facts import facts_of
from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import Entry
from torchreid_adv.core.processes import Team
from torchreid_adv.data.contents import data_facts, note_of, noted_images
from torchreid_adv.data.copies import with_copies
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

LEDGER = 2  # format of the ledger's records; a run in another format cannot be resumed
Scorable = PixelModel | Ensemble | Defended


def machinery() -> dict[str, Any]:
    """Return the facts that decide how sums are rounded: versions and threads."""
    return {
        "version": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def surroundings(model: Scorable, chunk: int, network: Any = None) -> dict[str, Any]:
    """Return the facts that decide the bytes of a run besides its attack: versions, network, chunk.

    Args:
        model: the network.
        chunk: images attacked together.
        network: ``facts_of(model)`` where they are known; computing them hashes all weights.
    """
    return {
        **machinery(),
        "device": device_of(model).type,
        "ledger": LEDGER,
        "chunk": chunk,
        "network": facts_of(model) if network is None else network,
    }


def to_fit(distance: Distance) -> bool:
    """Return whether a distance must be fitted before use."""
    return isinstance(distance, FittedDistance) and not distance.fitted


def metric_facts(key: str, distance: Distance | None) -> dict[str, Any]:
    """Return a distance's entry in results.json: its name, options, and the hash of its map.

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

    ``run.json`` next to it identifies the run, ``.job/images.json`` the images when the run began;
    everything else in it belongs to that run and to those images. Nothing is written into it
    before :meth:`begin`.

    Args:
        out: folder of the run.
        name: of the data set.
        key: everything that decides the bytes of the run.
        team: this process and those that share the run.
        stored: name of the folder of its images.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        key: Key,
        team: Team,
        *,
        stored: str = "adversarial",
    ) -> None:
        self.out = out
        self.name = name
        self.stored_images = out / name / stored
        self.path = out / name / ".job"
        self.key = key
        self.team = team
        self.contents = Contents(self.path)
        self._new: dict[str, Features] = {}
        self._fitted: dict[Path, FittedDistance] = {}
        self._images: dict[str, Any] = {}

    def check_free(self) -> None:
        """Refuse a folder that holds another run, or a variant of an unknown run.

        Raises:
            ConfigError: another run is there.
        """
        if not Cache(self.out).check(self.key) and self.stored_images.exists():
            raise ConfigError(
                f"'{self.out / RUN}' is missing, so the run that made the images in "
                f"'{self.stored_images}' is unknown; remove '{self.out}', or choose another "
                "data.save_dir"
            )

    def checked(self, data: ReIDData, workers: int) -> tuple[dict[str, str], int]:
        """Return image_id -> fault of the bad images, and the pixels of the good ones.

        Raises:
            ConfigError: a run began here and its list of images is missing.
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

    def told(self, data: ReIDData) -> ReIDData:
        """Return a checked data set with warnings of its equal images."""
        return with_copies(data, self.contents)

    def same_images(self, data: ReIDData) -> dict[str, Any]:
        """Return the run's record of its images from its start; {} for a run that begins now.

        Raises:
            ConfigError: a run began here and its list of images is missing.
            DataError: the images are not those that the run began with.
        """
        noted = noted_images(self.path / _IMAGES, data, self.contents, self.out)
        if not noted and any(self.path.glob("*.ledger")):
            raise ConfigError(
                f"'{self.path / _IMAGES}' is missing or damaged, so the images of the run in "
                f"'{self.out}' are unknown; choose another data.save_dir or remove it"
            )
        return noted

    def require_unchanged(self, stored: Sequence[Entry]) -> None:
        """Refuse results whose original images changed during the run.

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
                f"'{changed[0]}'); restore them and run again in another data.save_dir"
            )

    def data_facts(self, data: ReIDData) -> dict[str, Any]:
        """Return the facts that identify the data set, see :func:`data_facts`."""
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
        """Fit a distance, or load the fitted one that this run has stored with its results.

        Args:
            distance: not fitted.
            train: computes the training features, if they are needed.

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
        """Claim the folder for this run; called once nothing can be refused any more."""
        if not self.team.leads:
            return
        Cache(self.out).claim(self.key)
        write_text(self.path / _IMAGES, json.dumps(self._images) + "\n")
        self.contents.keep()
        self.keep()
        for path, distance in self._fitted.items():
            save_distance(path, distance)

    def keep(self) -> None:
        """Store the features that were computed since then; not before :meth:`begin`."""
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
    """Give all connected processes the leader's values; linear algebra may differ by machine."""
    assert distance.factor is not None
    factor, center = distance.factor.numpy(), distance.center
    rows, columns = team.shared({"shape": factor.shape} if team.leads else {})["shape"]
    same = team.assembled(factor if team.leads else np.zeros((rows, columns)))
    distance.set_map(torch.from_numpy(same), center)
