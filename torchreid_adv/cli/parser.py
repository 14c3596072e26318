"""The arguments of a command as a config: models, flags, then pairs ``KEY VALUE``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from torchreid_adv import config
from torchreid_adv.cli.flags import (
    ALL_FLAGS,
    ONE_ATTACK,
    STOCK,
    Flag,
    Given,
    Models,
    given_by,
    is_file,
    near_flag,
    split_models,
    split_names,
)
from torchreid_adv.cli.help_text import models_text
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.config.examples import recipe_file
from torchreid_adv.config.torchreid_keys import default_config, gpu_is_there
from torchreid_adv.config.values import coerce, shown
from torchreid_adv.errors import ConfigError, nearest


class Parser(argparse.ArgumentParser):
    """A parser of models, flags and ``KEY VALUE`` pairs; its errors say how to write a key."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the parsed arguments: models may come before, between and after the flags."""
        words, models = [*map(str, args or ())], []
        parsed = namespace or argparse.Namespace()
        takes, tree = self.get_default("takes"), default_config(use_gpu=False)
        while True:
            if takes is not None:
                more, words = split_models(tree, words)
                models += more
            flags_next = bool(words) and words[0].startswith("-")
            super().parse_args(words if flags_next else [], parsed)
            if not flags_next:
                break
            words = list(parsed.opts)
            if takes is None:
                break
        parsed.opts, parsed.models = words, models
        return parsed

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and a sentence: a flag that does not exist may be meant as a key."""
        flag = re.search(r"unrecognized arguments: .*?(--?[\w-]+)", message)
        if flag:
            known = tuple(self._option_string_actions)
            message = _not_a_flag(flag[1], known, self.get_default("name"))
        self.exit(ConfigError.exit_code, f"error: {message} ({self.prog} --help lists the flags)\n")


def _not_a_flag(flag: str, known: Sequence[str] = (), command: str = "") -> str:
    """Return what to write for a flag that does not exist: a near one, or a key of that name."""
    near = near_flag(flag, known)
    if near:
        return f"there is no flag {flag}{near}"
    if command and any(flag in (known_flag.name, known_flag.short) for known_flag in ALL_FLAGS):
        return f"'{command}' has no flag {flag}"
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
    recipes: bool = False,
) -> Parser:
    """Return a parser of models, flags, then ``KEY VALUE`` pairs.

    Args:
        prog: the program and command.
        description: first sentence of the help text.
        flags: flags that set a key; ``--config-file``, ``--dry-run`` and ``--all`` are added.
        models: the models that come first; None = the command takes none.
        epilog: last paragraphs of the help text.
        recipes: add the flag ``--recipe``.
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
    parser.set_defaults(declared=tuple(flags), takes=models, name="", example="", defaults=())
    if models is not None:
        parser.add_argument_group("models", models_text(models))
    parser.add_argument("--config-file", default="", metavar="YAML", help="config file")
    parser.set_defaults(recipe="")
    if recipes:
        about = "a training that comes with the package: a config file of configs/recipe"
        parser.add_argument("--recipe", metavar="NAME", help=about)
    for flag in flags:
        flag.add_to(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the config, print the settings that differ from the defaults, and stop",
    )
    parser.add_argument("--all", action="store_true", help="with --dry-run: print every key")
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="config keys and values, such as adv.attack.steps 10",
    )
    return parser


def check_dry(arguments: argparse.Namespace) -> None:
    """Refuse ``--all`` without ``--dry-run``.

    Raises:
        ConfigError: ``--all`` alone.
    """
    if arguments.all and not arguments.dry_run:
        raise ConfigError("--all belongs to --dry-run, which prints the config; add --dry-run")


def print_config(cfg: AdvConfig, models: Sequence[str] = (), *, everything: bool = False) -> int:
    """Check a config and print it as a config file; return the exit code 0.

    Args:
        cfg: the whole config.
        models: that were typed, whose names and files are checked.
        everything: print every key, and not only what differs from the defaults.

    Raises:
        ConfigError: an unknown name, a wrong value, or a missing file of a model.
    """
    from torchreid_adv.models.specs import check_entries
    from torchreid_adv.runs.torchreid_checks import check_names

    config.setup(cfg)
    check_names(cfg)
    check_entries(models)
    default = default_config(use_gpu=cfg.use_gpu)
    if cfg.says("use_gpu"):
        del default["use_gpu"]  # True on some machines: printed as it is set
    print(config.as_file(cfg, None if everything else default))
    return 0


