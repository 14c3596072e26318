"""The universal perturbation of the ensemble, learned once on the training images."""

from __future__ import annotations

import functools
import statistics
from pathlib import Path

import torch
from torch import Tensor

from torchreid_adv.attacks import Fitted, References, SignStep, UniversalFit, UniversalPerturbation
from torchreid_adv.attacks.triplets import CentroidTriplet
from torchreid_adv.attacks.universal import load_universal, save_universal
from torchreid_adv.data.batch import Batch
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.data.images import resized
from torchreid_adv.data.loading import read_groups
from torchreid_adv.distances import Distance
from torchreid_adv.jobs.chunks import chunks, filled
from torchreid_adv.models import extract
from torchreid_adv.models.base import ImageModel
from torchreid_adv.models.extract import device_of
from torchreid_adv.models.prepare import prepared
from torchreid_adv.pixels import to_tensor

_BATCH = 32
_MARGIN = 0.5
_SHARE = 10  # a step is a tenth of the bound
_DECAY = 0.01


def universal(
    model: ImageModel,
    data: ReIDData,
    eps: float,
    distance: Distance,
    *,
    epochs: int,
    path: Path,
    workers: int = 0,
) -> Fitted:
    """Return the perturbation of a file, learned now where there is none.

    Away from the nearest and towards the furthest mean feature of a training identity, as
    UAP-Retrieval with identities in the place of clusters (Li et al., 2019).

    Args:
        model: what is attacked.
        data: whose training images are learned from.
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that ranks.
        epochs: over the training images.
        path: of the file.
        workers: processes that read images.
    """
    if not path.is_file():
        train = extract(model, data.train, workers=workers, description="training features")
        _, centers = References(train).centers(distance, train.values)
        objective = CentroidTriplet(distance, centers, margin=_MARGIN)
        save_universal(path, _learned(model, data, eps, objective, epochs, workers))
    perturbation, _ = load_universal(path)
    return Fitted(perturbation, distance, about={"trained_on": data.name, "epochs": epochs})


def _learned(
    model: ImageModel,
    data: ReIDData,
    eps: float,
    objective: CentroidTriplet,
    epochs: int,
    workers: int,
) -> UniversalPerturbation:
    groups = chunks(data.train, _BATCH)
    first = next(iter(read_groups(groups[:1])))
    size = statistics.mode(image.shape[:2] for image in first)
    fit = UniversalFit(
        objective,
        UniversalPerturbation(eps, kind="delta", size=size),
        functools.partial(SignStep, lr=eps / _SHARE, momentum=1.0),
    )
    device = device_of(model)
    with prepared(model, _tensor([resized(first[0], size)]).to(device)) as ready:
        for epoch in range(epochs):
            label = f"universal perturbation, epoch {epoch + 1} of {epochs}"
            for images in read_groups(groups, workers=workers, description=label):
                same = [resized(image, size) for image in images]
                fit.fit_step(ready, Batch(_tensor(filled(same, _BATCH))).to(device))
            fit.end_epoch(_DECAY)
    return fit.perturbation.cpu()


def _tensor(images: list) -> Tensor:
    return torch.stack([to_tensor(image) for image in images])
