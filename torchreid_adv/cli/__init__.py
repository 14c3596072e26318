"""``torchreid-adv <command> ...``: finds the command, and turns errors into exit codes."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
from collections.abc import Sequence

from torchreid_adv import config
from torchreid_adv.config.keys import PATHS, WRITTEN
from torchreid_adv.core.faults import UNEXPECTED, Fault, explained, say, with_streams
from torchreid_adv.core.provenance import called
from torchreid_adv.core.signals import stoppable
from torchreid_adv.errors import AdvError, ConfigError, MachineError, printable, suggest
from torchreid_adv.integration.layout import alias_from_environment
from torchreid_adv.registry import COMMANDS
from torchreid_adv.version import __version__

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_BETWEEN = re.compile(r"[=:,'\"\[\]\s]+")  # what stands around a file in 'label=name:FILE'
UNREAD = 141  # as a shell says of what ended by SIGPIPE

alias_from_environment()  # a spawned worker of ``run`` imports this module before anything else


ABOUT = """usage: torchreid-adv COMMAND [FLAGS] [KEY VALUE ...]

Adversarial robustness for person re-identification with torchreid.

commands:
{commands}

start here:
  torchreid-adv demo                  no data, no model, minutes on a CPU
  torchreid-adv attack MODEL -t DATA  your model, your data set
  torchreid-adv COMMAND --help        examples, flags, keys and run time
  torchreid-adv list [KIND]           attacks, models, data sets and other names
  torchreid-adv list configs          the example configs, for --config-file
  torchreid-adv --version             the version"""


def usage() -> str:
    """Return the help text: every command with its sentence, and where to start."""
    width = max(map(len, COMMANDS)) + 1
    lines = [f"  {name:<{width}}{COMMANDS.facts(name).get('help', '')}" for name in COMMANDS]
    return ABOUT.format(commands="\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: command and its arguments; None = those of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with_streams()
    try:
        with stoppable():
            return _run(arguments)
    except BrokenPipeError:  # the reader of the output is gone: the caller decides
        raise
    except BaseException as error:
        fault = _misnamed(error, arguments) or explained(error)
        if fault.code == UNEXPECTED and not isinstance(error, SystemExit):
            raise
        if fault.sentence:
            say(fault.sentence)
        return fault.code


def _misnamed(error: BaseException, arguments: list[str]) -> Fault | None:
    """Explain that a file named by the user is missing; None for any other error."""
    if isinstance(error, AdvError) or not isinstance(error, OSError):
        return None
    if not _is_given(error, arguments):
        return None
    name = printable(str(error.filename))
    sentence = f"error: '{name}' cannot be read: {error.strerror}; check its path"
    return Fault(ConfigError.exit_code, sentence)


def _is_given(error: OSError, arguments: list[str]) -> bool:
    """Tell whether the user named a missing file as an input."""
    if error.errno not in _MISSING or not error.filename:
        return False
    values = {key: config.lookup(config.current(), key) for key in PATHS}
    written = {str(values.pop(key, "")) for key in WRITTEN}
    texts = [*arguments, *(str(value) for value in values.values() if value)]
    names = {name for text in texts for name in (text, *_BETWEEN.split(text)) if name}
    return os.fsdecode(error.filename) in {os.path.expanduser(n) for n in names} - written


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-V", "--version"):
        print(f"torchreid-adv {__version__}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else ConfigError.exit_code
    name, *command_arguments = arguments
    if name not in COMMANDS:
        raise ConfigError(
            f"unknown command '{name}'{suggest(name, COMMANDS)} (torchreid-adv --help lists them)"
        )
    with called(shlex.join(["torchreid-adv", *arguments])):
        code: int = COMMANDS.get(name)(command_arguments)
    return code


def entry() -> None:
    """Console script; it ends when the reader of its output does, such as ``head``."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        _print_nowhere()
        code = UNREAD
    except OSError as error:  # what is printed goes to a file on a full disk
        _print_nowhere()
        say(f"error: cannot print: {error}")
        code = MachineError.exit_code
    sys.exit(code)


def _print_nowhere() -> None:
    """Drop what is still to be printed, which Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    entry()
