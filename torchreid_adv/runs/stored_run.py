"""A finished run of attack-gallery scored again, from its stored images."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.core.facts import Key
from torchreid_adv.core.manifest import OK, Manifest
from torchreid_adv.core.processes import ALONE
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import VerificationError
from torchreid_adv.models import Features
from torchreid_adv.models.cuda import repeatable
from torchreid_adv.runs.attack_run import AttackRun
from torchreid_adv.runs.folder import RunFolder, Scorable, metric_facts
from torchreid_adv.runs.result import RunResult, Scoring, measured
from torchreid_adv.runs.stored import StoredImages


def read_stored_images(folder: Path, manifest: Manifest) -> StoredImages:
    """Return a stored variant from its files alone."""
    nothing = Features(torch.ones(1, 1), torch.zeros(1), torch.zeros(1), ("",))
    empty = torch.zeros(0)
    return StoredImages(folder, manifest, nothing, empty, empty, (), 0.0, {}, {})


@dataclass(frozen=True)
class StoredRun(AttackRun):
    """A finished attack: its results are computed from its stored images."""

    def rescored(
        self,
        model: Scorable,
        data: ReIDData,
        stored_images: StoredImages,
        adaptive: StoredImages | None,
    ) -> dict[str, Any]:
        """Return the expected entry of a data set in results.json.

        Args:
            model: of the run; its defense, if any, is the job's.
            data: the data set.
            stored_images: of the attack.
            adaptive: of the attack through the defense; None without one.

        Raises:
            VerificationError: the attacked images are not those that the attack applies to.
        """
        bad = {entry.image_id for entry in stored_images.manifest.entries if entry.status != OK}
        data = data.without(bad) if bad else data
        with (
            tempfile.TemporaryDirectory() as scratch,
            contextlib.redirect_stdout(io.StringIO()),  # the scores of a run are printed
            repeatable(),
        ):
            folder = RunFolder(Path(scratch), data.name, Key.of(), ALONE)
            job = self.of(data)._fitted(model, data, folder)
            assert isinstance(job, StoredRun)
            return job._rescored(model, data, folder, stored_images, adaptive)

    def _rescored(
        self,
        model: Scorable,
        data: ReIDData,
        folder: RunFolder,
        stored_images: StoredImages,
        adaptive: StoredImages | None,
    ) -> dict[str, Any]:
        clean = self._clean(model, data, folder)
        writer = self._writer(model, data, clean[self.other], folder)
        to_attack = {record.image_id for record in writer.targets(data)}
        if to_attack != stored_images.attacked:
            raise VerificationError(
                f"'{stored_images.folder}' holds {len(stored_images.attacked)} attacked images, "
                f"and the attack applies to {len(to_attack)}; "
                f"{len(to_attack ^ stored_images.attacked)} differ"
            )
        attacked = [r for r in stored_images.data(data).side(self.side) if r.image_id in to_attack]
        after, scoring = self._after(model, attacked, clean, ALONE), Scoring(self.protocol)
        scores = {
            "clean": scoring.score(clean, "clean"),
            "adversarial": scoring.score(after, "adversarial"),
        }
        pulled = self._pulled(writer.references, attacked)
        scored = RunResult(
            attack=self.describe() | metric_facts("evaluation_metric", self.distance),
            protocol=self.protocol,
            clean=clean,
            after=after,
            scores=scores,
            targeted=scoring.pulled(pulled, clean, after) if pulled else None,
            pulled=pulled,
        )
        results = measured(stored_images, scored)
        if self.defense is not None:
            run = self._defended(self.defense, model, data, folder)
            results["defense"] = run.facts(stored_images, adaptive)
        return results
