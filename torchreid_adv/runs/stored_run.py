"""A finished run of attack-gallery scored again, from the images that it stored."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.core.manifest import OK, Manifest
from torchreid_adv.core.processes import ALONE
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import VerificationError
from torchreid_adv.models import Features
from torchreid_adv.models.cuda import repeatable
from torchreid_adv.runs.attack_run import AttackJob
from torchreid_adv.runs.folder import JobFolder, Scorable, metric_facts
from torchreid_adv.runs.result import Scored, measured
from torchreid_adv.runs.stored import Variant


def stored_variant(folder: Path, manifest: Manifest) -> Variant:
    """Return a stored variant of which nothing else is known than its files."""
    nothing = Features(torch.ones(1, 1), torch.zeros(1), torch.zeros(1), ("",))
    empty = torch.zeros(0)
    return Variant(folder, manifest, nothing, empty, empty, (), 0.0, {}, {})


@dataclass(frozen=True)
class StoredJob(AttackJob):
    """An attack that was made: all that it gives is computed from its images."""

    def rescored(
        self, model: Scorable, data: ReIDData, variant: Variant, adaptive: Variant | None
    ) -> dict[str, Any]:
        """Return what results.json has to say of a data set.

        Args:
            model: of the run; its defense, if any, is the job's.
            data: the data set.
            variant: what was stored.
            adaptive: the same of the attack through the defense; None without one.

        Raises:
            VerificationError: other images were attacked than the attack has to be run on.
        """
        bad = {entry.image_id for entry in variant.manifest.entries if entry.status != OK}
        data = data.without(bad) if bad else data
        with (
            tempfile.TemporaryDirectory() as scratch,
            contextlib.redirect_stdout(io.StringIO()),  # the scores of a run are printed
            repeatable(),
        ):
            folder = JobFolder(Path(scratch), data.name, {}, ALONE)
            job = self.of(data)._fitted(model, data, folder)
            assert isinstance(job, StoredJob)
            return job._rescored(model, data, folder, variant, adaptive)

    def _rescored(
        self,
        model: Scorable,
        data: ReIDData,
        folder: JobFolder,
        variant: Variant,
        adaptive: Variant | None,
    ) -> dict[str, Any]:
        clean = self._clean(model, data, folder)
        writer = self._writer(model, data, clean[self.other], folder)
        wanted = {record.image_id for record in writer.targets(data)}
        if wanted != variant.attacked:
            raise VerificationError(
                f"'{variant.folder}' holds {len(variant.attacked)} attacked images, and the attack "
                f"has to be run on {len(wanted)}; {len(wanted ^ variant.attacked)} are others"
            )
        attacked = [r for r in variant.data(data).side(self.side) if r.image_id in wanted]
        after, scoring = self._after(model, attacked, clean, ALONE), self.scoring()
        scores = {
            "clean": scoring.score(clean, "clean"),
            "adversarial": scoring.score(after, "adversarial"),
        }
        pulled = self._pulled(writer.references, attacked)
        scored = Scored(
            attack=self.describe() | metric_facts("evaluation_metric", self.distance),
            protocol=self.protocol,
            clean=clean,
            after=after,
            scores=scores,
            targeted=scoring.pulled(pulled, clean, after) if pulled else None,
            pulled=pulled,
        )
        found = measured(variant, scored)
        if self.defense is not None:
            run = self._defended(self.defense, model, data, folder)
            found["defense"] = run.facts(variant, adaptive)
        return found
