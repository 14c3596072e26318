"""What a command is: flags and config come in, work is done, its last words are printed.

Flags and keys are those of torchreid's training script, so that config files work in both, and
short forms of the usual keys. The modules of this room import what works inside their functions,
because a help text and the sentence on a wrong flag need none of it, and PyTorch takes seconds to
import.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from torchreid_adv import config
from torchreid_adv.cli.flags import (
    ALL_FLAGS,
    ONE_ATTACK,
    SHARD,
    USUAL,
    Flag,
    Models,
    check_once,
    given_by,
    near_flag,
    split_models,
    split_names,
)
from torchreid_adv.cli.usage import Usage, keys_text, models_text
from torchreid_adv.config import AdvConfig
from torchreid_adv.config.torchreid_keys import default_config, gpu_is_there
from torchreid_adv.errors import ConfigError, nearest
from torchreid_adv.registry import COMMANDS

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        words: printed last; "" = nothing.
        code: its exit code.
    """

    words: str = ""
    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that takes a config; calling it with arguments returns the exit code.

    Args:
        name: what is typed after ``torchreid-adv``.
        help: its line in the list of commands.
        about: what it does, the first sentence of its own help.
        work: does it, inside :func:`ready`.
        usage: examples, and what its help says besides the flags.
        flags: that it takes, each for a config key.
        models: that it takes in front of its flags; None = none.
        defaults: keys and their values where neither a file nor the arguments set them.
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
    usage: Usage
    flags: tuple[Flag, ...] = USUAL
    models: Models | None = None
    defaults: tuple[tuple[str, str], ...] = ()
    check: Callable[[AdvConfig], None] | None = None
    joins: bool = False
    shards: bool = False
    holds: bool = True
    defense: bool = False
    config_file: str = ""

    def _check_front(self, cfg: AdvConfig, words: Sequence[str]) -> None:
        """Refuse a model in front of a command that takes none.

        Raises:
            ConfigError: it is so.
        """
        first = split_models(cfg, words[:1])[0]
        known = (*cfg, *(flag.name for flag in self.declared))
        if self.models is None and first and not nearest(first[0].partition(".")[0], known):
            raise ConfigError(
                f"'{self.name}' takes flags, then pairs KEY VALUE, and '{first[0]}' is neither; a "
                "model is named by model.name and its file by model.load_weights"
            )

    def registered(self) -> Command:
        """Return the command, known by its name from now on."""
        COMMANDS.register(self.name, help=self.help, usage=self.usage)(self)
        return self

    @property
    def declared(self) -> tuple[Flag, ...]:
        """All its flags that stand for a key."""
        return (*self.flags, *([SHARD] if self.shards else []))

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return what is typed; an unknown flag ends the process with exit code 2."""
        parser = make_parser(
            f"torchreid-adv {self.name}",
            self.usage.opening(self.about),
            flags=self.declared,
            models=self.models,
            epilog=self.usage.closing() + keys_text(self.usage, self.defaults),
        )
        parser.set_defaults(config_file=self.config_file, command=self)
        return parser.parse_args(arguments)

    def configured(self, arguments: Sequence[str]) -> AdvConfig:
        """Return the config that arguments describe.

        Raises:
            ConfigError: a flag, key, name or model that cannot be used.
        """
        return self._merged(self.parse(arguments), arguments)

    def _merged(self, chosen: argparse.Namespace, arguments: Sequence[str]) -> AdvConfig:
        self._check_front(default_config(use_gpu=False), chosen.opts)
        cfg = merged_config(chosen)
        config.note_command(cfg, ["torchreid-adv", self.name, *arguments])
        return cfg

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run the command.

        Raises:
            ConfigError: a flag, key or name that cannot be used.
            DataError: a data set or an image that cannot be used.
        """
        chosen = self.parse(arguments)
        check_dry(chosen)
        cfg = self._merged(chosen, arguments)
        if self.check is not None:
            self.check(cfg)
        if chosen.dry_run:
            return print_config(cfg, self.models, everything=chosen.all)
        self._refuse(cfg)
        with self._ready(cfg) as team:
            ended = self.work(cfg, team)
            if ended.words:
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
        from torchreid_adv.core.lock import working_in
        from torchreid_adv.core.processes import ALONE, joined
        from torchreid_adv.integration.console import only_leader_speaks
        from torchreid_adv.models.specs import check_entries
        from torchreid_adv.runs.torchreid_checks import ready

        with contextlib.ExitStack() as stack:
            team = stack.enter_context(joined(cfg.adv.job.shard)) if self.joins else ALONE
            stack.enter_context(only_leader_speaks(team))
            stack.enter_context(ready(cfg))
            if self.models is not None:
                check_entries(config.lookup(cfg, self.models.key))
            if self.holds:
                stack.enter_context(working_in(cfg.data.save_dir))
            yield team


