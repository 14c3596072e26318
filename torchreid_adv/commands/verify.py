"""``torchreid-adv verify``: hold what is stored against its manifest, originals and result."""

from __future__ import annotations

import argparse
from pathlib import Path

from torchreid_adv.commands import stock_config
from torchreid_adv.commands.score_again import configured_judge
from torchreid_adv.commands.stock_checks import ready
from torchreid_adv.commands.verify_images import verify
from torchreid_adv.commands.verify_standard import verify_run
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import COMMANDS
from torchreid_adv.standard.reading import RESULT, read_result


@COMMANDS.register("verify", help="hold stored images against their manifest, originals, result")
def main(arguments: list[str]) -> int:
    """Verify the folder that is given and return 0.

    A folder that holds ``standard.json`` is a run of the standard evaluation; with the flags of
    that run its model scores the composed images again.

    Raises:
        ConfigError: a flag or key that cannot be used.
        DataError: there is no whole manifest or result.
        VerificationError: something is not as the manifest or the result says.
    """
    parser = argparse.ArgumentParser(
        "torchreid-adv verify",
        usage="torchreid-adv verify FOLDER [--root ROOT] [FLAGS AND KEYS OF THE RUN]",
        description="Decode every stored image and compare it with its original and the manifest. "
        "Of a run of the standard evaluation also hold its result against them, and with the flags "
        "of that run score the images again.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="holds manifest.jsonl or standard.json")
    parser.add_argument("--root", default="", help="data root that originals lie below (reid-data)")
    chosen, flags = parser.parse_known_args(arguments)
    root, result = Path(chosen.root or "reid-data"), chosen.folder / RESULT
    if not result.is_file():
        if flags:
            raise ConfigError(f"'{chosen.folder}' holds no {RESULT}, and only that takes {flags}")
        print(verify(chosen.folder, root))
    elif not flags:
        print(verify_run(chosen.folder, root))
    else:
        print(_again(chosen.folder, chosen.root, flags))
    return 0


def _again(folder: Path, root: str, flags: list[str]) -> str:
    """Verify a run, and score it by the config that its flags describe."""
    parser = stock_config.make_parser("torchreid-adv verify")
    cfg = stock_config.merged_config(parser.parse_args(flags))
    cfg.data.root = root or cfg.data.root
    with ready(cfg):
        judge = configured_judge(read_result(folder / RESULT), cfg)
        return verify_run(folder, Path(cfg.data.root), judge)
