"""The commands of a page as a story: ours, in its order, each whole."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import short_forms
from pages import PAGES, commands, inline

from torchreid_adv import config
from torchreid_adv.cli import command as stock_config
from torchreid_adv.registry import COMMANDS

NAMED = ("reproduce", "study")  # whose first word is no flag
PLAIN = ("compare", "leaderboard", "list", "verify")  # which take keys after a config file only


@dataclass(frozen=True)
class Command:
    """A command of ours: its name and its words as the page has them, and who is to run it."""

    words: tuple[str, ...]
    script: str = ""  # of tools/
    team: bool = False  # by torchrun

    @property
    def name(self):
        return self.words[0]

    @property
    def short(self):
        """The same words, and those that shrink it."""
        if self.name in PLAIN and "--config-file" not in self.words:
            return self.words
        return (*self.words, *short_forms.pairs(self.words))

    @property
    def config(self):
        """The config that the page's own words give."""
        command, words = COMMANDS.get(self.name), self.words[1 + (self.name in NAMED) :]
        if isinstance(command, stock_config.Command):
            cfg = command.configured(words)
        else:
            parser = stock_config.make_parser(self.name)
            cfg = stock_config.merged_config(parser.parse_args(words))
        config.forget()
        return cfg

    @property
    def out(self):
        return Path(self.config.data.save_dir)


def ours(line):
    """Return a command of ours, None for another program."""
    words = shlex.split(line)
    program = Path(words[0]).name
    if program == "torchreid-adv":
        return Command(tuple(words[1:]))
    places = [n for n, word in enumerate(words) if word.startswith("tools/")]
    if not places:
        return None
    name = Path(words[places[0]]).stem.replace("_", "-")
    rest = words[places[0] + 1 :]
    return Command((name, *rest), words[places[0]], program == "torchrun")


def story(page):
    """Return the commands of a page, blocks first, with what they leave out, shards written out."""
    (path,) = [path for path in PAGES if path.stem == page]
    found, whole = [], ()
    for command in filter(None, map(ours, [*commands(path), *inline(path)])):
        if "..." in command.words:  # as the command before, which is whole
            place = command.words.index("--config-file")
            command = replace(command, words=(*command.words[:place], *whole[1:]))
        else:
            whole = command.words
        found += shards(command)
    return found


def shards(command):
    """Return the commands of all jobs of an array of which a page shows the first."""
    if "--shard" not in command.words:
        return [command]
    place = command.words.index("--shard") + 1
    first, count = command.words[place].split("/")
    assert first == "0"
    parts = [f"{number}/{count}" for number in range(int(count))]
    before, after = command.words[:place], command.words[place + 1 :]
    return [replace(command, words=(*before, part, *after)) for part in parts]
