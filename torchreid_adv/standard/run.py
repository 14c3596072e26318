"""The standard evaluation of one model on one data set: from a model to ``standard.json``."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.attacks.build import check_gradient
from torchreid_adv.core.cache import Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.files import write_text
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.loggers import log, log_file
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.core.provenance import FIELD, kept_provenance, provenance
from torchreid_adv.data.copies import with_copies
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.data.loading import check_images, refuse
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import Distance, FittedDistance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.cuda import repeatable
from torchreid_adv.models.loading import scorable
from torchreid_adv.models.pixel_model import ImageModel, black_box
from torchreid_adv.standard import identity as identities
from torchreid_adv.standard import inspection
from torchreid_adv.standard.flags import Check, Trials, of_model, of_table, of_trials
from torchreid_adv.standard.inspection import inspect_model
from torchreid_adv.standard.judge import Judge
from torchreid_adv.standard.per_query import keep_scores
from torchreid_adv.standard.reading import RESULT, SEAL, sealed
from torchreid_adv.standard.result import gallery_facts, query_facts, result
from torchreid_adv.standard.sample import clean_facts, run_trials, sample
from torchreid_adv.standard.scores import QueryScores
from torchreid_adv.standard.session import Session
from torchreid_adv.standard.tracks import GalleryTrack, QueryTrack
from torchreid_adv.standard.versions import PLUS, STANDARD, TRACKS, Version, version_of


def evaluate_standard(
    model: ImageModel,
    data: ReIDData,
    *,
    out: str | Path,
    version: str | Version = "standard",
    surrogates: Sequence[PixelModel] = (),
    distance: Distance | None = None,
    attacked: Distance | None = None,
    tracks: Sequence[str] = TRACKS,
    name: str = "model",
    workers: int = 0,
    team: Team = ALONE,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Evaluate a model with the standard ensemble, write ``standard.json`` and return it.

    The same call resumes a run that ended early.

    Args:
        model: in eval mode; behind a defense as :class:`Defended`, and then attacked through it.
            Wrap any module from images to features as ``PixelModel(module, size=...)``; an entry
            such as ``osnet_x1_0:model.pth`` is loaded.
        data: query, gallery, and train for the universal perturbation.
        out: folder of the run.
        version: ``standard``, ``lite``, ``plus``, or a custom definition, whose result is not
            called standard.
        surrogates: two or more other models, for transferred attacks.
        distance: that ranks the gallery; None = that of the protocol, or Euclidean of
            normalized features.
        attacked: the attacked metric, if it is not the ranking one (a flag reports this).
        tracks: ``Q``, ``G`` or both.
        name: of the model, in the result.
        workers: processes that read images.
        team: this process and those it shares the attacks with; the result is the same.
        protocol: rules of the scores; None = torchreid's with this distance. A data set with its
            own protocol overrides that part of them.

    Raises:
        ConfigError: a model that is not ready or whose features are useless, a folder that holds
            another run, an unknown version or track, re-ranking.
        DataError: an image that cannot be used, features that are not finite, no query with a
            positive.
    """
    model = scorable(model)
    version = version_of(version) if isinstance(version, str) else version
    protocol = _rules(protocol, distance, data)
    distance = protocol.distance
    _check(model, distance, tracks, surrogates)
    inspection.refuse_model(model)
    model = averaged_model(model, version)
    contents = Contents(Path(out) / identities.KEPT)
    key = identities.run_identity(
        model, data, version, surrogates, protocol, attacked or distance, name, contents
    )
    data = with_copies(data, contents)
    session = make_setting(model, data, Path(out), version, surrogates, protocol, workers)
    session = dataclasses.replace(
        session, attacked=attacked or distance, identity={"run": key.digest}, team=team
    )
    with working_in(session.out, team), repeatable():
        return _evaluate(session, key, contents, tracks)


def _rules(protocol: Protocol | None, distance: Distance | None, data: ReIDData) -> Protocol:
    """Return the rules of the scores on a data set.

    Raises:
        ConfigError: two distances, re-ranking, or a protocol that is not the data set's or that
            does not count all queries equally.
    """
    if protocol is None:
        distance = distance or build_distance("euclidean", normalize=True)
        protocol = Protocol(distance=distance)
    elif distance is not None and distance is not protocol.distance:
        raise ConfigError(
            "the gallery is ranked by one distance, and both 'distance' and 'protocol' name one; "
            "leave 'distance' out"
        )
    if protocol.rerank is not None:
        raise ConfigError(
            "the standard evaluation ranks without re-ranking; set test.rerank and "
            "adv.evaluation.rerank False"
        )
    protocol = protocol.of(data)
    if protocol.galleries.uneven:
        raise ConfigError(
            f"the standard evaluation counts every query equally, but under the protocol "
            f"'{protocol.name}' a query counts only in those galleries that it was not drawn for; "
            "'torchreid-adv attack' and 'transfer' support this data set with its own protocol"
        )
    return protocol


def _check(
    model: ImageModel,
    distance: Distance,
    tracks: Sequence[str],
    surrogates: Sequence[PixelModel],
) -> None:
    if not black_box(model):  # a black box is attacked only through its answers
        check_gradient(model)
    unfitted = isinstance(distance, FittedDistance) and not distance.fitted
    if not distance.squared_euclidean or unfitted:
        raise ConfigError(
            "the standard evaluation ranks by Euclidean, cosine or fitted Mahalanobis distances, "
            f"not by '{distance.name}'; set test.dist_metric euclidean or cosine"
        )
    if not tracks or not set(tracks) <= set(TRACKS):
        raise ConfigError(f"tracks are {', '.join(TRACKS)}, one or both; got {list(tracks)}")
    without = next(filter(None, map(black_box, surrogates)), "")
    if without:
        raise ConfigError(
            f"a surrogate is {without}, which has no gradient for transferred attacks; "
            "name networks in adv.standard.surrogates that have one"
        )


