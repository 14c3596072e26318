"""``torchreid-adv train`` and ``start``: torchreid's training script for those who have none.

Flags, config keys, log lines and output folders are those of ``scripts/main.py`` in its repository.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.cli.reads import ENGINES, TRAINING, VIRTUAL
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


def _check_train(cfg: AdvConfig) -> None:
    from torchreid_adv.runs.torchreid_checks import check_engine

    check_engine(cfg)


def _train(cfg: AdvConfig, team: Team) -> Ended:
    """Train, or test with ``test.evaluate True``; under torchrun, by several processes."""
    from torchreid_adv.engines.start import start_clean
    from torchreid_adv.engines.train import train

    start_clean(cfg, team)
    train(cfg, team if "RANK" in os.environ else None)
    return Ended()


TRAIN = Command(
    name="train",
    help="train or test a model with torchreid's flags and config",
    about="Train or test a torchreid model.",
    work=_train,
    usage=Usage(
        examples=(
            "train --config-file configs/train/bai_b1.yaml --root reid-data",
            "train -s people.csv -t people.csv --out log/people model.name osnet_x1_0 "
            "model.pretrained False",
            "train --recipe robust",
        ),
        writes="Below --out: model/model.pth.tar-EPOCH, torchreid's log and TensorBoard file; "
        "with adv.training.report also the table robustness.md.",
        time="The same as torchreid. PGD-7 adversarial training takes 3.6 to 4.6 plain steps per "
        "batch on an NVIDIA H200 (ResNet-50 at 256x128).",
        reads=TRAINING,
        further=ENGINES,
    ),
    check=_check_train,
    joins=True,
    holds=False,  # the training holds its folder itself
    defense=True,
    recipes=True,
).registered()


def _check_start(cfg: AdvConfig) -> None:
    if not cfg.adv.study.models or not cfg.adv.start.sources:
        raise ConfigError(
            "a start is trained for each of adv.study.models, ['label=name', ...], on the data "
            "sets of adv.start.sources; one of the two is empty"
        )


def _start(cfg: AdvConfig, team: Team) -> Ended:
    """Train what ``adv.start.*`` describes for each of ``adv.study.models``.

    A study does the same by itself. An interrupted training continues after its last epoch.
    """
    from torchreid_adv.engines.start import check_start, start_weights
    from torchreid_adv.models.specs import parse_models

    _check_start(cfg)
    specs = parse_models(cfg.adv.study.models, trained=False)
    check_start(cfg)
    lines = [f"{spec.label}: {start_weights(cfg, spec)}" for spec in specs]
    return Ended("\n" + "\n".join(lines))


START = Command(
    name="start",
    help="train the common starting weights of a study's networks",
    about="Train the weights from which all networks of a study start, once.",
    work=_start,
    usage=Usage(
        examples=(
            "start --config-file configs/study/calibration_short.yaml",
            "start -s virtual_a -t virtual_a adv.start.sources virtual_b adv.study.models "
            "['small=osnet_x0_25']",
        ),
        writes="A checkpoint for each network, below the data root; a study finds it there.",
        time="A training of adv.start.epochs epochs for each network. The first "
        "adv.start.half_size epochs run at half the size and take a quarter of the time.",
        reads=(*TRAINING, "adv.start.*", "adv.study.models"),
        further=VIRTUAL,
    ),
    holds=False,  # what is trained is kept below the data root
    defense=True,
).registered()
