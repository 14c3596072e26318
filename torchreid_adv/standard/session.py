"""One attack of the ensemble on some images: stored, scored, and reused on resume."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.attacks import Attack, References
from torchreid_adv.attacks.combined import Transferred
from torchreid_adv.attacks.references import SIDE_RULES
from torchreid_adv.core.batch import chunks
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.files import holds, removed_after, unfinished_name, write_together
from torchreid_adv.core.manifest import Entry, Manifest
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.own.written import write_list
from torchreid_adv.distances import Distance
from torchreid_adv.models import Ensemble
from torchreid_adv.models.pixel_model import ImageModel, black_box
from torchreid_adv.runs.writer import ImageWriter
from torchreid_adv.standard import ensemble, rounds
from torchreid_adv.standard.ensemble import Member, universal
from torchreid_adv.standard.identity import KEPT
from torchreid_adv.standard.judge import Judge
from torchreid_adv.standard.scores import COMPOSED, QueryScores
from torchreid_adv.standard.versions import SIDES, Version

WORST = "the worst of the ensemble"  # name of the attack in the manifest of composed images
_TOGETHER = 256  # files that are flushed together


@dataclass(frozen=True)
class Stored:
    """The stored images of an attack.

    Args:
        records: the stored images, under the names of the clean ones.
        entries: of the manifest, image_id -> (entry, its folder).
        root: hash of the manifest.
    """

    records: tuple[Record, ...]
    entries: dict[str, tuple[Entry, Path]]
    root: str


@dataclass(frozen=True)
class Session:
    """The values that all attacks of a run share.

    Args:
        version: budgets.
        model: to attack and score, including its defense.
        data: the data set.
        distance: that ranks.
        attacked: the attacked metric, usually the same (otherwise a flag is raised).
        judge: scores of the model.
        out: folder of the run.
        identity: facts that identify the run, for manifests.
        surrogates: other models, None without any.
        surrogate_judge: features of the surrogates.
        twin_judge: scores of the undefended model, None if the model has no defense.
        gradient: whether the model has a gradient.
        workers: processes that read images.
        team: this process and those it shares the attacks with.
    """

    version: Version
    model: ImageModel
    data: ReIDData
    distance: Distance
    attacked: Distance
    judge: Judge
    out: Path
    identity: dict[str, Any]
    surrogates: Ensemble | None = None
    surrogate_judge: Judge | None = None
    twin_judge: Judge | None = None
    gradient: bool = True
    workers: int = 0
    team: Team = ALONE

    @property
    def job(self) -> Path:
        """Folder of the run's cached values."""
        return self.out / KEPT

    @property
    def transfers(self) -> bool:
        """Whether attacks are transferred from surrogates."""
        return self.surrogates is not None

    def members(self) -> list[Member]:
        """Return the possible attacks, in order."""
        identities = len(self.judge.clean[0]["gallery"].pids.unique()) if self.version.rounds else 0
        members = [
            m for m in rounds.members(self.version, identities) if self.gradient or not m.gradient
        ]
        if not self.transfers:
            members = [m for m in members if m.name != "transfer"]
        if self.twin_judge is None or black_box(self.model):
            members = [m for m in members if m.name != "oblivious"]
        return members

    def references(self, track: str, judge: Judge | None = None) -> References:
        """Return the references of a track's images: the other side's clean features."""
        other = "gallery" if track == "Q" else "query"
        features = (judge or self.judge).clean[0][other]
        return References(features, SIDE_RULES[SIDES[track]])

    def attack(self, name: str, track: str, eps: float) -> Attack:
        """Build an attack of the ensemble.

        Args:
            name: of the member.
            track: ``Q`` or ``G``.
            eps: bound in gray levels.
        """
        version, distance, bound = self.version, self.attacked, from_levels(eps)
        if version.rounds:
            identities = len(self.references(track).features.pids.unique())
            built = rounds.build(version, name, bound, distance, identities)
            if built is not None:
                return built
        if name == "pull":
            identities = len(self.references(track).features.pids.unique())
            return ensemble.pull(version, bound, distance, identities)
        if name == "universal":
            path = self.job / f"universal-eps{eps:g}.safetensors"
            learn = functools.partial(
                universal, self.model, self.data, bound, distance, epochs=version.epochs, path=path
            )
            return self.team.first(lambda: learn(workers=self.workers))
        if name in ("transfer", "oblivious"):
            judge = self.surrogate_judge if name == "transfer" else self.twin_judge
            assert judge is not None
            build = ensemble.momentum if name == "transfer" else ensemble.oblivious
            references = self.references(track, judge)
            return Transferred(build(version, bound, distance), judge.model, references)
        builders: dict[str, Callable[[Version, float, Distance], Attack]] = {
            "push": ensemble.push,
            "margin": ensemble.margin,
            "self": ensemble.self_reference,
            "noise": ensemble.noise,
            "square": ensemble.square,
        }
        return builders[name](version, bound, distance)

    def run(self, name: str, track: str, eps: float, records: Sequence[Record]) -> Stored:
        """Attack some images of a track's side and store them; stored images are reused.

        Args:
            name: of the member.
            track: ``Q`` or ``G``.
            eps: bound in gray levels.
            records: the clean images.
        """
        attack, side = self.attack(name, track, eps), SIDES[track]
        place = f"{track}-eps{eps:g}"
        writer = ImageWriter(
            self.model,
            attack,
            self.references(track),
            side,
            self.out / place / name,
            self.job / place / name,
            chunk=self.version.chunk,
            workers=self.workers,
            team=self.team,
            copies=False,
        )
        header = {"data": self.data.name, "track": track, **self.identity}
        header["attack"] = {"name": name, "eps": eps, **_facts(attack)}
        cut: dict[str, Any] = {side: tuple(records)}
        data = dataclasses.replace(self.data, **cut)
        stored_images = writer.write(data, header)
        assert stored_images is not None  # this run has no shards
        entries = {e.image_id: (e, stored_images.folder) for e in stored_images.manifest.side(side)}
        return Stored(stored_images.data(data).side(side), entries, stored_images.manifest.root)

    def compose(self, place: str, entries: dict[str, tuple[Entry, Path]]) -> str:
        """Copy the chosen files into one folder with a manifest, and return its root.

        Args:
            place: track and bound.
            entries: image_id -> the file's entry in the manifest, and its folder.
        """
        folder, team = self.out / place / COMPOSED, self.team
        scratch = self.job / place / unfinished_name()
        for group in chunks(list(entries.values()), _TOGETHER) if team.leads else []:
            contents = {folder / e.output: (source / e.output).read_bytes() for e, source in group}
            if all(holds(path, content) for path, content in contents.items()):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            with removed_after(scratch):
                write_together(contents, folder, scratch)
        track, eps = place.split("-eps")
        header: dict[str, Any] = {"data": self.data.name, "protocol": self.data.protocol}
        if self.data.names:
            header["names"] = {kind: list(words) for kind, words in self.data.names.items()}
        header |= {"track": track, **self.identity}
        header["attack"] = {"name": WORST, "eps": float(eps)}
        manifest = Manifest(header, in_order(entries))
        if team.leads:
            manifest.write(folder)
            write_list(folder, manifest)
        team.wait()
        return manifest.root

    def clean(self) -> QueryScores:
        """Return the scores without an attack, from the cache if possible."""
        return self.scored("clean", self.judge.name, lambda: self.judge.score("query"))

    def scored(self, name: str, stored: str, compute: Callable[[], QueryScores]) -> QueryScores:
        """Return the cached scores of the images with a manifest's hash, or compute them."""
        facts = self.team.first(lambda: self.kept(name, stored, lambda: compute().to_dict()))
        return QueryScores.of(facts)

    def kept(self, name: str, stored: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the cached facts of the images with a manifest's hash, or compute them."""
        return Cache(self.job).json(name, Key.of(**self.identity, stored=stored), compute)


def in_order(entries: dict[str, tuple[Entry, Path]]) -> tuple[Entry, ...]:
    """Return the entries of composed images in the order of their manifest."""
    return tuple(entry for _, (entry, _) in sorted(entries.items()))


def _facts(attack: Attack) -> dict[str, Any]:
    return {key: value for key, value in attack.describe().items() if key != "eps"}
