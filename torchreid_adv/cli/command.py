"""What a command is: flags and config come in, work is done, its last words are printed.

Flags and keys are those of torchreid's training script, so that config files work in both. The
modules of this room import what works inside their functions, because a help text and the sentence
on a wrong flag need none of it, and PyTorch takes seconds to import.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from yacs.config import CfgNode

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.config.own_sets import place_in
from torchreid_adv.config.torchreid_keys import default_config, gpu_is_there
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import COMMANDS

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        words: printed last.
        code: its exit code.
    """

    words: str
    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that takes a config; calling it with arguments returns the exit code.

    Args:
        name: what is typed after ``torchreid-adv``.
        help: its line in the list of commands.
        about: what it does, the first sentence of its own help.
        work: does it, inside :func:`ready`.
        check: refuses a config before anything is read or printed.
        joins: several processes, started by torchrun, share the work.
        shards: ``adv.job.shard`` cuts the work.
        holds: the folder ``data.save_dir`` is held while it works.
        defense: models may stand behind ``adv.defense.name``.
        config_file: taken where the arguments name none.
    """

    name: str
    help: str
    about: str
    work: Callable[[AdvConfig, Team], Ended]
    check: Callable[[AdvConfig], None] | None = None
    joins: bool = False
    shards: bool = False
    holds: bool = True
    defense: bool = False
    config_file: str = ""

    def registered(self) -> Command:
        """Return the command, known by its name from now on."""
        COMMANDS.register(self.name, help=self.help)(self)
        return self

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run the command.

        Raises:
            ConfigError: a flag, key or name that cannot be used.
            DataError: a data set or an image that cannot be used.
        """
        parser = make_parser(f"torchreid-adv {self.name}", self.about)
        parser.set_defaults(config_file=self.config_file, shard="")
        if self.shards:
            parser.add_argument(
                "--shard", default="", metavar="I/N", help="the same as adv.job.shard"
            )
        chosen = parser.parse_args(arguments)
        cfg = merged_config(chosen)
        if chosen.shard:
            cfg.adv.job.shard = chosen.shard
        if self.check is not None:
            self.check(cfg)
        if chosen.dry_run:
            return print_config(cfg)
        self._refuse(cfg)
        with self._ready(cfg) as team:
            ended = self.work(cfg, team)
            print(ended.words)
        return ended.code

    def _refuse(self, cfg: AdvConfig) -> None:
        if cfg.adv.job.shard and not self.shards:
            raise ConfigError(
                f"'{self.name}' cannot be cut into shards; leave adv.job.shard empty, and share it "
                "among processes by torchrun"
                if self.joins
                else f"'{self.name}' is done by one process; leave adv.job.shard empty"
            )
        if cfg.adv.defense.name and not self.defense:
            raise ConfigError(
                f"'{self.name}' attacks and tests models without a defense; leave "
                "adv.defense.name empty, or use attack-gallery"
            )

    @contextlib.contextmanager
    def _ready(self, cfg: AdvConfig) -> Iterator[Team]:
        """Inside the block the config's names are known, and other processes are met."""
        from torchreid_adv.core.alive import heartbeat
        from torchreid_adv.core.lock import working_in
        from torchreid_adv.core.processes import ALONE, joined
        from torchreid_adv.integration.console import only_leader_speaks
        from torchreid_adv.runs.torchreid_checks import ready

        with contextlib.ExitStack() as stack:
            team = stack.enter_context(joined(cfg.adv.job.shard)) if self.joins else ALONE
            stack.enter_context(only_leader_speaks(team))
            stack.enter_context(ready(cfg))
            if self.holds:
                stack.enter_context(working_in(cfg.data.save_dir))
            stack.enter_context(heartbeat(self.name))
            yield team


class Parser(argparse.ArgumentParser):
    """A parser whose errors say how config keys are written."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and a sentence: a flag that does not exist may be meant as a key."""
        flag = re.search(r"unrecognized arguments: .*?(--?[\w-]+)", message)
        if flag:
            message = _not_a_flag(flag[1])
        self.exit(ConfigError.exit_code, f"error: {message} ({self.prog} --help lists the flags)\n")


