"""``torchreid-adv leaderboard``: results of the standard evaluation side by side."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv.commands.originals import Originals
from torchreid_adv.commands.score_again import configured_scorer
from torchreid_adv.commands.verify import originals_of
from torchreid_adv.commands.verify_standard import check_run, score_again
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import (
    PARTIAL,
    AdvError,
    ConfigError,
    DataError,
    VerificationError,
    printable,
)
from torchreid_adv.jobs.progress import progress_bar
from torchreid_adv.registry import COMMANDS
from torchreid_adv.report import leaderboard as board
from torchreid_adv.report.leaderboard import Result, markdown, write_leaderboard
from torchreid_adv.report.leaderboard import groups as grouped
from torchreid_adv.standard.reading import RESULT, read_result

_PROG = "torchreid-adv leaderboard"
_SHOWN = 3  # faults of a result; the others are counted


@COMMANDS.register("leaderboard", help="results of the standard evaluation side by side")
def main(arguments: list[str]) -> int:
    """Write the leaderboard of all results below a folder; return 0, or 4 when some were refused.

    Raises:
        ConfigError: a flag or key that cannot be used.
        DataError: no result there; or, without ``--quarantine``, some were refused.
        VerificationError: a result that its images, or its model, do not fit.
    """
    parser = argparse.ArgumentParser(
        _PROG,
        usage=f"{_PROG} FOLDER [--verify] [--score-again] [--root ROOT] [--quarantine] [--out DIR] "
        "[FLAGS AND KEYS OF THE RUNS]",
        description=f"Read every {RESULT} below a folder; write leaderboard.html and .md there. "
        "Three columns say what is known of a result. "
        + " ".join(f"{word.capitalize()}: {said}." for word, said in board.WORDS.items())
        + f" {board.UNSEEN}",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="data.save_dir of standard runs, or above it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write instead")
    parser.add_argument(
        "--verify", action="store_true", help="check the files of every result (files checked)"
    )
    parser.add_argument(
        "--score-again",
        action="store_true",
        help="check the files, and score every result again whose model the flags name "
        "(adv.standard.models, -t...)",
    )
    parser.add_argument("--root", default="", help="data root (reid-data)")
    parser.add_argument(
        "--quarantine", action="store_true", help="end with 4, not 3, where results are refused"
    )
    chosen, flags = parser.parse_known_args(arguments)
    if flags and not (chosen.verify or chosen.score_again):
        raise ConfigError(f"{flags} are flags of runs, for --verify or --score-again; add one")
    if chosen.score_again and not flags:
        raise ConfigError(
            "--score-again needs the models: give the flags of the runs (adv.standard.models, -t)"
        )
    results, refused = read_results(chosen.folder)
    if chosen.verify or chosen.score_again:
        with originals_of(chosen.root, flags, _PROG) as (originals, cfg):
            cfg = cfg if chosen.score_again else None
            results = [*verified(results, chosen.folder, originals, cfg)]
    return _ended(chosen.out or chosen.folder, results, refused, quarantine=chosen.quarantine)


def _ended(
    out: Path, results: Sequence[Result], refused: Sequence[str], *, quarantine: bool
) -> int:
    """Write and print the leaderboard, then say what is wrong, if anything is."""
    page = write_leaderboard(out, results, refused)
    print(markdown(grouped(results), refused))
    print(f"Leaderboard: {page}")
    bad = [result for result in results if not result.fits]
    if bad:
        raise VerificationError(
            f"{len(bad)} of {len(results)} results do not fit what is stored: "
            + ", ".join(printable(result.place) for result in bad)
        )
    if refused and not quarantine:
        raise DataError(
            "\n  ".join([f"{len(refused)} of {len(results) + len(refused)} results:", *refused])
            + "\n  were refused; they are listed below the leaderboard, and --quarantine accepts "
            "that"
        )
    return PARTIAL if refused else 0


def read_results(folder: Path) -> tuple[list[Result], list[str]]:
    """Return the results below a folder, and a sentence on each that cannot be used.

    Raises:
        DataError: there are none at all.
    """
    paths = sorted(path for path in folder.rglob(RESULT) if os.path.lexists(path))
    if not paths:
        raise DataError(
            f"there is no {RESULT} below '{folder}'; run torchreid-adv standard, and give its "
            "data.save_dir"
        )
    results, refused = [], []
    for path in paths:
        try:
            place = path.parent.relative_to(folder).as_posix()
            results.append(Result(_read(path), place))
        except Exception as error:  # whatever one submission holds, the others are shown
            refused.append(_sentence(error, path))
    return results, refused


def _read(path: Path) -> dict[str, object]:
    if path.is_symlink():
        raise DataError(f"'{path}' is a symbolic link; put the file itself there")
    return read_result(path)


def _sentence(error: Exception, place: object) -> str:
    """Return an error as one line."""
    if isinstance(error, AdvError):
        return " ".join(printable(line).strip() for line in str(error).splitlines())
    return printable(f"'{place}' could not be checked ({type(error).__name__}: {error})")[:500]


def verified(
    results: Sequence[Result], folder: Path, originals: Originals, cfg: AdvConfig | None = None
) -> list[Result]:
    """Check the files of results and, where their model is known, score them again.

    Args:
        results: that were read.
        folder: below which they lie.
        originals: the data sets that their images are of.
        cfg: names the models; None = files only.
    """
    found = []
    with progress_bar("verifying results", total=len(results)) as bar:
        for result in results:
            found.append(_verified(result, folder / result.place, originals, cfg))
            bar.update(1)
    return found


def _verified(result: Result, folder: Path, originals: Originals, cfg: AdvConfig | None) -> Result:
    try:
        checked = check_run(folder, result.content, originals)
    except Exception as error:  # whatever one submission holds, the others are shown
        return replace(result, files=board.NO, fault=_sentence(error, folder))
    if checked.faults:
        return replace(result, files=board.NO, fault=_faults(checked.faults, folder))
    if checked.unknown:
        note = f"identities, cameras and sides were not checked: {checked.unknown}"
        result = replace(result, files=board.UNKNOWN, note=note)
    else:
        result = replace(result, files=board.YES)
    return result if cfg is None else _scored(result, folder, originals, cfg)


def _faults(faults: Sequence[str], folder: Path) -> str:
    """Return the first faults of a run, its own folder left out of paths, and how many follow."""
    shown = [" ".join(one.replace(f"{folder}/", "").split()) for one in faults[:_SHOWN]]
    left = len(faults) - len(shown)
    more = [f"and {left} more, which torchreid-adv verify lists"] if left else []
    return "; ".join([*shown, *more])


def _scored(result: Result, folder: Path, originals: Originals, cfg: AdvConfig) -> Result:
    try:
        scorer = configured_scorer(result.content, cfg, originals)
    except AdvError as error:
        return replace(result, note=f"not scored again: {_sentence(error, folder)}")
    try:
        found = score_again(folder, result.content, scorer)
    except Exception as error:  # whatever one submission holds, the others are shown
        return replace(result, scored=board.NO, fault=_sentence(error, folder))
    how = board.EXACTLY if found.exact else board.CLOSELY
    return replace(result, content=found.content, scored=how)
