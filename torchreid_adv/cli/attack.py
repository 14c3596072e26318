"""``torchreid-adv attack``, ``attack-gallery``, ``attack-train``, ``demo``: adversarial data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.cli.flags import ONE_ATTACK, TRAINED, Models
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.cli.reads import DATA, DEFENSE, JOB, ONE_NETWORK, RUN, UNIT_FEATURES, VIRTUAL
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
            "once more without a shard: it scores the stored images and writes the report."
        )
    return Ended("\n".join([f"\nReport: {outcome.report}", *_next(cfg)]), outcome.exit_code)


def _next(cfg: AdvConfig) -> list[str]:
    """Return what to try after the quick start."""
    if cfg.model.load_weights or cfg.adv.attack.models or not cfg.adv.virtual.train_model:
        return []
    return [
        "Next, your own model and data:",
        "  torchreid-adv attack osnet_x1_0:model.pth.tar-60 -t market1501 --root reid-data",
    ]


_WRITES = (
    "Below --out: report.html with its figures, results.json with every number, and for each data "
    "set a folder with the adversarial version of all its images and a manifest. The same command "
    "continues an interrupted run."
)
_TIME = (
    "I-FGSM at eps 5 takes 6 steps. ResNet-50 at 256x128 makes 15 images x steps a second on two "
    "CPU cores and 2,600 on an NVIDIA H200, so 2.5 and 440 images a second. At these "
    "rates the 15,913 gallery images of Market-1501 take 1.8 hours and 36 seconds, without reading "
    "and storing them."
)
ATTACK_GALLERY = Command(
    name="attack-gallery",
    help="write an adversarial version of a data set and score it",
    about="Write an adversarial version of a data set and score it.",
    work=_attack_gallery,
    usage=Usage(
        examples=(
            "attack-gallery --config-file configs/attack/ifgsm.yaml -t market1501 --root reid-data "
            "model.name osnet_x1_0 model.load_weights model.pth.tar-60 data.save_dir log/ifgsm",
            "attack-gallery --config-file configs/quickstart.yaml --eps 4 --out log/eps4",
        ),
        writes=_WRITES,
        time=_TIME,
        reads=(*RUN, *ONE_NETWORK, *DEFENSE),
        further=VIRTUAL,
    ),
    flags=ONE_ATTACK,
    joins=True,
    shards=True,
    holds=False,  # the run holds its folder itself, and shards share it
    defense=True,
).registered()
ATTACK = replace(
    ATTACK_GALLERY,
    name="attack",
    help="attack one model, I-FGSM with eps 5, and write a report",
    about="Attack a model on a data set: write an adversarial version, score it, write a report.",
    usage=replace(
        ATTACK_GALLERY.usage,
        examples=(
            "attack osnet_x1_0:model.pth.tar-60 -t market1501 --root reid-data",
            "attack boxmot:osnet_x0_25_msmt17.pt -t people.csv --attack mifgsm --eps 8 "
            "--side query",
        ),
    ),
    models=Models(key="adv.attack.models", one=True, needed=True, enough=TRAINED),
    defaults=(UNIT_FEATURES, ("data.save_dir", "log/attack")),
).registered()
# virtual people are rendered below reid-data, and the report is written to log/quickstart
DEMO = replace(
    ATTACK_GALLERY,
    name="demo",
    help="quick start: render people, train, attack, write a report",
    about="Render virtual people, train a model, attack its gallery and write a report.",
    usage=replace(
        ATTACK_GALLERY.usage,
        examples=("demo", "demo --attack sma --side query --out log/second"),
        writes="Below log/quickstart: report.html, results.json and the adversarial images; below "
        "reid-data: the virtual people and the model, which the next run finds.",
        time="2 min 20 s of one CPU core, most of it for the training, which is done once.",
    ),
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
    usage=Usage(
        examples=(
            "attack-train --config-file configs/engine/metric_preserving.yaml -s market1501 --root "
            "reid-data adv.training.weights model.pth.tar-60",
            "attack-train -s virtual_a --device cpu adv.training.weights model.pth.tar-60 "
            "adv.training.attack pgd adv.training.steps 7",
        ),
        writes="The adversarial training set with its manifest, in adv.training.folder, else in "
        "adversarial_train below --out. 'train' with adv.training.mode offline does the same "
        "first, or finds it there.",
        time="As attack-gallery for each training image that adv.training.ratio chooses.",
        reads=(
            *(*DATA, *ONE_NETWORK, *JOB, "adv.training.*", "adv.attack.seed", "adv.attack.space"),
            *("data.*", "sampler.*", "train.batch_size", "test.batch_size", "test.evaluate"),
        ),
        further=VIRTUAL,
    ),
    joins=True,
    shards=True,
    holds=False,
    defense=True,
).registered()
