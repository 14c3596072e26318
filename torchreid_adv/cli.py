"""``torchreid-adv <command> ...``: finds the command, and turns errors into exit codes."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence

from torchreid_adv import config
from torchreid_adv.errors import AdvError, ConfigError, printable, suggest
from torchreid_adv.integration.layout import alias_from_environment
from torchreid_adv.jobs.signals import Stopped, stoppable
from torchreid_adv.keys import PATHS, WRITTEN
from torchreid_adv.registry import COMMANDS
from torchreid_adv.version import __version__

# a full or broken disk, a folder that cannot be: nobody's mistake in the config or the data
DISK = tuple(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EIO", "ESTALE", "EROFS", "EACCES", "EPERM"),
        *("ENOENT", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ENAMETOOLONG", "ELOOP", "EMFILE"),
    )
    if hasattr(errno, name)  # Windows lacks some
)
DISK_CODE = 5
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_BETWEEN = re.compile(r"[=:,'\"\[\]\s]+")  # what stands around a file in 'label=name:FILE'
UNREAD = 141  # as a shell says of what ended by SIGPIPE

alias_from_environment()  # a spawned worker of ``run`` imports this module before anything else


ABOUT = """usage: torchreid-adv COMMAND [FLAGS] [KEY VALUE ...]

Adversarial robustness for person re-identification with torchreid.

commands:
{commands}

start here:
  torchreid-adv demo              no data and no model needed, minutes on a CPU
  torchreid-adv COMMAND --help    what a command takes
  torchreid-adv list [KIND]       what a config can name
  torchreid-adv list configs      the example configs, for --config-file
  torchreid-adv --version         the version"""


def usage() -> str:
    """Return the help text: every command with its sentence, and where to start."""
    lines = [f"  {name:<16}{COMMANDS.facts(name).get('help', '')}" for name in COMMANDS]
    return ABOUT.format(commands="\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: command and its arguments; None = those of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with stoppable():
            return _run(arguments)
    except AdvError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in DISK:
            raise
        if _is_given(error, arguments):
            name = printable(str(error.filename))
            print(
                f"error: '{name}' cannot be read: {error.strerror}; check its path", file=sys.stderr
            )
            return ConfigError.exit_code
        print(f"error: {error}; nothing that was written before is lost", file=sys.stderr)
        return DISK_CODE
    except Stopped as stop:
        print(f"stopped by {stop}; the same command goes on where this one ended", file=sys.stderr)
        return stop.exit_code


def _is_given(error: OSError, arguments: list[str]) -> bool:
    """Tell whether a file that is not there is one that the user named to be read."""
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
    name, *rest = arguments
    if name not in COMMANDS:
        raise ConfigError(
            f"unknown command '{name}'{suggest(name, COMMANDS)} (torchreid-adv --help lists them)"
        )
    code: int = COMMANDS.get(name)(rest)
    return code


def entry() -> None:
    """Console script; whoever stops reading what it prints, such as ``head``, ends it."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at exit it is flushed
        code = UNREAD
    sys.exit(code)


if __name__ == "__main__":
    entry()
