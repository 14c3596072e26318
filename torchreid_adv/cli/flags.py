"""Flags and models on the command line, which set config keys."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from yacs.config import CfgNode

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.config.own_sets import place_in
from torchreid_adv.errors import ConfigError, nearest


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A flag that sets a config key.

    Args:
        name: with its dashes, ``--eps``.
        key: dotted.
        metavar: what a help text calls its value.
        help: what it is; the help text adds the key.
        short: a second spelling, such as ``-t``.
        many: it takes one value or more, and the key is a list.
        values: what can be typed -> the value of the key; empty = the value itself is typed.
    """

    name: str
    key: str
    metavar: str
    help: str
    short: str = ""
    many: bool = False
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def dest(self) -> str:
        """Name of its value among the parsed arguments."""
        return self.name.strip("-").replace("-", "_")

    def add_to(self, parser: Any) -> None:
        """Declare it."""
        spelled = [self.short, self.name] if self.short else [self.name]
        about = f"{self.help} ({self.key})"
        parser.add_argument(
            *spelled, metavar=self.metavar, help=about, nargs="+" if self.many else None
        )

    def value_of(self, typed: Any) -> Any:
        """Return what the key is set to.

        Raises:
            ConfigError: it is none of the values that the flag takes.
        """
        if not self.values or not isinstance(typed, str):
            return typed
        if typed.lower() not in self.values:
            raise ConfigError(f"{self.name} takes {' or '.join(self.values)}, got '{typed}'")
        return self.values[typed.lower()]


SOURCES = Flag(
    name="--sources",
    short="-s",
    key="data.sources",
    metavar="NAME",
    help="training data sets",
    many=True,
)
TARGETS = Flag(
    name="--targets",
    short="-t",
    key="data.targets",
    metavar="NAME",
    help="test data sets: names, or your own lists, folders and sequences",
    many=True,
)
TRANSFORMS = Flag(
    name="--transforms",
    key="data.transforms",
    metavar="NAME",
    help="training transforms",
    many=True,
)
ROOT = Flag(name="--root", key="data.root", metavar="DIR", help="folder that holds the data sets")
OUT = Flag(name="--out", key="data.save_dir", metavar="DIR", help="folder to write to")
DEVICE = Flag(
    name="--device",
    key="use_gpu",
    metavar="cpu|cuda",
    help="device of the networks; default: a GPU if there is one",
    values={"cpu": "False", "cuda": "True"},
)
ATTACK = Flag(name="--attack", key="adv.attack.name", metavar="NAME", help="registered attack")
EPS = Flag(name="--eps", key="adv.attack.eps", metavar="LEVELS", help="bound in gray levels of 255")
SIDE = Flag(
    name="--side",
    key="adv.attack.side",
    metavar="gallery|query",
    help="images to attack",
)
SHARD = Flag(
    name="--shard",
    key="adv.job.shard",
    metavar="I/N",
    help="do only share I of N, counted from 0, for job arrays",
)
ATTACKS = Flag(
    name="--attack",
    key="adv.transfer.attacks",
    metavar="NAME",
    help="registered attacks",
    many=True,
)
BOUNDS = Flag(
    name="--eps",
    key="adv.transfer.eps",
    metavar="LEVELS",
    help="bounds in gray levels of 255",
    many=True,
)

STOCK = (SOURCES, TARGETS, TRANSFORMS, ROOT)  # of torchreid's training script
USUAL = (*STOCK, OUT, DEVICE)  # of every command that takes a config
ONE_ATTACK = (*USUAL, ATTACK, EPS, SIDE)
SEVERAL_ATTACKS = (*USUAL, ATTACKS, BOUNDS, SIDE)

ALL_FLAGS = (*SEVERAL_ATTACKS, *ONE_ATTACK, SHARD)

NETWORK = ("model.name", "model.load_weights")
TRAINED = ("model.load_weights", "adv.virtual.train_model")  # name a model, or let it be trained


