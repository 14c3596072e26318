"""The training set, attacked by a frozen network and stored, to train on: ``attack-train``."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.attacks import Attack, GradientAttack, References, configured_attack
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import generator
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.loading import refuse
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel, extract
from torchreid_adv.models.cuda import on_configured_threads, repeatable
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import ATTACKS
from torchreid_adv.runs.folder import JobFolder, surroundings
from torchreid_adv.runs.inputs import load_spec
from torchreid_adv.runs.settings import attacked_resize, resize_facts
from torchreid_adv.runs.stored import Variant
from torchreid_adv.runs.writer import VariantWriter

RULE = "leave_one_out_or_self"


@on_configured_threads
def attack_training(cfg: AdvConfig, data: ReIDData, team: Team = ALONE) -> Variant | None:
    """Attack the training images of a data set with a frozen clean network, once (Bai et al., 4).

    Each image is attacked as ``adv.training.attack`` attacks a query whose references are the other
    images of its identity; one that is alone is attacked away from itself, from a random start.

    Args:
        cfg: for the attack, the clean network and the folder.
        data: as the training loader has it; query and gallery are not looked at.
        team: this process and those it shares the work with.

    Returns:
        the stored variant, training images only; None for a shard while others are not done.

    Raises:
        ConfigError: no clean network, or a folder that holds another run.
        DataError: an image that cannot be used.
    """
    model, attack = _clean_network(cfg), training_attack(cfg)
    data = replace(data, query=(), gallery=())
    if isinstance(attack, GradientAttack) and attack.start == "zero" and _lonely(data.train):
        attack.start = "if_stuck"
    chosen = share(data.train, cfg.adv.training.ratio, cfg.adv.attack.seed)
    folder = JobFolder(training_folder(cfg), data.name, _identity(cfg, model, attack), team)
    folder.check_free()  # another run's folder is refused now, not waited for
    with working_in(folder.out, team):
        return _stored(cfg, data, chosen, folder, model, attack)


def _stored(
    cfg: AdvConfig,
    data: ReIDData,
    chosen: tuple[Record, ...],
    folder: JobFolder,
    model: PixelModel,
    attack: Attack,
) -> Variant | None:
    """Attack the chosen images in a folder that is held, or go on with them."""
    team = folder.team
    folder.check_free()
    print(f"##### Attacking {len(chosen)} training images of {data.name} #####")
    bad, pixels = folder.checked(data, cfg.data.workers)
    refuse(bad, len(data.train))
    with repeatable():
        compute = functools.partial(extract, model, data.train, workers=cfg.data.workers, team=team)
        features = folder.features("train", data.train, compute)
        writer = VariantWriter(
            model,
            attack,
            References(features, RULE),
            "train",
            folder.variant,
            folder.path,
            chunk=cfg.adv.job.chunk,
            workers=cfg.data.workers,
            team=team,
            resize=attacked_resize(cfg.adv.attack.space, model),
        )
        wanted = replace(data, train=chosen)
        writer.require_room(wanted, round(pixels * len(chosen) / len(data.train)))
        folder.begin()
        variant = writer.write(wanted, {"data": data.name, **folder.identity})
        if variant is not None:
            folder.require_unchanged(variant.manifest.stored)
        return variant


def training_attack(cfg: AdvConfig) -> Attack:
    """Return the attack of ``adv.training.attack`` and its keys.

    One that was learned before comes from ``adv.training.universal``; without that from
    ``adv.attack.weights``, which is otherwise the file of the evaluation's attack.

    Raises:
        ConfigError: a key is set that this attack does not use.
    """
    own, chosen = cfg.clone(), cfg.adv.training
    own.adv.attack.name, own.adv.attack.eps = chosen.attack, chosen.eps
    own.adv.attack.step_size, own.adv.attack.steps = chosen.step_size, chosen.steps
    own.adv.attack.momentum, own.adv.attack.targeted = None, False
    own.adv.attack.options = chosen.options
    if chosen.universal or "weights" not in ATTACKS.options(chosen.attack):
        own.adv.attack.weights = chosen.universal
    try:
        return configured_attack(own)
    except ConfigError as error:
        said = str(error).replace("adv.attack.weights", "adv.training.universal")
        raise ConfigError(said.replace("adv.attack.", "adv.training.")) from error


def training_folder(cfg: AdvConfig) -> Path:
    """Return the folder of the adversarial training set."""
    return Path(cfg.adv.training.folder or Path(cfg.data.save_dir) / "adversarial_train")


def share(records: Sequence[Record], ratio: float, seed: int) -> tuple[Record, ...]:
    """Return a share of images, drawn by a seed; the same ones are in every larger share."""
    order = torch.randperm(len(records), generator=generator(seed, "share")).tolist()
    return tuple(sorted(records[row] for row in order[: max(1, round(ratio * len(records)))]))


def _clean_network(cfg: AdvConfig) -> PixelModel:
    weights = cfg.adv.training.weights
    if not weights:
        raise ConfigError(
            "adv.training.mode 'offline' attacks a clean network that was trained before: train "
            "one with adv.engine '' and name its checkpoint in adv.training.weights"
        )
    return load_spec(cfg, ModelSpec(cfg.model.name, cfg.model.name, weights))


def _lonely(records: Sequence[Record]) -> bool:
    """Tell whether an identity has one image only."""
    return 1 in Counter(record.pid for record in records).values()


def _identity(cfg: AdvConfig, model: PixelModel, attack: Attack) -> dict[str, Any]:
    """Return what makes a run the same run."""
    space = {"space": cfg.adv.attack.space} if cfg.adv.attack.space != "stored" else {}
    return {
        **surroundings(model, cfg.adv.job.chunk),
        **space,
        **resize_facts(cfg.adv.attack.space, model),
        "attack": {"name": attack.name, **attack.describe(), "side": "train", "reference": RULE},
        "parts": attack,
        "ratio": [cfg.adv.training.ratio, cfg.adv.attack.seed],
        "model": lookup(cfg, "model.name", ""),
    }