def averaged_model(model: ImageModel, version: Version) -> ImageModel:
    """Return the model with the version's draws for attacks through a random defense."""
    if not (isinstance(model, Defended) and model.defense.random):
        return model
    samples = math.ceil(version.eot / model.draws)
    return Defended(model.defense, model.model, draws=model.draws, eot_samples=samples)


def make_setting(
    model: ImageModel,
    data: ReIDData,
    out: Path,
    version: Version,
    surrogates: Sequence[PixelModel],
    protocol: Protocol,
    workers: int,
    job: Path | None = None,
) -> Session:
    """Return the session of a run before its identity is known.

    Args:
        model: with the draws of its version, see :func:`averaged_model`.
        data: the data set.
        out: folder of the run.
        version: budgets.
        surrogates: other models.
        protocol: rules of the scores.
        workers: processes that read images.
        job: folder of cached values; None = the run's default.
    """
    folder = (job or out / identities.KEPT) / "features"

    def judge(of: ImageModel | None, label: str) -> Judge | None:
        if of is None:
            return None
        return Judge(of, data, protocol, version.draws, folder, label, workers)

    model_judge = judge(model, "model")
    assert model_judge is not None
    ensemble = Ensemble(surrogates) if surrogates else None
    return Session(
        version=version,
        model=model,
        data=data,
        distance=protocol.distance,
        attacked=protocol.distance,
        judge=model_judge,
        out=out,
        identity={},
        surrogates=ensemble,
        surrogate_judge=judge(ensemble, "surrogates"),
        twin_judge=judge(model.model if isinstance(model, Defended) else None, "undefended"),
        workers=workers,
    )


def _evaluate(
    session: Session, key: Key, contents: Contents, tracks: Sequence[str]
) -> dict[str, Any]:
    """Do the remaining work, and return the result."""
    team, identity = session.team, dict(key.facts)
    scores, chance = team.first(lambda: _begun(session, key, contents))
    for judge in filter(None, (session.judge, session.surrogate_judge, session.twin_judge)):
        team.first(functools.partial(getattr, judge, "clean"))
    sampled = sample(session.data.query, ~np.isnan(scores.ap), session.version.sample)
    inspection = inspect_model(session, sampled, scores, chance)
    checks = list(of_model(inspection))
    session = dataclasses.replace(session, gradient=inspection.no_gradient < 1)
    rows = np.isin(session.judge.query.image_ids, [record.image_id for record in sampled])
    if inspection.black_box:
        trials = clean_facts(scores, rows, float(chance[rows].mean()))
    else:
        trials = run_trials(session, sampled, float(chance[rows].mean()))
        checks += of_trials(Trials.of(trials))
    asked = session.version
    if asked == STANDARD and any(check.name == "CONV" and check.raised for check in checks):
        session = dataclasses.replace(session, version=PLUS)
    facts, further = run_tracks(session, tracks, inspection.chance)
    checks += further
    content = result(session, identity, asked, facts, inspection, trials, checks)
    device = next((weight.device for weight in session.model.parameters()), None)
    content = {**content, FIELD: provenance(device, warnings=session.data.warnings).facts()}
    content = sealed(kept_provenance(session.out / RESULT, content, seal=SEAL))
    if team.leads:
        write_text(session.out / RESULT, json.dumps(content, indent=1) + "\n")
        for track, bounds in facts.items():
            for eps, scores in bounds.items():
                name = f"{session.data.name}/{track}"
                clean, robust = scores["clean"]["mAP"], scores["robust"]["mAP"]
                values = {f"{name}/clean_mAP": clean, f"{name}/robust_mAP": robust}
                log(values, step=round(float(eps)))
        log_file(session.out / RESULT)
    team.wait()
    return content


def _begun(
    session: Session, key: Key, contents: Contents
) -> tuple[QueryScores, NDArray[np.float64]]:
    """Claim the folder; return the clean scores and chance, once all checks passed."""
    alone = dataclasses.replace(session, team=ALONE)  # others wait for this as a whole
    with identities.claimed(session.out, key, session.data, contents):
        return _checked(alone)


def _checked(session: Session) -> tuple[QueryScores, NDArray[np.float64]]:
    """Return the clean scores and chance (Q,), once images and features passed all checks."""
    listed = [record for side in SIDES for record in session.data.side(side)]
    bad = session.kept("checked", "", lambda: check_images(listed, workers=session.workers)[0])
    refuse(bad, len(listed))
    clean = session.judge.clean[0]
    for side in clean.values():
        inspection.refuse_features(side)
    return session.clean(), session.judge.chances()


def run_tracks(
    session: Session, tracks: Sequence[str], chance: float
) -> tuple[dict[str, dict[str, Any]], list[Check]]:
    """Return the facts by track and bound, and the checks that compare their attacks."""
    facts: dict[str, dict[str, Any]] = {track: {} for track in tracks}
    checks: list[Check] = []
    for eps in session.version.eps:
        if "Q" in facts:
            queries = QueryTrack(session, eps)
            table = queries.run()
            if not black_box(session.model):  # else there is nothing to compare with
                checks += of_table(table, chance, f"Q, eps {eps}")
            facts["Q"][str(eps)] = query_facts(session, queries)
            keep_scores(queries, "Q", eps)
        if "G" in facts:
            gallery = GalleryTrack(session, eps)
            gallery.run()
            facts["G"][str(eps)] = gallery_facts(session, gallery)
            keep_scores(gallery, "G", eps)
    return facts, checks
