"""``torchreid-adv robust-report``: what trained checkpoints hold, oblivious and adaptive."""

from __future__ import annotations

import json
from pathlib import Path

from torchreid_adv.commands.transfer import run_table, transfer
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import write_text
from torchreid_adv.models.specs import parse_models
from torchreid_adv.registry import COMMANDS
from torchreid_adv.report.robust_table import page, robust_tables
from torchreid_adv.version import __version__

SCHEMA = 1
CLEAN, TRAINED = "clean", "trained"  # labels of the report at the end of training


def main(arguments: list[str]) -> int:
    """Make a table for each of ``adv.transfer.models``, whose first is the clean network.

    Raises:
        ConfigError: a model or key that cannot be used.
        DataError: a data set or an image that cannot be used.
    """
    sentence = "Test checkpoints clean, on attacks made on the clean network, and on their own."
    return run_table(arguments, "robust-report", sentence, _write)


def _write(cfg: AdvConfig) -> str:
    specs = parse_models(cfg.adv.transfer.models)
    if not specs:
        raise ConfigError(
            "adv.transfer.models names no model; write ['clean=name:weights', "
            "'label=name:weights', ...], the clean network first"
        )
    path = robust_report(cfg, specs[0].label)
    return f"{path.read_text(encoding='utf-8')}\nReport: {path}"


def robust_report(cfg: AdvConfig, source: str) -> Path:
    """Attack each model of ``adv.transfer.models`` and test it; write robustness.json and .md.

    Args:
        cfg: for the models, ``adv.transfer.attacks``, the data and the evaluation.
        source: label of the clean network, through which oblivious attacks are made; "" = none.

    Returns:
        the page.
    """
    own: AdvConfig = cfg.clone()
    own.adv.report.page = False
    own.adv.transfer.attacked = []
    tables = robust_tables(transfer(own, lambda made, on: made in (source, on)), source)
    facts = {
        target: {table.model: table.to_dict() for table in tables if table.target == target}
        for target in dict.fromkeys(table.target for table in tables)
    }
    content = {"schema": SCHEMA, "version": __version__, "clean": source, "targets": facts}
    out = Path(cfg.data.save_dir)
    write_text(out / "robustness.json", json.dumps(content, indent=1) + "\n")
    write_text(out / "robustness.md", page(tables))
    return out / "robustness.md"


def report_after_training(cfg: AdvConfig, checkpoint: Path, out: Path) -> Path:
    """Report on a checkpoint that was just trained.

    Args:
        cfg: of the training; ``adv.training.report`` names the attacks, ``adv.training.weights``
            the clean network.
        checkpoint: the trained one.
        out: folder of the report.
    """
    own: AdvConfig = cfg.clone()
    models = {TRAINED: str(checkpoint)}
    if cfg.adv.training.weights:
        models = {CLEAN: cfg.adv.training.weights, **models}
    own.adv.transfer.models = [f"{k}={cfg.model.name}:{path}" for k, path in models.items()]
    own.adv.transfer.attacks, own.adv.transfer.tested = list(cfg.adv.training.report), []
    for name in ("eps", "metrics"):
        own.adv.transfer[name] = []
    for name in ("step_size", "steps", "momentum"):  # the attacks' own, for there are several
        own.adv.attack[name] = None
    own.adv.attack.options.clear()
    own.data.save_dir = str(out)
    path = robust_report(own, CLEAN if CLEAN in models else "")
    print(f"\n{path.read_text(encoding='utf-8')}\nReport: {path}")
    return path


# the engine adversarial_training, to the left of this package, finds the job here
COMMANDS.register(
    "robust-report",
    help="test robust checkpoints clean, oblivious and adaptive",
    job=report_after_training,
)(main)
