"""``torchreid-adv train`` and ``start``: torchreid's training script for those who have none.

Flags, config keys, log lines and output folders are those of ``scripts/main.py`` in its repository.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended, make_parser, merged_config, print_config
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import COMMANDS

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


@COMMANDS.register("train", help="train or test a model with torchreid's flags and config")
def train_command(arguments: list[str]) -> int:
    """Train, or test with ``test.evaluate True``; under torchrun, by several processes.

    Training makes itself ready, as it does when Python calls it.

    Raises:
        ConfigError: a flag, key, name or checkpoint that cannot be used.
    """
    parser = make_parser("torchreid-adv train", "Train or test a torchreid model.")
    chosen = parser.parse_args(arguments)
    cfg = merged_config(chosen)
    from torchreid_adv.core.processes import joined
    from torchreid_adv.engines.train import train
    from torchreid_adv.integration.console import only_leader_speaks
    from torchreid_adv.runs.torchreid_checks import check_engine

    check_engine(cfg)
    if chosen.dry_run:
        return print_config(cfg)
    with joined() as team, only_leader_speaks(team):
        train(cfg, team if "RANK" in os.environ else None)
    return 0


def _check_start(cfg: AdvConfig) -> None:
    if not cfg.adv.study.models or not cfg.adv.start.sources:
        raise ConfigError(
            "a start is trained for each of adv.study.models, ['label=name', ...], on the data "
            "sets of adv.start.sources; one of the two is empty"
        )


def _start(cfg: AdvConfig, team: Team) -> Ended:
    """Train what ``adv.start.*`` describes for each of ``adv.study.models``.

    A study does the same by itself. A training that was stopped goes on after its last epoch.
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
    help="train the common start of a study's networks, once",
    about="Train the weights that the networks of a study start from, once.",
    work=_start,
    holds=False,  # what is trained is kept below the data root
    defense=True,
).registered()
