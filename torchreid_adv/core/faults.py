"""Failures around a job, as sentences and exit codes: memory, disks, streams, signals."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from dataclasses import dataclass

from torchreid_adv.core.signals import Stopped
from torchreid_adv.errors import AdvError, ConfigError, MachineError, printable

KEPT = "nothing that was written before is lost"
UNEXPECTED = 1  # exit code of a bug in this package
_MEMORY = (
    *("out of memory", "not enough memory", "allocate memory", "bad_alloc", "insufficient memory"),
    *("alloc_failed", "failed to map segment", "can't start new thread"),
    "codec configuration error",  # Pillow's, when zlib cannot allocate memory
)
# oneDNN's message
_ONEDNN = re.compile(r"could not (create|execute) a primitive$", re.MULTILINE)
_READERS = ("dataloader worker", "a child process terminated abruptly")
_CONNECTION = (
    *("connection closed by peer", "connection reset by peer", "gloo", "nccl"),
    *("broken pipe", "socket has failed", "socket has timed out"),
)


@dataclass(frozen=True)
class Fault:
    """How a command ends after an error.

    Args:
        code: exit code.
        sentence: the message; "" for an unexpected error, whose traceback is shown.
    """

    code: int
    sentence: str = ""


def explained(error: BaseException) -> Fault:
    """Return the exit code and message for whatever ended a command."""
    if isinstance(error, AdvError):
        return Fault(error.exit_code, f"error: {printable(str(error))}")
    if isinstance(error, Stopped):
        sentence = f"stopped by {error}; run the same command again to continue"
        return Fault(error.exit_code, sentence)
    if isinstance(error, SystemExit):
        return _exited(error)
    text = printable(" ".join(str(error).split())[:300])
    if out_of_memory(error):
        return Fault(
            MachineError.exit_code,
            f"error: there is not enough memory ({text or type(error).__name__}); {KEPT}. Free "
            "some, or lower data.workers, test.batch_size or train.batch_size; a lower "
            "adv.job.chunk is another run, with another data.save_dir",
        )
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return Fault(MachineError.exit_code, f"error: {text}; {KEPT}")
    if isinstance(error, RuntimeError) and _says(text, _READERS):
        return Fault(
            MachineError.exit_code,
            f"error: a process that reads images ended early ({text}), most often for lack of "
            f"memory; lower data.workers. {KEPT.capitalize()}",
        )
    if isinstance(error, ValueError) and _says(text, ("embedded null",)):
        return Fault(
            ConfigError.exit_code,
            "error: a path of the config holds a NUL character, which no file name can; remove it",
        )
    return Fault(UNEXPECTED)


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that the machine or a device is out of memory."""
    text = str(error)
    return isinstance(error, MemoryError) or _says(text, _MEMORY) or bool(_ONEDNN.search(text))


def is_lost_connection(error: BaseException) -> bool:
    """Tell whether an error means that another process of the job cannot be reached."""
    return isinstance(error, RuntimeError) and _says(str(error), _CONNECTION)


def with_streams() -> None:
    """Open the standard streams that the process was started without.

    Otherwise the next opened file would get the number of a closed stream, and receive what is
    printed. Output to a closed stream is lost.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def say(sentence: str) -> None:
    """Print to stderr; ignore a stream that cannot be written."""
    with contextlib.suppress(OSError, ValueError):  # disk full, stream closed, or reader gone
        print(sentence, file=sys.stderr, flush=True)


def _exited(stop: SystemExit) -> Fault:
    """Explain ``sys.exit``: usage messages come from the parser, any other exit is a fault."""
    frames = traceback.extract_tb(stop.__traceback__)
    if frames and os.path.basename(frames[-1].filename) == "argparse.py":
        return Fault(stop.code if isinstance(stop.code, int) else ConfigError.exit_code)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return Fault(
        ConfigError.exit_code,
        f"error: code of a plugin or a network called sys.exit({stop.code!r}){printable(place)} "
        "before the command had done its work; let it raise an exception instead",
    )


def _says(text: str, phrases: tuple[str, ...]) -> bool:
    lower = text.lower()
    return any(phrase in lower for phrase in phrases)
