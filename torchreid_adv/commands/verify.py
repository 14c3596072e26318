"""``torchreid-adv verify``: check what is stored against its manifest, originals and result."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from torchreid_adv.commands import stock_config
from torchreid_adv.commands.attack_gallery import weights_of
from torchreid_adv.commands.originals import Originals
from torchreid_adv.commands.score_again import configured_originals, configured_scorer
from torchreid_adv.commands.stock_checks import ready
from torchreid_adv.commands.verify_images import UNSEEN, verify
from torchreid_adv.commands.verify_results import RESULTS, configured_replay, verify_results
from torchreid_adv.commands.verify_standard import verify_run
from torchreid_adv.config import AdvConfig
from torchreid_adv.models.kernels import threads
from torchreid_adv.registry import COMMANDS
from torchreid_adv.standard.reading import RESULT, read_result


@COMMANDS.register("verify", help="check stored images against manifest, originals and result")
def main(arguments: list[str]) -> int:
    """Verify the folder that is given and return 0.

    A folder that holds ``standard.json`` is a run of the standard evaluation, one that holds
    ``results.json`` a run of attack-gallery. With the flags of the run its model scores the stored
    images again.

    Raises:
        ConfigError: a flag or key that cannot be used, or another model than the run's.
        DataError: there is no whole manifest or result.
        VerificationError: something is not as the manifest or the result says.
    """
    parser = argparse.ArgumentParser(
        "torchreid-adv verify",
        usage="torchreid-adv verify FOLDER [--root ROOT] [FLAGS AND KEYS OF THE RUN]",
        description="Files checked: compare every stored image with its original, its bound and "
        "the manifest, and every number that files tell. Scored again: with the flags of the run, "
        "compute its numbers once more from the stored images with its model. " + UNSEEN,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help=f"holds {RESULT}, {RESULTS} or manifest.jsonl")
    parser.add_argument("--root", default="", help="data root that originals lie below (reid-data)")
    chosen, flags = parser.parse_known_args(arguments)
    with originals_of(chosen.root, flags) as (originals, cfg):
        print(_verified(chosen.folder, originals, cfg))
    return 0


def _verified(folder: Path, originals: Originals, cfg: AdvConfig | None) -> str:
    """Return what was found right of a folder; scored again by a config, where there is one."""
    if (folder / RESULT).is_file():
        result = read_result(folder / RESULT)
        scorer = None if cfg is None else configured_scorer(result, cfg, originals)
        return verify_run(folder, originals.root, scorer, originals=originals)
    if (folder / RESULTS).is_file():
        scored = None if cfg is None else configured_replay(cfg, originals, weights_of)
        return verify_results(folder, originals, scored)
    return verify(folder, originals.root, originals)


@contextlib.contextmanager
def originals_of(
    root: str, flags: Sequence[str], prog: str = "torchreid-adv verify"
) -> Iterator[tuple[Originals, AdvConfig | None]]:
    """Give the data sets below a root and, where there are flags, the config that they describe.

    Args:
        root: data root; "" = that of the config, else ``reid-data``.
        flags: flags and keys of runs.
        prog: the command, for its help.

    Raises:
        ConfigError: a flag or key that cannot be used.
    """
    if not flags:
        yield Originals(Path(root or "reid-data")), None
        return
    cfg = stock_config.merged_config(stock_config.make_parser(prog).parse_args(list(flags)))
    cfg.data.root = root or cfg.data.root
    with ready(cfg), threads(cfg.adv.job.threads):
        yield configured_originals(cfg), cfg