def _not_a_flag(flag: str) -> str:
    """Return what to write for a flag that does not exist."""
    name = flag.strip("-").replace("-", "_").lower()
    keys = [key for key, _ in config.leaves(default_config(use_gpu=False))]
    keys = sorted((key for key in keys if key.rpartition(".")[2] == name), key=_nearness)
    if not keys:
        return (
            f"there is no flag {flag}; config keys are written without dashes, as pairs KEY VALUE, "
            "after the flags, and torchreid-adv list --keys lists ours"
        )
    others = f", or one of {', '.join(keys[1:])}" if keys[1:] else ""
    return f"there is no flag {flag}; after all flags write the config key: {keys[0]} VALUE{others}"


def _nearness(key: str) -> tuple[bool, int, str]:
    return not key.startswith("adv.attack."), key.count("."), key


def make_parser(prog: str, description: str = "") -> argparse.ArgumentParser:
    """Return a parser of torchreid's flags, then ``KEY VALUE`` pairs."""
    parser = Parser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--config-file", default="", metavar="YAML", help="config file")
    parser.add_argument("-s", "--sources", nargs="+", metavar="NAME", help="training data sets")
    parser.add_argument("-t", "--targets", nargs="+", metavar="NAME", help="test data sets")
    parser.add_argument("--transforms", nargs="+", metavar="NAME", help="training transforms")
    parser.add_argument("--root", default="", help="folder that holds the data sets")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the config as it would be used, and stop"
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config keys and their values"
    )
    return parser


def print_config(cfg: AdvConfig) -> int:
    """Check a config and print it, gray levels also in [0, 1]; return the exit code 0.

    Raises:
        ConfigError: an unknown name or a wrong value.
    """
    from torchreid_adv.runs.torchreid_checks import check_names

    config.setup(cfg)
    check_names(cfg)
    print(*config.resolved_lines(cfg), sep="\n")
    return 0


def merged_config(arguments: argparse.Namespace) -> AdvConfig:
    """Return the standard config with a config file, flags and pairs merged in, in that order.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    cfg = default_config(use_gpu=False)
    if arguments.config_file:
        cfg.merge_from_file(arguments.config_file)
    words = list(arguments.opts)
    flags: list[str] = []
    for name in ("root", "sources", "targets", "transforms"):
        value = getattr(arguments, name)
        if isinstance(value, list):
            value, swallowed = _names(cfg, value)
            words = swallowed + words
        if value:
            flags += [f"data.{name}", value]
    cfg.merge_from_list(flags)
    cfg.merge_from_list(pairs_of(words))
    if not cfg.says("use_gpu"):
        cfg.use_gpu = gpu_is_there()  # what cannot be merged is refused before PyTorch is imported
    from torchreid_adv.runs.torchreid_checks import check

    check(cfg)
    return cfg


def pairs_of(words: Sequence[str]) -> list[str]:
    """Return ``[key, value, key, value...]`` of what follows the flags.

    Args:
        words: keys and their values by turns, or both in one word, ``key=value``.

    Raises:
        ConfigError: a flag among them, or a key without a value.
    """
    pairs: list[str] = []
    rest = list(words)
    while rest:
        key, assigned, value = rest.pop(0).partition("=")
        if key.startswith("-"):
            raise ConfigError(_late(key, pairs))
        if not assigned:
            if not rest:
                raise ConfigError(f"config options come in pairs 'KEY VALUE'; '{key}' has no value")
            value = rest.pop(0)
        pairs += [key, value]
    return pairs


def _late(flag: str, pairs: Sequence[str]) -> str:
    known = make_parser("")._option_string_actions
    if flag in known and pairs:
        return f"flags come before the first key: move '{flag}' before '{pairs[0]}'"
    return _not_a_flag(flag)


def _names(cfg: config.AdvConfig, values: list[str]) -> tuple[list[str], list[str]]:
    """Split what a flag of many values took into names and the pairs that came after them."""
    end = 0
    while end < len(values) and not _is_key(cfg, values[end]):
        end += 1
    return values[:end], values[end:]


def _is_key(cfg: config.AdvConfig, word: str) -> bool:
    """Tell a key from the name of a data set, after which torchreid has a section, too."""
    if place_in(word) is not None and word.partition("=")[0] == word:
        return False
    return "." in word or "=" in word or (word in cfg and not isinstance(cfg[word], CfgNode))