@dataclass(frozen=True, kw_only=True)
class Models:
    """The models that a command takes in front of its flags, as entries of the models grammar.

    Args:
        key: the list that they are.
        one: the command takes one model only.
        needed: a run without a model is refused before anything is imported.
        enough: other keys that give it one.
        instead: keys that also name a model and must not name a different one.
    """

    key: str
    one: bool = False
    needed: bool = False
    enough: tuple[str, ...] = ()
    instead: tuple[str, ...] = NETWORK

    @property
    def metavar(self) -> str:
        """How a usage line calls them."""
        word = "MODEL" if self.one else "MODEL ..."
        return word if self.needed else f"[{word}]"

    def check(self, command: str, models: Sequence[str], pairs: Mapping[str, Any]) -> None:
        """Refuse several models where one is taken, and a key that names another one.

        Args:
            command: its name.
            models: as they are typed.
            pairs: keys that are typed and their values.

        Raises:
            ConfigError: several models, or a key that names another one.
        """
        if self.one and len(models) > 1:
            raise ConfigError(
                f"'{command}' takes one model, got {' and '.join(map(repr, models))}; 'transfer' "
                f"takes several, and {self.key} \"['A', 'B']\" attacks several together"
            )
        for key in self.instead if models else ():
            if key in pairs and not any(_says(model, key, pairs[key]) for model in models):
                raise ConfigError(
                    f"the model is given twice: '{models[0]}', and {key} {pairs[key]}; leave one "
                    "of them out"
                )

    def require(self, example: str, cfg: AdvConfig) -> None:
        """Refuse a config in which no model is named, nor one to be trained.

        Args:
            example: of a command line that names one, without the program's name.
            cfg: the whole config.

        Raises:
            ConfigError: no model, and none to train.
        """
        if self.needed and not any(lookup(cfg, key) for key in (self.key, *self.enough)):
            name, needed_models = example.split(" ")[0], "a model" if self.one else "models"
            raise ConfigError(
                f"'{name}' needs {needed_models}, for example: torchreid-adv {example} ({self.key})"
            )


def _says(entry: str, key: str, value: str) -> bool:
    """Tell whether an entry says the same as a key of :data:`NETWORK`."""
    head, _, source = entry.partition(":")
    name = head.rpartition("=")[2] if "@" not in head else head.partition("@")[0]
    return value in ((name,) if key == "model.name" else (source, entry))


class Given(NamedTuple):
    """What a flag, or the models, say of a key: the key, its value, and how that is typed."""

    key: str
    value: Any
    spelled: str


def given_by(arguments: argparse.Namespace) -> Iterator[Given]:
    """Yield what the flags and the models of parsed arguments say."""
    for flag in arguments.declared:
        typed = getattr(arguments, flag.dest)
        if typed:
            spelled = f"{flag.short or flag.name} {_shown(typed)}"
            yield Given(flag.key, flag.value_of(typed), spelled)
    if arguments.models:
        yield Given(arguments.takes.key, list(arguments.models), _shown(arguments.models))


def _shown(typed: str | Sequence[str]) -> str:
    return typed if isinstance(typed, str) else " ".join(typed)


def split_models(cfg: AdvConfig, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split words into the models that come first, and what follows from the first flag or key."""
    end = 0
    while end < len(words) and not words[end].startswith("-") and not is_key(cfg, words[end]):
        end += 1
    return list(words[:end]), list(words[end:])


_ABSENT = object()
_SUFFIXES = {"pth", "pt", "pt2", "ckpt", "tar", "onnx", "safetensors", "bin", "pkl", "xml"}


def is_key(cfg: AdvConfig, word: str) -> bool:
    """Tell a config key, alone or as ``KEY=VALUE``, from a model or its file."""
    name, _, value = word.partition("=")
    top, dot, _ = name.partition(".")
    present = lookup(cfg, name, _ABSENT)
    if present is not _ABSENT:
        section = isinstance(present, CfgNode)  # 'train=x:w' is a model, 'adv.zoo {...}' is not
        return not section or bool(dot) or value.startswith("{")
    if dot and lookup(cfg.adv, name, _ABSENT) is not _ABSENT:
        return True  # without its "adv.", which the error then says
    exists = os.path.exists(word)  # False for a name that is too long for a file, too
    return top in cfg and not is_file(word) and ":" not in name and not exists


def is_file(word: str) -> bool:
    """Tell whether a word ends as the files of models do, such as ``model.pth.tar-60``."""
    return bool({part.partition("-")[0] for part in word.lower().split(".")[1:]} & _SUFFIXES)


def split_names(cfg: AdvConfig, values: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what a flag of many values took into names, and what came after them.

    That is a pair ``KEY VALUE``, or a model: a name has no dot and no ``=``, and a colon only where
    it stands for a data set of the user's own.
    """
    end = 0
    while end < len(values) and not _ends_names(cfg, values[end]):
        end += 1
    return list(values[:end]), list(values[end:])


def _ends_names(cfg: AdvConfig, word: str) -> bool:
    """Tell a key or a model from the name of a data set, after which torchreid has a section."""
    if place_in(word) is not None and word.partition("=")[0] == word:
        return False
    if _is_number(word):
        return False
    if any(sign in word for sign in ".=:"):
        return True
    return word in cfg and not isinstance(cfg[word], CfgNode)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def near_flag(name: str, flags: Sequence[str]) -> str:
    """Return ``; did you mean --x?`` for a flag that a command does not have, "" where none is."""
    near = nearest(name.strip("-"), [flag[2:] for flag in flags if flag.startswith("--")])
    return f"; did you mean --{near}?" if near else ""
