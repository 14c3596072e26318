"""A training set attacked with a frozen network and stored for training: ``attack-train``."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from torchreid_adv.attacks import Attack, GradientAttack, References, configured_attack
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.batch import generator
from torchreid_adv.core.facts import Key
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.loading import refuse
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel, extract
from torchreid_adv.models.cuda import on_configured_threads, repeatable
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import ATTACKS
from torchreid_adv.runs.folder import RunFolder, surroundings
from torchreid_adv.runs.inputs import load_spec
from torchreid_adv.runs.stored import StoredImages
from torchreid_adv.runs.writer import ImageWriter, attacked_resize, resize_facts

RULE = "leave_one_out_or_self"


@on_configured_threads
def attack_training(cfg: AdvConfig, data: ReIDData, team: Team = ALONE) -> StoredImages | None:
    """Attack the training images of a data set with a frozen clean network, once (Bai et al., 4).

    Each image is attacked like a query, with the other images of its identity as references; the
    only image of an identity is attacked away from itself, from a random start.

    Args:
        cfg: for the attack, the clean network and the folder.
        data: as the training loader has it; query and gallery are ignored.
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
    attacked_records = share(data.train, cfg.adv.training.ratio, cfg.adv.attack.seed)
    folder = RunFolder(training_folder(cfg), data.name, _key(cfg, model, attack), team)
    folder.check_free()  # another run's folder is refused now, not waited for
    with working_in(folder.out, team):
        return _stored(cfg, data, attacked_records, folder, model, attack)


def _stored(
    cfg: AdvConfig,
    data: ReIDData,
    attacked_records: tuple[Record, ...],
    folder: RunFolder,
    model: PixelModel,
    attack: Attack,
) -> StoredImages | None:
    """Attack the chosen images in a locked folder, or resume the attack."""
    team = folder.team
    folder.check_free()
    print(f"##### Attacking {len(attacked_records)} training images of {data.name} #####")
    bad, pixels = folder.checked(data, cfg.data.workers)
    refuse(bad, len(data.train))
    data = folder.told(data)
    with repeatable():
        compute = functools.partial(extract, model, data.train, workers=cfg.data.workers, team=team)
        features = folder.features("train", data.train, compute)
        writer = ImageWriter(
            model,
            attack,
            References(features, RULE),
            "train",
            folder.stored_images,
            folder.path,
            chunk=cfg.adv.job.chunk,
            workers=cfg.data.workers,
            team=team,
            resize=attacked_resize(cfg.adv.attack.space, model),
        )
        attacked_data = replace(data, train=attacked_records)
        writer.require_room(attacked_data, round(pixels * len(attacked_records) / len(data.train)))
        folder.begin()
        stored_images = writer.write(attacked_data, {"data": data.name, **folder.key.facts})
        if stored_images is not None:
            folder.require_unchanged(stored_images.manifest.stored)
        return stored_images


def training_attack(cfg: AdvConfig) -> Attack:
    """Return the attack of ``adv.training.attack`` and its keys.

    A learned attack is loaded from ``adv.training.universal`` or, if that is empty, from
    ``adv.attack.weights``, which is otherwise the file of the evaluation's attack.

    Raises:
        ConfigError: a key is set that this attack does not use.
    """
    attack_cfg, keys = cfg.clone(), cfg.adv.training
    attack_cfg.adv.attack.name, attack_cfg.adv.attack.eps = keys.attack, keys.eps
    attack_cfg.adv.attack.step_size, attack_cfg.adv.attack.steps = keys.step_size, keys.steps
    attack_cfg.adv.attack.momentum, attack_cfg.adv.attack.targeted = None, False
    attack_cfg.adv.attack.options = keys.options
    if keys.universal or "weights" not in ATTACKS.options(keys.attack):
        attack_cfg.adv.attack.weights = keys.universal
    try:
        return configured_attack(attack_cfg)
    except ConfigError as error:
        message = str(error).replace("adv.attack.weights", "adv.training.universal")
        raise ConfigError(message.replace("adv.attack.", "adv.training.")) from error


def training_folder(cfg: AdvConfig) -> Path:
    """Return the folder of the adversarial training set."""
    return Path(cfg.adv.training.folder or Path(cfg.data.save_dir) / "adversarial_train")


def share(records: Sequence[Record], ratio: float, seed: int) -> tuple[Record, ...]:
    """Return a random share of images; every larger share by the same seed contains it."""
    order = torch.randperm(len(records), generator=generator(seed, "share")).tolist()
    return tuple(sorted(records[row] for row in order[: max(1, round(ratio * len(records)))]))


def _clean_network(cfg: AdvConfig) -> PixelModel:
    weights = cfg.adv.training.weights
    if not weights:
        raise ConfigError(
            "adv.training.mode 'offline' attacks a clean network that was trained earlier: train "
            "one with adv.engine '' and name its checkpoint in adv.training.weights"
        )
    return load_spec(cfg, ModelSpec(cfg.model.name, cfg.model.name, weights))


def _lonely(records: Sequence[Record]) -> bool:
    """Return whether an identity has only one image."""
    return 1 in Counter(record.pid for record in records).values()


def _key(cfg: AdvConfig, model: PixelModel, attack: Attack) -> Key:
    """Return everything that decides the bytes of a run."""
    space = {"space": cfg.adv.attack.space} if cfg.adv.attack.space != "stored" else {}
    return Key.of(
        **surroundings(model, cfg.adv.job.chunk),
        **space,
        **resize_facts(cfg.adv.attack.space, model),
        attack={"name": attack.name, **attack.describe(), "side": "train", "reference": RULE},
        parts=attack,
        ratio=[cfg.adv.training.ratio, cfg.adv.attack.seed],
        model=lookup(cfg, "model.name", ""),
    )
