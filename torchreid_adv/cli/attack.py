"""``torchreid-adv attack-gallery``, ``attack-train`` and ``demo``: adversarial data sets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.config import AdvConfig

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


def _attack_gallery(cfg: AdvConfig, team: Team) -> Ended:
    """Run the attack that the config describes; exit code 4 when bad images were left out."""
    from torchreid_adv.engines.trained import weights_of
    from torchreid_adv.runs.attack_dataset import attack_gallery

    outcome = attack_gallery(cfg, team, weights_of)
    if outcome is None:
        return Ended(
            f"Shard {cfg.adv.job.shard} is done. When all shards are, run the same command "
            "once more without a shard: it scores what is stored and writes the report."
        )
    return Ended("\n".join([f"\nReport: {outcome.report}", *_next(cfg)]), outcome.exit_code)


def _next(cfg: AdvConfig) -> list[str]:
    """Return what to try after the quick start."""
    if cfg.model.load_weights or not cfg.adv.virtual.train_model:
        return []
    return [
        "Next, your own model and data:",
        "  torchreid-adv attack-gallery --config-file configs/attack/ifgsm.yaml "
        "-s market1501 -t market1501 --root reid-data \\",
        "    model.name osnet_x1_0 model.load_weights PATH/model.pth.tar-60 "
        "data.save_dir log/attack",
    ]


ATTACK_GALLERY = Command(
    name="attack-gallery",
    help="write an adversarial version of a data set, score it",
    about="Write an adversarial version of a data set and score it.",
    work=_attack_gallery,
    joins=True,
    shards=True,
    holds=False,  # the run holds its folder itself, and shards share it
    defense=True,
).registered()
# virtual people are rendered below reid-data, and the report is written to log/quickstart
DEMO = replace(
    ATTACK_GALLERY,
    name="demo",
    help="the quick start: virtual people, a model, an attack, a report",
    config_file="configs/quickstart.yaml",
).registered()


def _attack_train(cfg: AdvConfig, team: Team) -> Ended:
    """Attack the training set as ``adv.training.*`` says.

    ``adv.training.mode: offline`` does the same before it trains; done before, by several
    processes for instance, it is found there.
    """
    from torchreid_adv.data.datasets import from_torchreid
    from torchreid_adv.engines.train import build_data
    from torchreid_adv.runs.training_set import attack_training

    dataset = team.first(lambda: build_data(cfg)).train_loader.dataset
    data = from_torchreid("+".join(cfg.data.sources), cfg.data.root, dataset)
    stored = attack_training(cfg, data, team)
    return Ended(f"Adversarial training set: {stored.folder}" if stored else "This shard is done.")


ATTACK_TRAIN = Command(
    name="attack-train",
    help="write an adversarial version of the training set",
    about="Write an adversarial version of the training set.",
    work=_attack_train,
    joins=True,
    shards=True,
    holds=False,
    defense=True,
).registered()
