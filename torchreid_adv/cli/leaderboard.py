"""``torchreid-adv leaderboard``: all results of the standard evaluation in one table."""

from __future__ import annotations

from pathlib import Path

from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.cli.verify import originals_of
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import COMMANDS
from torchreid_adv.runs.promises import UNSEEN, WORDS
from torchreid_adv.standard.board_sorts import ROBUST, SORTS

_PROG = "torchreid-adv leaderboard"


USAGE = Usage(
    examples=(
        "leaderboard log/standard",
        "leaderboard log/standard --verify --root reid-data --out log/board",
    ),
    writes="leaderboard.html and leaderboard.md in FOLDER, or in --out.",
    time="Seconds; with --verify every stored image is read, about as long as decoding each twice; "
    "with --score-again each model extracts the features of all stored images once more.",
)


@COMMANDS.register(
    "leaderboard", help="show results of the standard evaluation side by side", usage=USAGE
)
def leaderboard_command(arguments: list[str]) -> int:
    """Write the leaderboard of all results below a folder; return 0, or 4 when some were refused.

    Raises:
        ConfigError: a flag or key that cannot be used.
        DataError: no result there; or, without ``--quarantine``, some were refused.
        VerificationError: a result that its images, or its model, do not fit.
    """
    parser = plain_parser(
        "leaderboard",
        USAGE,
        "Read every standard.json below a folder; write leaderboard.html and .md. "
        "Three columns show how far a result was checked. "
        + " ".join(f"{word.capitalize()}: {meaning}." for word, meaning in WORDS.items())
        + f" {UNSEEN}",
        usage=f"{_PROG} FOLDER [FLAGS] [FLAGS AND KEYS OF THE RUNS]",
    )
    parser.add_argument(
        "folder", type=Path, help="folder with standard runs (their --out, or above)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write to, instead of FOLDER"
    )
    parser.add_argument(
        "--verify", action="store_true", help="check the files of every result (files checked)"
    )
    parser.add_argument(
        "--score-again",
        action="store_true",
        help="also score the results of those models again that the flags name "
        "(adv.standard.models, -t...)",
    )
    parser.add_argument("--root", default="", help="data root (reid-data)")
    parser.add_argument(
        "--quarantine", action="store_true", help="exit with code 4, not 3, if results are refused"
    )
    parser.add_argument(
        "--sort",
        choices=SORTS,
        default=ROBUST,
        help="column that models are ranked by (robust); corrupted, worst-kind and occluded are of "
        "robustness cards",
    )
    options, flags = parser.parse_known_args(arguments)
    if flags and not (options.verify or options.score_again):
        raise ConfigError(f"{flags} are flags of runs, for --verify or --score-again; add one")
    if options.score_again and not flags:
        raise ConfigError(
            "--score-again needs the models: give the flags of the runs (adv.standard.models, -t)"
        )
    from torchreid_adv.experiments.leaderboards import finish, read_results, verified

    results, refused = read_results(options.folder)
    if options.verify or options.score_again:
        with originals_of(options.root, flags, _PROG) as (originals, cfg):
            cfg = cfg if options.score_again else None
            results = [*verified(results, options.folder, originals, cfg)]
    out = options.out or options.folder
    return finish(out, results, refused, quarantine=options.quarantine, by=options.sort)
