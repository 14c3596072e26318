"""``torchreid-adv study NAME`` and ``reproduce NAME``: the papers' claims and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.cli.index import entries_of
from torchreid_adv.cli.reads import DEFENSE, ENGINES, RUN, TRAINING
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import (
    COMMANDS,
    REPRODUCTIONS,
    STUDIES,
    Registry,
    current_name,
    same_name,
    unknown,
)

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team

_HELP = (["-h"], ["--help"])
_LIST = ("--list", "-l")


STUDY = Usage(
    examples=(
        "study attacks --config-file configs/study/attacks.yaml",
        "study selection --config-file configs/study/selection.yaml adv.study.seeds [1]",
    ),
    writes="Below --out, after every seed: study.html, study.md, study.json and pictures; models "
    "are stored below the data root and reused.",
    time="Hours on a CPU: for each seed of adv.study.seeds every network is trained and attacked. "
    "docs/studies.md says how long each study took.",
    reads=(*RUN, *TRAINING, *DEFENSE, "adv.study.*"),
    further=("start", *ENGINES[1:]),
)
REPRODUCTION = Usage(
    examples=(
        "reproduce --list",
        "reproduce bai2019.table2 --config-file configs/reproduce.yaml",
    ),
    writes="Below --out: NAME.html, NAME.md and NAME.json, with our numbers next to the paper's, "
    "and each attack's images.",
    time="The time of the table's attacks; docs/reproduction.md lists these for each table.",
    reads=(*RUN, "model.*", *DEFENSE, "adv.transfer.models"),
    further=ENGINES[1:],
)


@COMMANDS.register(
    "study", help="train models with several seeds and test the papers' claims", usage=STUDY
)
def study_command(arguments: list[str]) -> int:
    """Run a registered study and return 0, whatever it shows.

    Models are kept below the data root and stored images below ``data.save_dir``, so that the same
    command continues an interrupted study, and prints the stored result of a finished one.

    Raises:
        ConfigError: no or an unknown study, a key or model that cannot be used.
    """
    if arguments[:1] in _HELP:
        arguments = ["NAME", *arguments]
    elif not arguments or arguments[0].startswith("-"):
        raise ConfigError(f"name a study: {', '.join(entries_of(STUDIES))}")
    else:
        _known(STUDIES, arguments[0])
    name, *flags = arguments

    def work(cfg: AdvConfig, team: Team) -> Ended:
        from torchreid_adv.experiments.study import run_study

        path = run_study(cfg, name, STUDIES.get(name))
        words = f"\n{path.read_text(encoding='utf-8')}\nTable: {path}"
        page = f"\nReport: {path.with_suffix('.html')}" if cfg.adv.report.page else ""
        return Ended(words + page)

    return Command(
        name=f"study {name}",
        help="",
        about=f"Train models with several seeds and test the papers' claims. NAME: "
        f"{', '.join(entries_of(STUDIES))}.",
        work=work,
        usage=STUDY,
        defense=True,  # refused by the study itself, which sets its own
    )(flags)


@COMMANDS.register(
    "reproduce", help="run a paper's table and print our numbers next to it", usage=REPRODUCTION
)
def reproduce_command(arguments: list[str]) -> int:
    """Reproduce the table that comes first on the command line, or list them; return 0.

    Raises:
        ConfigError: an unknown table, no model of it, or a key that is not the table's.
        DataError: a data set or an image that cannot be used.
    """
    if not arguments or arguments[0] in _LIST:
        print(listed())
        return 0
    name, *flags = current_name(arguments[0]), *arguments[1:]
    if name in ("-h", "--help"):
        name, flags = "NAME", [name]
    elif name.startswith("-"):
        raise ConfigError(
            "the name of a table comes first: torchreid-adv reproduce NAME [FLAGS] "
            "[KEY VALUE ...]; torchreid-adv reproduce --list shows the names"
        )
    else:
        _known(REPRODUCTIONS, name)

    def work(cfg: AdvConfig, team: Team) -> Ended:
        from torchreid_adv.experiments.reproduce import write_reproduction

        return Ended(f"\n{write_reproduction(cfg, name)}")

    return Command(
        name=f"reproduce {name}",
        help="",
        about="Run the attacks of a paper's table on your data and models (--list: the tables).",
        work=work,
        usage=REPRODUCTION,
    )(flags)


def _known(registry: Registry, name: str) -> None:
    """Refuse a name that is not registered, without importing what is registered."""
    known = entries_of(registry)
    if same_name(name, known) is None:
        raise unknown(registry.kind, name, list(known))


def listed() -> str:
    """Return the names of the tables, each with what it shows."""
    lines = [f"  {name:<24}{entry['about']}" for name, entry in entries_of(REPRODUCTIONS).items()]
    return "\n".join(["tables and figures (torchreid-adv reproduce NAME ...):", *lines])
