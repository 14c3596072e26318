"""A leaderboard of standard results: read, checked, scored again, written and printed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.errors import (
    PARTIAL,
    AdvError,
    DataError,
    VerificationError,
    printable,
)
from torchreid_adv.experiments.card.board import card_faults, read_columns
from torchreid_adv.experiments.card.content import CARD, read_card
from torchreid_adv.experiments.card.verify import score_card_again
from torchreid_adv.experiments.scoring_again import configured_scorer
from torchreid_adv.runs.originals import Originals
from torchreid_adv.standard import board_lines
from torchreid_adv.standard.board_lines import Result
from torchreid_adv.standard.board_lines import groups as grouped
from torchreid_adv.standard.board_sorts import ROBUST
from torchreid_adv.standard.leaderboard import markdown, write_leaderboard
from torchreid_adv.standard.reading import RESULT, read_result
from torchreid_adv.standard.verify import check_run, score_again

_SHOWN = 3  # faults of a result; the others are counted


def finish(
    out: Path,
    results: Sequence[Result],
    refused: Sequence[str],
    *,
    quarantine: bool,
    by: str = ROBUST,
) -> int:
    """Write and print the leaderboard, then raise an error if a result is wrong."""
    page = write_leaderboard(out, results, refused, by)
    print(markdown(grouped(results, by), refused))
    print(f"Leaderboard: {page}")
    bad = [result for result in results if not result.fits]
    if bad:
        raise VerificationError(
            f"{len(bad)} of {len(results)} results do not match their stored files: "
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
    """Return the results below a folder, and a sentence on each unusable one.

    Raises:
        DataError: there are no results.
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
            content = _read(path)
            results.append(Result(content, place, card=read_columns(path.parent, content)))
        except Exception as error:  # whatever one submission holds, the others are shown
            refused.append(_sentence(error, path))
    return results, refused


def _read(path: Path) -> dict[str, object]:
    if path.is_symlink():
        raise DataError(f"'{path}' is a symbolic link; replace it with the file itself")
    return read_result(path)


def _sentence(error: Exception, place: object) -> str:
    """Return an error as one line."""
    if isinstance(error, AdvError):
        return " ".join(printable(line).strip() for line in str(error).splitlines())
    return printable(f"'{place}' could not be checked ({type(error).__name__}: {error})")[:500]


def verified(
    results: Sequence[Result], folder: Path, originals: Originals, cfg: AdvConfig | None = None
) -> list[Result]:
    """Check the files of results and, if their model is known, score them again.

    Args:
        results: to check.
        folder: that contains them.
        originals: the data sets of their images.
        cfg: names the models; None = files only.
    """
    checked = []
    with progress_bar("verifying results", total=len(results)) as bar:
        for result in results:
            checked.append(_verified(result, folder / result.place, originals, cfg))
            bar.update(1)
    return checked


def _verified(result: Result, folder: Path, originals: Originals, cfg: AdvConfig | None) -> Result:
    try:
        checked = check_run(folder, result.content, originals)
        faults = [*checked.faults, *card_faults(folder, result, originals)]
    except Exception as error:  # whatever one submission holds, the others are shown
        return replace(result, files=board_lines.NO, fault=_sentence(error, folder))
    if faults:
        return replace(result, files=board_lines.NO, fault=_faults(faults, folder))
    if checked.unknown:
        note = f"identities, cameras and sides were not checked: {checked.unknown}"
        result = replace(result, files=board_lines.UNKNOWN, note=note)
    else:
        result = replace(result, files=board_lines.YES)
    return result if cfg is None else _scored(result, folder, originals, cfg)


def _faults(faults: Sequence[str], folder: Path) -> str:
    """Return the first faults of a run, with paths relative to it, and the number of others."""
    shown = [" ".join(fault.replace(f"{folder}/", "").split()) for fault in faults[:_SHOWN]]
    left = len(faults) - len(shown)
    more = [f"and {left} more, which torchreid-adv verify lists"] if left else []
    return "; ".join([*shown, *more])


def _scored(result: Result, folder: Path, originals: Originals, cfg: AdvConfig) -> Result:
    try:
        scorer = configured_scorer(result.content, cfg, originals)
    except AdvError as error:
        return replace(result, note=f"not scored again: {_sentence(error, folder)}")
    try:
        replayed = score_again(folder, result.content, scorer)
    except Exception as error:  # whatever one submission holds, the others are shown
        return replace(result, scored=board_lines.NO, fault=_sentence(error, folder))
    if result.card:
        try:
            card = read_card(folder / CARD)
            score_card_again(folder, card, cfg, scorer, replayed, originals)
        except Exception as error:  # the same
            return replace(result, scored=board_lines.NO, fault=_sentence(error, folder))
    how = board_lines.EXACTLY if replayed.exact else board_lines.CLOSELY
    return replace(result, content=replayed.content, scored=how)
