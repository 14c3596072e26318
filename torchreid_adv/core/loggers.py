"""Loggers that receive metrics as well as the files: TensorBoard, or those that packages register.

A package registers a function in the entry point group ``torchreid_adv.loggers``. It is called with
the folder of a run and returns a :class:`Logger`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from torchreid_adv.errors import ConfigError, suggest

GROUP = "torchreid_adv.loggers"
TENSORBOARD = "tensorboard"


class Logger(Protocol):
    """A receiver of metrics."""

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Take metrics: name with slashes -> number; shares are in [0, 1].

        Args:
            values: the metrics.
            step: the epoch of a training, the bound in gray levels of a table, else 0.
        """
        ...

    def file(self, path: Path) -> None:
        """Take a file that was written, such as the report."""
        ...

    def close(self) -> None:
        """Bring everything to its place; nothing comes any more."""
        ...


Factory = Callable[[Path], Logger]
_ACTIVE: ContextVar[Mapping[str, Logger]] = ContextVar("loggers", default={})  # noqa: B039


class TensorBoard:
    """Event files of TensorBoard in the folder of the run, as torchreid writes them in training.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes seconds

        self._writer: Any = SummaryWriter(log_dir=str(folder))

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Write the metrics."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def file(self, path: Path) -> None:
        """Write where the file is."""
        self._writer.add_text("files", str(path))

    def close(self) -> None:
        """Write pending events."""
        self._writer.close()


@contextlib.contextmanager
def logging_to(*loggers: Logger | str, folder: str | Path = ".") -> Iterator[None]:
    """Inside the block, send metrics to these loggers as well.

    A logger given by name is opened for the block, unless an enclosing block has it open, and
    closed at its end. A logger object belongs to the caller and stays open.

    Args:
        loggers: ``tensorboard``, names of entry points, or objects, see :class:`Logger`.
        folder: of the run, for loggers by name.

    Raises:
        ConfigError: an unknown name, or a logger that cannot be made.

    Example:
        >>> with logging_to("tensorboard", folder="log/run"):
        ...     adv.attack_dataset(model, data, "ifgsm", out="log/run")
    """
    active = dict(_ACTIVE.get())
    with contextlib.ExitStack() as stack:
        for logger in loggers:
            if not isinstance(logger, str):
                active[f"object {id(logger)}"] = logger
            elif logger not in active:
                active[logger] = _made(logger, Path(folder))
                stack.callback(active[logger].close)
        token = _ACTIVE.set(active)
        stack.callback(_ACTIVE.reset, token)
        yield


def log(values: Mapping[str, float], *, step: int = 0) -> None:
    """Tell metrics to the loggers of this block."""
    for logger in _ACTIVE.get().values():
        logger.scalars(values, step=step)


def log_file(path: Path) -> None:
    """Tell the loggers of this block of a file that was written."""
    for logger in _ACTIVE.get().values():
        logger.file(path)


def check_loggers(names: list[str]) -> None:
    """Refuse names that nothing is registered by.

    Raises:
        ConfigError: with the nearest known name.
    """
    known = [TENSORBOARD, *(point.name for point in entry_points(group=GROUP))]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no logger '{name}'{suggest(name, known)}; known are {', '.join(known)}, "
                f"and a package adds its own as an entry point of the group {GROUP}"
            )


def _made(name: str, folder: Path) -> Logger:
    check_loggers([name])
    try:
        if name == TENSORBOARD:
            return TensorBoard(folder)
        (point, *_) = entry_points(group=GROUP, name=name)
        factory: Factory = point.load()
        return factory(folder)
    except Exception as error:  # whatever a package raises
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(f"the logger '{name}' cannot be made: {reason}") from error
