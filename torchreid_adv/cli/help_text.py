"""What the help text of a command says besides its flags: examples, files, time, keys."""

from __future__ import annotations

import argparse
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from torchreid_adv.cli.flags import Models, near_flag
from torchreid_adv.config import plain
from torchreid_adv.config.keys import KEYS
from torchreid_adv.config.reference import SECTIONS
from torchreid_adv.config.torchreid_keys import DEFAULTS
from torchreid_adv.errors import ConfigError

WIDTH = 79  # columns of a help text
_AT = 33  # column at which the meaning of a key begins
PROGRAM = "torchreid-adv"
_JOINED = "\N{NO-BREAK SPACE}"  # between a key and its default, which stay in one line


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a help text says of a command.

    Args:
        examples: two command lines or more, without the program's name; each can be run.
        writes: what it leaves, and where.
        time: how long it takes, as measured.
        reads: the config keys that its work reads, as patterns: ``adv.attack.*``.
        further: sections that it also reads if the run uses them, such as ``virtual``; the help
            text has one line for each.
    """

    examples: tuple[str, ...]
    writes: str
    time: str
    reads: tuple[str, ...] = ()
    further: tuple[str, ...] = ()

    def opening(self, about: str) -> str:
        """Return the first paragraphs of a help text: what the command does, and examples.

        Args:
            about: what it does.
        """
        lines = [*textwrap.wrap(about, WIDTH), "", "examples:"]
        for example in self.examples:
            lines += command_lines(f"{PROGRAM} {example}")
        return "\n".join(lines)

    def closing(self) -> str:
        """Return the last paragraphs of a help text, without the keys."""
        return "\n".join([*_paragraph("writes", self.writes), "", *_paragraph("time", self.time)])


def plain_parser(name: str, texts: Usage, about: str | None, **options: Any) -> Any:
    """Return the parser of a command that takes no config.

    Args:
        name: of the command.
        texts: further parts of its help.
        about: first sentences of the help text.
        options: of :class:`argparse.ArgumentParser`.
    """
    return PlainParser(
        prog=f"{PROGRAM} {name}",
        description=texts.opening(about or ""),
        epilog=texts.closing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **options,
    )


class PlainParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, with the nearest flag."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and a sentence."""
        flag = re.search(r"unrecognized arguments: .*?(--?[\w-]+)", message)
        near = near_flag(flag[1], tuple(self._option_string_actions)) if flag else ""
        message = f"there is no flag {flag[1]}{near}" if flag else message
        self.exit(ConfigError.exit_code, f"error: {message} ({self.prog} --help lists the flags)\n")


def _paragraph(head: str, text: str) -> list[str]:
    return [f"{head}:", *_wrapped(text)]


def _wrapped(text: str) -> list[str]:
    """Return the lines of an indented paragraph; a name with a hyphen stays whole."""
    lines = textwrap.wrap(
        text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    return [line.replace(_JOINED, " ") for line in lines]


def command_lines(command: str) -> list[str]:
    """Return a command line cut into lines that a shell joins again."""
    lines, line = [], " "
    for part in _parts(shlex.split(command)):
        if len(line) + len(part) + 3 > WIDTH and line.strip():
            lines.append(f"{line} \\")
            line = "   "
        line += f" {part}"
    return [*lines, line]


def _parts(words: Sequence[str]) -> list[str]:
    """Return a flag and its values, a key and its value, or any other word, as one part each."""
    parts: list[str] = []
    for word in words:
        before = parts[-1] if parts else ""
        value = before.startswith("-") or (_is_key(before) and " " not in before)
        if value and not word.startswith("-") and not (_is_key(word) and " " in before):
            parts[-1] = f"{before} {_quoted(word)}"
        else:
            parts.append(_quoted(word))
    return parts


def _is_key(word: str) -> bool:
    return word.partition(".")[0] in (*DEFAULTS, "adv", "use_gpu") and "=" not in word


def _quoted(word: str) -> str:
    return f'"{word}"' if "'" in word and '"' not in word else shlex.quote(word)


def models_text(models: Models) -> str:
    """Return the help text on the models, which come first on the command line."""
    label = "" if models.one else " LABEL=MODEL gives it a label."
    return textwrap.fill(
        f"MODEL is a network and its file, NAME:FILE, such as osnet_x1_0:model.pth.tar-60; a "
        f"checkpoint alone; or a model of another project, such as boxmot:FILE, "
        f"fastreid:CFG.yml:FILE, timm:NAME:FILE, onnx@256x128:FILE.{label} '{PROGRAM} list "
        f"formats' lists the formats. ({models.key})",
        WIDTH - 4,
        break_on_hyphens=False,
    )


def keys_of(patterns: Sequence[str]) -> dict[str, Any]:
    """Return the config keys that patterns name, with their defaults, in the order of the config.

    Args:
        patterns: dotted keys, with ``*`` for any part of one.
    """
    stock = {
        key: value for section, part in DEFAULTS.items() for key, value in _flat(section, part)
    }
    known = {
        **stock,
        "use_gpu": "if there is one",
        **{f"adv.{key.name}": key.default for key in KEYS},
    }
    return {key: v for key, v in known.items() if any(fnmatchcase(key, p) for p in patterns)}


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _flat(f"{path}.{name}", child)
    else:
        yield path, value


def keys_text(usage: Usage, defaults: Sequence[tuple[str, str]] = ()) -> str:
    """Return the keys that a command reads, each with its default and its meaning.

    Args:
        usage: of the command.
        defaults: keys for which the command has its own default.
    """
    values = {**keys_of(usage.reads), **{key: _typed(value) for key, value in defaults}}
    if not values:
        return ""
    ours = {key for key in values if key.startswith("adv.")}
    stock = ", ".join(f"{k}{_JOINED}{_shown(v)}" for k, v in values.items() if k not in ours)
    lines = ["", "", "config keys it reads, with defaults (all keys: torchreid-adv list --keys):"]
    lines += [line for key in KEYS if f"adv.{key.name}" in ours for line in _key_lines(key, values)]
    for section in usage.further:
        lines += _entry(f"  adv.{section}.*", SECTIONS[section])
    return "\n".join([*lines, "", *_paragraph("keys of torchreid it reads", stock)])


def _typed(value: str) -> Any:
    return {"True": True, "False": False}.get(value, value)


def _key_lines(key: Any, values: Mapping[str, Any]) -> list[str]:
    """Return the lines of a key: name and default on the left, its meaning on the right."""
    head = f"  adv.{key.name} {_shown(values[f'adv.{key.name}'])}"
    return _entry(head, _first_clause(key.meaning))


def _entry(head: str, text: str) -> list[str]:
    pad, lines = " " * _AT, textwrap.wrap(text, WIDTH - _AT) or [""]
    if len(head) >= _AT:
        return [head, *(pad + line for line in lines)]
    return [f"{head:<{_AT}}{lines[0]}", *(pad + line for line in lines[1:])]


def _first_clause(meaning: str) -> str:
    """Return a meaning up to its first semicolon; the reference has the rest."""
    return meaning.partition(";")[0]


_LONGEST = 50  # characters of a default


def _shown(value: Any) -> str:
    """Return a default as it is typed; of a list that is too long for a line, its start."""
    if value == "" or isinstance(value, (list, dict)):
        typed = repr(value).replace(" ", "")
        return typed if len(typed) <= _LONGEST else f"{typed[:_LONGEST].rpartition(',')[0]},...]"
    return str(plain(value))
