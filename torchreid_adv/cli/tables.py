"""Commands that fill tables of several runs, such as ``transfer``, ``sweep`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.cli.flags import ONE_ATTACK, SEVERAL_ATTACKS, TRAINED, Models
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.cli.reads import (
    DEFENSE,
    RUN,
    TRAINING,
    UNIT_FEATURES,
    VIRTUAL,
)
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


_GRID_TIME = (
    "One attack per row, each as long as that of attack-gallery, and one pass of the stored images "
    "through each tested model. Stored attacks are reused."
)


def _transfer(cfg: AdvConfig, team: Team) -> Ended:
    from torchreid_adv.report.matrix import markdown, write_matrix
    from torchreid_adv.report.page import write_page
    from torchreid_adv.runs.grid import transfer
    from torchreid_adv.runs.grid_page import transfer_page

    cells, out = transfer(cfg), Path(cfg.data.save_dir)
    print("\n" + markdown(cells))
    words = f"\nTable: {write_matrix(out, cells)}"
    if cfg.adv.report.page:
        words += f"\nReport: {write_page(out / 'transfer.html', transfer_page(cfg, cells))}"
    return Ended(words)


TRANSFER = Command(
    name="transfer",
    help="attack some models and test others on the adversarial images",
    about="Attack models and test others on the adversarial images.",
    work=_transfer,
    usage=Usage(
        examples=(
            "transfer a=osnet_x1_0:a.pth b=resnet50:b.pth -t market1501 --root reid-data "
            "--attack ifgsm --eps 5",
            "transfer a=osnet_x1_0:a.pth b=resnet50:b.pth -t people.csv adv.transfer.attacked a",
        ),
        writes="Below --out: transfer.html, transfer.md and transfer.json, a picture for each data "
        "set, and each attack's images.",
        time=_GRID_TIME,
        reads=(*RUN, "model.name", "adv.transfer.*"),
        further=VIRTUAL,
    ),
    flags=SEVERAL_ATTACKS,
    models=Models(key="adv.transfer.models", needed=True),
    defaults=(UNIT_FEATURES, ("data.save_dir", "log/transfer")),
).registered()


def _sweep(cfg: AdvConfig, team: Team) -> Ended:
    from torchreid_adv.engines.trained import weights_of
    from torchreid_adv.report.curves import sweep_figures
    from torchreid_adv.report.matrix import markdown, write_matrix
    from torchreid_adv.report.page import write_figures, write_page
    from torchreid_adv.runs.grid import BOUNDS, transfer
    from torchreid_adv.runs.grid_page import sweep_page

    if not cfg.adv.transfer.models:
        cfg.adv.transfer.models = [f"{cfg.model.name}:{weights_of(cfg)}"]
    if not cfg.adv.transfer.eps:
        cfg.adv.transfer.eps = list(BOUNDS)
    cells, out = transfer(cfg), Path(cfg.data.save_dir)
    print("\n" + markdown(cells))
    write_matrix(out, cells)
    figures = sweep_figures(cells)
    write_figures(out, figures)
    words = f"\nCurve: {out / list(figures)[-1]}.png"
    if cfg.adv.report.page:
        words += f"\nReport: {write_page(out / 'sweep.html', sweep_page(cfg, cells, figures))}"
    return Ended(words)


SWEEP = Command(
    name="sweep",
    help="attack one model with several bounds; draw a curve",
    about="Attack one model with several bounds and metrics, and draw the curve.",
    work=_sweep,
    usage=Usage(
        examples=(
            "sweep osnet_x1_0:model.pth.tar-60 -t market1501 --root reid-data",
            "sweep osnet_x1_0:model.pth.tar-60 -t people.csv --attack ifgsm --eps 2 4 8 "
            "adv.transfer.metrics ['euclidean','cosine']",
        ),
        writes="Below --out: sweep.html, the curve as a picture and as JSON, transfer.md and "
        "transfer.json, and each attack's images.",
        time=_GRID_TIME,
        reads=(*RUN, "model.*", "adv.transfer.*"),
        further=VIRTUAL,
    ),
    flags=SEVERAL_ATTACKS,
    models=Models(key="adv.transfer.models", needed=True, enough=TRAINED),
    defaults=(UNIT_FEATURES, ("data.save_dir", "log/sweep")),
).registered()


def _robust_report(cfg: AdvConfig, team: Team) -> Ended:
    """Make a table for each of ``adv.transfer.models``, whose first is the clean network."""
    from torchreid_adv.engines.robust_report import robust_report
    from torchreid_adv.models.specs import parse_models

    specs = parse_models(cfg.adv.transfer.models)
    if not specs:
        raise ConfigError(
            "adv.transfer.models names no model; write ['clean=name:weights', "
            "'label=name:weights', ...], the clean network first"
        )
    path = robust_report(cfg, specs[0].label)
    return Ended(f"\n{path.read_text(encoding='utf-8')}\nReport: {path}")


ROBUST_REPORT = Command(
    name="robust-report",
    help="test checkpoints on clean images and under two attacks",
    about="Test checkpoints on clean images, on images attacked on the clean network (oblivious), "
    "and on images attacked on the checkpoint itself (adaptive).",
    work=_robust_report,
    usage=Usage(
        examples=(
            "robust-report clean=osnet_x1_0:clean.pth robust=osnet_x1_0:robust.pth -t market1501 "
            "--root reid-data",
            "robust-report clean=osnet_x1_0:clean.pth robust=osnet_x1_0:robust.pth -t people.csv "
            "--attack ifgsm pgd --eps 8",
        ),
        writes="Below --out: robustness.md and robustness.json, and each attack's images.",
        time=_GRID_TIME,
        reads=(*RUN, "model.name", "adv.transfer.*"),
        further=VIRTUAL,
    ),
    flags=SEVERAL_ATTACKS,
    models=Models(key="adv.transfer.models", needed=True),
    defaults=(UNIT_FEATURES, ("data.save_dir", "log/robust_report")),
).registered()


def _check_zoo(cfg: AdvConfig) -> None:
    from torchreid_adv import config
    from torchreid_adv.experiments.zoo_models import configured_zoo

    config.setup(cfg)
    configured_zoo(cfg)


def _zoo(cfg: AdvConfig, team: Team) -> Ended:
    """Train and attack the models of ``adv.zoo``; no result counts as an error."""
    from torchreid_adv.experiments.zoo import zoo
    from torchreid_adv.experiments.zoo_models import configured_zoo

    path = zoo(cfg, configured_zoo(cfg))
    words = f"\n{path.read_text(encoding='utf-8')}\nTable: {path}"
    page = path.with_suffix(".html")
    return Ended(f"{words}\nReport: {page}" if page.exists() else words)


ZOO = Command(
    name="zoo",
    help="train several models and measure how robust each is",
    about="Train several models, attack each, and write a table.",
    work=_zoo,
    check=_check_zoo,
    usage=Usage(
        examples=(
            "zoo --config-file configs/zoo.yaml",
            "zoo --config-file configs/zoo.yaml --device cpu --out log/short "
            "train.max_epoch 2 adv.virtual.train_identities 40",
        ),
        writes="Below --out: zoo.html, zoo.md and zoo.json, and the images of each attack; the "
        "models are kept below the data root.",
        time="Five of the six networks of configs/zoo.yaml were trained and attacked in 14 minutes "
        "of one CPU core.",
        reads=(*RUN, *TRAINING, *DEFENSE, "adv.zoo"),
        further=(*VIRTUAL, "training"),
    ),
).registered()


def _scenarios(cfg: AdvConfig, team: Team) -> Ended:
    """Learn what ``adv.scenarios.*`` asks for and fill the four tables.

    Attacks and scores that are already stored are read back, so that the same command continues an
    interrupted run.
    """
    from torchreid_adv.experiments.scenarios import write_scenarios

    return Ended(f"\n{write_scenarios(cfg)}")


SCENARIOS = Command(
    name="scenarios",
    help="learn universal attacks; test them on models and data sets",
    about="Learn universal attacks and test them on other models and data sets.",
    work=_scenarios,
    usage=Usage(
        examples=(
            "scenarios --config-file configs/scenarios.yaml",
            "scenarios --config-file configs/scenarios.yaml --eps 8 adv.scenarios.epochs 2",
        ),
        writes="Below --out: scenarios.html, scenarios.md and scenarios.json with the four tables; "
        "learned attacks are stored and used again.",
        time="Hours on a CPU: each perturbation is learned for adv.scenarios.epochs, then all "
        "test images of each data set are changed and scored by each model.",
        reads=(*RUN, *TRAINING, "adv.scenarios.*", "adv.meta.*", "adv.study.models"),
        further=VIRTUAL,
    ),
    flags=ONE_ATTACK,
).registered()