def merged_config(arguments: argparse.Namespace) -> AdvConfig:
    """Return the standard config with a command's defaults, a file, flags and pairs merged in.

    They are merged in that order, the last one wins.

    Raises:
        ConfigError: an unknown key, a value of a wrong type, or one key given twice.
    """
    cfg = default_config(use_gpu=False)
    _check_front(cfg, arguments)
    for pair in arguments.defaults:
        cfg.merge_from_list([*pair])
    config_file = _config_file(arguments)
    if config_file:
        cfg.merge_from_file(config_file)
    words = _take_names(cfg, arguments) + list(arguments.opts)
    pairs, by_flag = pairs_of(words, arguments.declared), [*given_by(arguments)]
    if arguments.takes is not None:
        named = dict(zip(pairs[::2], pairs[1::2], strict=True))
        arguments.takes.check(arguments.name, arguments.models, named)
    _check_once(cfg, by_flag, pairs)
    for key, value, _ in by_flag:
        cfg.merge_from_list([key, value])
    cfg.merge_from_list(pairs)
    if arguments.takes is not None:
        arguments.takes.require(arguments.example, cfg)
    if not cfg.says("use_gpu") and (arguments.all or not arguments.dry_run):
        cfg.use_gpu = gpu_is_there()  # what cannot be merged is refused before PyTorch is imported
    from torchreid_adv.runs.torchreid_checks import check

    check(cfg)
    return cfg


def _check_once(cfg: AdvConfig, by_flag: Sequence[Given], pairs: Sequence[str]) -> None:
    """Refuse a key that a flag of ours and a pair ``KEY VALUE`` set to different values.

    A pair overrides torchreid's own flags, as in torchreid's scripts.

    Raises:
        ConfigError: two values for a key.
    """
    typed = dict(zip(pairs[::2], pairs[1::2], strict=True))
    overridden = {flag.key for flag in STOCK}
    for key, value, spelled in by_flag:
        if key in typed and key not in overridden and not _same(cfg, key, value, typed[key]):
            raise ConfigError(
                f"{key} is given twice: by '{spelled}' and by '{key} {typed[key]}'; leave one of "
                "them out"
            )


def _same(cfg: AdvConfig, key: str, first: Any, second: Any) -> bool:
    present = lookup(cfg, key)
    return bool(coerce(first, present, key) == coerce(second, present, key))


def _config_file(arguments: argparse.Namespace) -> str:
    """Return the named config file, by its path or as a recipe; "" = none.

    Raises:
        ConfigError: an unknown recipe, or a recipe and a file.
    """
    if not arguments.recipe:
        return str(arguments.config_file)
    if arguments.config_file:
        raise ConfigError(
            f"--recipe {arguments.recipe} names a config file, too; leave --config-file out, and "
            "change single keys by KEY VALUE"
        )
    return recipe_file(arguments.recipe)


def _check_front(cfg: AdvConfig, arguments: argparse.Namespace) -> None:
    """Refuse a model in front of a command that takes none.

    Raises:
        ConfigError: a model.
    """
    front = split_models(cfg, arguments.opts[:1])[0] if arguments.takes is None else []
    if front and arguments.name and not _may_be_key(cfg, front[0]):
        raise ConfigError(
            f"'{arguments.name}' takes flags, then pairs KEY VALUE, and {shown(front[0])} is "
            "neither; a model is named by model.name and its file by model.load_weights"
        )


def _may_be_key(cfg: AdvConfig, word: str) -> bool:
    """Tell a wrong key, which is refused as a key, from a model or a file."""
    if nearest(word.partition(".")[0], cfg):
        return True
    dotted = not word or "." in word
    return dotted and not is_file(word) and not any(sign in word for sign in ":=/")


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
    remaining = list(words)
    while remaining:
        key, assigned, value = remaining.pop(0).partition("=")
        if key.startswith("-"):
            raise ConfigError(_late(key, pairs, flags))
        if not assigned:
            if not remaining:
                raise ConfigError(f"config options come in pairs 'KEY VALUE'; '{key}' has no value")
            value = remaining.pop(0)
        pairs += [key, value]
    return pairs


def _late(flag: str, pairs: Sequence[str], flags: Sequence[Flag]) -> str:
    known = make_parser("", flags=flags)._option_string_actions
    if flag in known and pairs:
        return f"flags come before the first key: move '{flag}' before '{pairs[0]}'"
    return _not_a_flag(flag, tuple(known))
