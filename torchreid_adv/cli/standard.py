"""``torchreid-adv standard``: how robust models are, by one ensemble of attacks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.config import AdvConfig
from torchreid_adv.registry import COMMANDS

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


@COMMANDS.register("standard", help="how robust models are: one ensemble of attacks, one number")
def standard_command(arguments: Sequence[str]) -> int:
    """Evaluate the models that ``adv.standard.*`` names and return 0, whatever comes out.

    Raises:
        ConfigError: a model or key that cannot be used.
        DataError: a data set or an image that cannot be used.
    """
    typed = shlex.join(["torchreid-adv", "standard", *arguments])

    def work(cfg: AdvConfig, team: Team) -> Ended:
        from torchreid_adv.experiments.standard_runs import standard
        from torchreid_adv.standard.page import PAGE

        lines = []
        for path in standard(cfg, typed, team):
            lines.append(f"Result: {path}")
            if cfg.adv.report.page:
                lines.append(f"Report: {path.with_name(PAGE)}")
        return Ended("\n".join(lines))

    return Command(
        name="standard",
        help="",
        about="Evaluate models by the standard ensemble of attacks.",
        work=work,
        joins=True,
        holds=False,  # each model's folder is held while it is worked in
        defense=True,
    )(arguments)
