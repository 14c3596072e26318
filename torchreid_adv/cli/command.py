"""What a command is: flags and config come in, work is done, its last words are printed.

Flags and keys are those of torchreid's training script, so that config files work in both, and
short forms of the usual keys. The modules of this room import what works inside their functions,
because a help text and the sentence on a wrong flag need none of it, and PyTorch takes seconds to
import.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchreid_adv import config
from torchreid_adv.cli.flags import SHARD, USUAL, Flag, Models
from torchreid_adv.cli.help_text import Usage, keys_text
from torchreid_adv.cli.index import index
from torchreid_adv.cli.parser import (
    check_dry,
    make_parser,
    merged_config,
    pairs_of,
    print_config,
)
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import COMMANDS, as_written

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team

__all__ = ["Command", "Ended", "make_parser", "merged_config", "pairs_of", "print_config"]


_TYPED: ContextVar[str] = ContextVar("typed", default="")


def typed() -> str:
    """Return the command line whose work is done now, "" outside of one."""
    return _TYPED.get()


@contextlib.contextmanager
def _typed(words: Sequence[str]) -> Iterator[None]:
    token = _TYPED.set(shlex.join(words))
    try:
        yield
    finally:
        _TYPED.reset(token)


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
        name: the word after ``torchreid-adv``.
        help: its line in the list of commands.
        about: what it does, the first sentence of its help text.
        work: does it, inside :func:`ready`.
        usage: examples and the rest of its help text, without the flags.
        flags: its flags, each for a config key.
        models: that it takes in front of its flags; None = none.
        defaults: keys and their values where neither a file nor the arguments set them.
        check: refuses a config before anything is read or printed.
        joins: several processes, started by torchrun, share the work.
        shards: ``adv.job.shard`` cuts the work.
        holds: the folder ``data.save_dir`` is held while it works.
        defense: the models can be defended by ``adv.defense.name``.
        config_file: taken where the arguments name none.
        recipes: ``--recipe`` names a training that comes with the package.
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
    recipes: bool = False

    def registered(self) -> Command:
        """Return the command, known by its name from now on."""
        COMMANDS.register(self.name, help=self.help, usage=self.usage)(self)
        return self

    @property
    def declared(self) -> tuple[Flag, ...]:
        """All its flags that stand for a key."""
        return (*self.flags, *([SHARD] if self.shards else []))

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments; an unknown flag ends the process with exit code 2."""
        parser = make_parser(
            f"torchreid-adv {self.name}",
            self.usage.opening(self.about),
            flags=self.declared,
            models=self.models,
            epilog=self.usage.closing() + keys_text(self.usage, self.defaults),
            recipes=self.recipes,
        )
        example = self.usage.examples[0]
        parser.set_defaults(config_file=self.config_file, name=self.name, example=example)
        parser.set_defaults(defaults=self.defaults)
        return parser.parse_args(arguments)

    def configured(self, arguments: Sequence[str]) -> AdvConfig:
        """Return the config that arguments describe.

        Raises:
            ConfigError: a flag, key, name or model that cannot be used.
        """
        return merged_config(self.parse(arguments))

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run the command.

        Raises:
            ConfigError: a flag, key or name that cannot be used.
            DataError: a data set or an image that cannot be used.
        """
        options = self.parse(arguments)
        check_dry(options)
        if options.dry_run:
            with as_written(index()):
                cfg = self._checked(options)
                return print_config(cfg, options.models, everything=options.all)
        cfg = self._checked(options)
        self._refuse(cfg)
        with self._ready(cfg) as team, _typed(["torchreid-adv", self.name, *arguments]):
            ended = self.work(cfg, team)
            if ended.words:
                print(ended.words)
        return ended.code

    def _checked(self, options: argparse.Namespace) -> AdvConfig:
        cfg = merged_config(options)
        if self.check is not None:
            self.check(cfg)
        return cfg

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
        from torchreid_adv.core.speaking import heartbeat
        from torchreid_adv.integration.console import only_leader_speaks
        from torchreid_adv.models.specs import check_entries, parse_models
        from torchreid_adv.runs.torchreid_checks import ready

        with contextlib.ExitStack() as stack:
            team = stack.enter_context(joined(cfg.adv.job.shard)) if self.joins else ALONE
            stack.enter_context(only_leader_speaks(team))
            stack.enter_context(ready(cfg))
            if self.models is not None:
                models = config.lookup(cfg, self.models.key)
                check_entries(models)
                parse_models(models, trained=None)
            if self.holds:
                stack.enter_context(working_in(cfg.data.save_dir))
            stack.enter_context(heartbeat(self.name))
            yield team
