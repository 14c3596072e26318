"""``torchreid-adv leaderboard``: results of the standard evaluation side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv.commands.verify_standard import verify_run
from torchreid_adv.errors import PARTIAL, AdvError, DataError, VerificationError
from torchreid_adv.jobs.progress import progress_bar
from torchreid_adv.registry import COMMANDS
from torchreid_adv.report.leaderboard import DIFFERS, FITS, Result, markdown, write_leaderboard
from torchreid_adv.report.leaderboard import groups as grouped
from torchreid_adv.standard.reading import RESULT, read_result


@COMMANDS.register("leaderboard", help="results of the standard evaluation side by side")
def main(arguments: list[str]) -> int:
    """Write the leaderboard of all results below a folder; return 0, or 4 when some were left out.

    Raises:
        DataError: no result there, or one that is broken, newer, or changed by hand.
        VerificationError: with ``--verify``, a result that its images do not fit.
    """
    parser = argparse.ArgumentParser(
        "torchreid-adv leaderboard",
        description=f"Read every {RESULT} below a folder; write leaderboard.html and .md there.",
    )
    parser.add_argument("folder", type=Path, help="data.save_dir of standard runs, or above it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write instead")
    parser.add_argument(
        "--verify", action="store_true", help="hold every result against its stored images"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("reid-data"), help="data root, for --verify"
    )
    parser.add_argument(
        "--quarantine", action="store_true", help="leave out results that cannot be used"
    )
    chosen = parser.parse_args(arguments)
    results, refused = read_results(chosen.folder)
    if refused and not chosen.quarantine:
        raise DataError(
            "\n  ".join([f"{len(refused)} of {len(results) + len(refused)} results:", *refused])
            + "\n  --quarantine leaves them out"
        )
    if chosen.verify:
        results = verified(results, chosen.folder, chosen.root)
    page = write_leaderboard(chosen.out or chosen.folder, results, refused)
    print(markdown(grouped(results), refused))
    print(f"Leaderboard: {page}")
    bad = [result for result in results if result.verified == DIFFERS]
    if bad:
        raise VerificationError(
            f"{len(bad)} of {len(results)} results do not fit what is stored: "
            + ", ".join(result.place for result in bad)
        )
    return PARTIAL if refused else 0


def read_results(folder: Path) -> tuple[list[Result], list[str]]:
    """Return the results below a folder, and a sentence on each that cannot be used.

    Raises:
        DataError: there are none at all.
    """
    paths = sorted(path for path in folder.rglob(RESULT) if path.is_file())
    if not paths:
        raise DataError(
            f"there is no {RESULT} below '{folder}'; run torchreid-adv standard, and give its "
            "data.save_dir"
        )
    results, refused = [], []
    for path in paths:
        try:
            place = path.parent.relative_to(folder).as_posix()
            results.append(Result(read_result(path), place))
        except DataError as error:
            refused.append(str(error))
    return results, refused


def verified(results: Sequence[Result], folder: Path, root: Path) -> list[Result]:
    """Hold results against their stored images, and mark them.

    Args:
        results: that were read.
        folder: below which they lie.
        root: data root, below which the originals lie.
    """
    found = []
    with progress_bar("verifying results", total=len(results)) as bar:
        for result in results:
            try:
                verify_run(folder / result.place, root)
                found.append(replace(result, verified=FITS))
            except AdvError as error:
                found.append(replace(result, verified=DIFFERS, fault=" ".join(str(error).split())))
            bar.update(1)
    return found
