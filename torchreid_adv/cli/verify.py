"""``torchreid-adv verify``: check stored images against their manifest, originals and result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import make_parser, merged_config
from torchreid_adv.cli.flags import is_file, split_models
from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.config import AdvConfig
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core.files import near_path
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import COMMANDS
from torchreid_adv.runs.promises import UNSEEN

if TYPE_CHECKING:
    from torchreid_adv.runs.originals import Originals

_PROG = "torchreid-adv verify"


USAGE = Usage(
    examples=(
        "verify log/attack --root reid-data",
        "verify log/people -t people.csv",
        "verify log/standard/market1501/mine --root reid-data -t market1501 "
        "adv.standard.models ['mine=osnet_x1_0:model.pth.tar-60']",
    ),
    writes="Nothing; the exit code is 6 if a check fails.",
    time="The time to read every stored image and its original. To score again, the model also "
    "extracts the features of all stored images.",
)


@COMMANDS.register(
    "verify", help="check stored images against manifest, originals and result", usage=USAGE
)
def verify_command(arguments: list[str]) -> int:
    """Verify a folder and return 0.

    A folder that holds ``standard.json`` is a run of the standard evaluation, one that holds
    ``results.json`` a run of attack-gallery. With the flags of the run its model scores the stored
    images again.

    Raises:
        ConfigError: a flag or key that cannot be used, or another model than the run's.
        DataError: there is no whole manifest or result.
        VerificationError: something is not as the manifest or the result says.
    """
    parser = plain_parser(
        "verify",
        USAGE,
        "Files checked: compare every stored image with its original, its bound and "
        "the manifest, and recompute every number that depends on files alone. Scored again: with "
        "the flags of the run, compute its numbers once more from the stored images with its "
        "model. Flags that name a data set and no model, such as -t people.csv, only set which "
        "images the files are compared with. " + UNSEEN,
        usage=f"{_PROG} FOLDER [--root ROOT] [FLAGS AND KEYS OF THE RUN]",
    )
    parser.add_argument(
        "folder", type=Path, help="folder with standard.json, results.json or manifest.jsonl"
    )
    parser.add_argument("--root", default="", help="data root of the originals (reid-data)")
    options, flags = parser.parse_known_args(arguments)
    _check_folder(options.folder)
    _check_flags(options.folder, flags)
    with originals_of(options.root, flags) as (originals, cfg):
        from torchreid_adv.experiments.scoring_again import verified

        print(verified(options.folder, originals, cfg))
    return 0


def _check_folder(folder: Path) -> None:
    """Refuse what is not a folder: a file of a run, a model, a name.

    Raises:
        ConfigError: it says what stands first.
    """
    first = "verify takes the folder of a run first, then the flags of the run"
    if folder.is_file():
        raise ConfigError(f"'{folder}' is a file; {first}, as in: verify {folder.parent}")
    if not folder.exists() and (":" in str(folder) or is_file(str(folder))):
        raise ConfigError(f"'{folder}' is a model; {first}, among them {_as_key(str(folder))}")
    if not folder.is_dir():
        raise ConfigError(f"there is no folder '{folder}'{near_path(str(folder))}; {first}")


def _check_flags(folder: Path, flags: Sequence[str]) -> None:
    """Refuse words that are neither flags nor keys, and a dry run of what writes nothing.

    Raises:
        ConfigError: a second folder, a model, or ``--dry-run``.
    """
    if "--dry-run" in flags:
        raise ConfigError("verify writes nothing and has no dry run; leave --dry-run out")
    words, _ = split_models(default_config(use_gpu=False), flags)
    if words and Path(words[0]).is_dir():
        raise ConfigError(f"verify takes one folder, got '{folder}' and '{words[0]}'")
    if words:
        raise ConfigError(
            f"'{words[0]}' is neither a flag nor a key; a model is named as in the run, by "
            f"{_as_key(words[0])}"
        )


def _as_key(model: str) -> str:
    return f"adv.attack.models \"['{model}']\", or adv.standard.models for a standard result"


@contextlib.contextmanager
def originals_of(
    root: str, flags: Sequence[str], prog: str = _PROG
) -> Iterator[tuple[Originals, AdvConfig | None]]:
    """Give the data sets below a root and, where there are flags, the config that they describe.

    Args:
        root: data root; "" = that of the config, else ``reid-data``.
        flags: flags and keys of runs.
        prog: the command, for its help.

    Raises:
        ConfigError: a flag or key that cannot be used.
    """
    from torchreid_adv.runs.originals import Originals

    if not flags:
        yield Originals(Path(root or "reid-data")), None
        return
    cfg = merged_config(make_parser(prog).parse_args(list(flags)))
    cfg.data.root = root or cfg.data.root
    from torchreid_adv.experiments.scoring_again import configured_originals
    from torchreid_adv.runs.torchreid_checks import ready

    with ready(cfg):
        yield configured_originals(cfg), cfg