class Parser(argparse.ArgumentParser):
    """A parser of models, flags and ``KEY VALUE`` pairs, whose errors say how keys are written."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return what is typed: models may stand before, between and behind the flags."""
        words, models = [*map(str, args or ())], []
        found = namespace or argparse.Namespace()
        takes, tree = self.get_default("takes"), default_config(use_gpu=False)
        while True:
            if takes is not None:
                more, words = split_models(tree, words)
                models += more
            flags_next = bool(words) and words[0].startswith("-")
            super().parse_args(words if flags_next else [], found)
            if not flags_next:
                break
            words = list(found.opts)
            if takes is None:
                break
        found.opts, found.models = words, models
        return found

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and a sentence: a flag that does not exist may be meant as a key."""
        flag = re.search(r"unrecognized arguments: .*?(--?[\w-]+)", message)
        if flag:
            known = tuple(self._option_string_actions)
            message = _not_a_flag(flag[1], known, self.get_default("command"))
        self.exit(ConfigError.exit_code, f"error: {message} ({self.prog} --help lists the flags)\n")


def _not_a_flag(flag: str, known: Sequence[str] = (), command: Command | None = None) -> str:
    """Return what to write for a flag that does not exist: a near one, or a key that is read."""
    near = near_flag(flag, known)
    if near:
        return f"there is no flag {flag}{near}"
    if command is not None and any(flag in (one.name, one.short) for one in ALL_FLAGS):
        return f"'{command.name}' has no flag {flag}"
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


def make_parser(
    prog: str,
    description: str = "",
    *,
    flags: Sequence[Flag] = ONE_ATTACK,
    models: Models | None = None,
    epilog: str = "",
) -> Parser:
    """Return a parser of models, flags, then ``KEY VALUE`` pairs.

    Args:
        prog: what is typed in front of them.
        description: first sentence of the help text.
        flags: that stand for a key, besides ``--config-file``, ``--dry-run`` and ``--all``.
        models: that stand in front; None = none.
        epilog: last paragraphs of the help text.
    """
    words = [prog, *([models.metavar] if models else []), "[FLAGS] [KEY VALUE ...]"]
    parser = Parser(
        prog=prog,
        usage=" ".join(words),
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(declared=tuple(flags), takes=models)
    if models is not None:
        parser.add_argument_group("models", models_text(models))
    parser.add_argument("--config-file", default="", metavar="YAML", help="config file")
    for flag in flags:
        flag.add_to(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the config, print what differs from the defaults, as a config file, and stop",
    )
    parser.add_argument("--all", action="store_true", help="with --dry-run: print every key")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config keys and their values"
    )
    return parser


def check_dry(arguments: argparse.Namespace) -> None:
    """Refuse ``--all`` by itself.

    Raises:
        ConfigError: it is so.
    """
    if arguments.all and not arguments.dry_run:
        raise ConfigError("--all belongs to --dry-run, which prints the config; add --dry-run")


def print_config(cfg: AdvConfig, models: Models | None = None, *, everything: bool = False) -> int:
    """Check a config and print it as a config file; return the exit code 0.

    Args:
        cfg: the whole config.
        models: where it names models, which are checked as far as their names go.
        everything: print every key, and not only what differs from the defaults.

    Raises:
        ConfigError: an unknown name or a wrong value.
    """
    from torchreid_adv.models.specs import check_entries
    from torchreid_adv.runs.torchreid_checks import check_names

    config.setup(cfg)
    check_names(cfg)
    if models is not None:
        check_entries(config.lookup(cfg, models.key))
    default = default_config(use_gpu=gpu_is_there())
    print(config.as_file(cfg, None if everything else default))
    return 0


def merged_config(arguments: argparse.Namespace) -> AdvConfig:
    """Return the standard config with a command's defaults, a file, flags and pairs merged in.

    They are merged in that order, the last one wins.

    Raises:
        ConfigError: an unknown key, a value of a wrong type, or one key given twice.
    """
    cfg = default_config(use_gpu=False)
    command: Command | None = getattr(arguments, "command", None)
    for pair in command.defaults if command else ():
        cfg.merge_from_list([*pair])
    if arguments.config_file:
        cfg.merge_from_file(arguments.config_file)
    words = _take_names(cfg, arguments) + list(arguments.opts)
    pairs, given = pairs_of(words, arguments.declared), [*given_by(arguments)]
    if arguments.takes is not None:
        named = dict(zip(pairs[::2], pairs[1::2], strict=True))
        arguments.takes.check(command.name if command else "", arguments.models, named)
    check_once(cfg, given, pairs)
    for key, value, _ in given:
        cfg.merge_from_list([key, value])
    cfg.merge_from_list(pairs)
    if arguments.takes is not None:
        arguments.takes.require(command.name if command else "", cfg)
    if not cfg.says("use_gpu"):
        cfg.use_gpu = gpu_is_there()  # what cannot be merged is refused before PyTorch is imported
    from torchreid_adv.runs.torchreid_checks import check

    check(cfg)
    return cfg


def _take_names(cfg: AdvConfig, arguments: argparse.Namespace) -> list[str]:
    """Leave names to the flags of many values; return the pairs that they took besides.

    Models among what they took go to the models.
    """
    words: list[str] = []
    for flag in arguments.declared:
        typed = getattr(arguments, flag.dest)
        if flag.many and typed:
            names, behind = split_names(cfg, typed)
            setattr(arguments, flag.dest, names)
            if arguments.takes is not None:
                models, behind = split_models(cfg, behind)
                arguments.models += models
            words += behind
    return words


def pairs_of(words: Sequence[str], flags: Sequence[Flag] = ()) -> list[str]:
    """Return ``[key, value, key, value...]`` of what follows the flags.

    Args:
        words: keys and their values by turns, or both in one word, ``key=value``.
        flags: that could have come before.

    Raises:
        ConfigError: a flag among them, or a key without a value.
    """
    pairs: list[str] = []
    rest = list(words)
    while rest:
        key, assigned, value = rest.pop(0).partition("=")
        if key.startswith("-"):
            raise ConfigError(_late(key, pairs, flags))
        if not assigned:
            if not rest:
                raise ConfigError(f"config options come in pairs 'KEY VALUE'; '{key}' has no value")
            value = rest.pop(0)
        pairs += [key, value]
    return pairs


def _late(flag: str, pairs: Sequence[str], flags: Sequence[Flag]) -> str:
    known = make_parser("", flags=flags)._option_string_actions
    if flag in known and pairs:
        return f"flags come before the first key: move '{flag}' before '{pairs[0]}'"
    return _not_a_flag(flag, tuple(known))
