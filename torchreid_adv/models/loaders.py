"""Loaders: what each format of :data:`torchreid_adv.LOADERS` is asked, and what it answers."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.core.given_files import given_file
from torchreid_adv.errors import AdvError, ConfigError, printable
from torchreid_adv.integration.checkpoints import load_weights, read_checkpoint
from torchreid_adv.integration.matching import weights_in
from torchreid_adv.integration.weight_names import spelled
from torchreid_adv.models.entries import Entry, sources
from torchreid_adv.models.hub import local_file

_NOT_CACHED = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")  # of huggingface_hub


@dataclass(frozen=True)
class Request:
    """A network that an entry asks for.

    Args:
        entry: its parts.
        device: where programs are loaded to; other networks are moved there later.
        key: which part of a checkpoint that holds several networks.
        size: height and width that are taken where neither the entry nor a file says one.
    """

    entry: Entry
    device: torch.device
    key: str | None = None
    size: tuple[int, int] | None = None

    @property
    def parts(self) -> list[str]:
        """The source, split at its colons."""
        return sources(self.entry.source)

    def taken(self, *names: str, least: int | None = None) -> list[str]:
        """Return the parts of the source, as many as there are names; "" for those left out.

        Raises:
            ConfigError: fewer than ``least`` of them, or more than there are names.
        """
        parts, least = self.parts, len(names) if least is None else least
        if not least <= len(parts) <= len(names):
            form = ":".join(f"[{n}]" if i >= least else n for i, n in enumerate(names))
            raise ConfigError(
                f"'{self.entry.name}:{self.entry.source}' is written {self.entry.name}:{form}"
            )
        return [*parts, *[""] * (len(names) - len(parts))]

    def option(self, name: str, default: str = "") -> str:
        """Return an option of the entry."""
        return str(self.entry.options.get(name, default))

    def state(self, path: str, *, without: Callable[[str], bool] | None = None) -> State:
        """Return the tensors of a checkpoint, see :class:`State`.

        Args:
            path: of the file; ``hf:org/name/file`` is one of the Hugging Face hub.
            without: told a tensor's name without wrappers, says whether it is left out, as a head
                is that the features do not depend on.
        """
        file = local_file(path)
        tensors = weights_in(read_checkpoint(file, inert=True), file, key=self.key)
        feature_tensors = {
            n: v for n, v in tensors.items() if without is None or not without(plain(n))
        }
        return State(file, feature_tensors)


@dataclass(frozen=True)
class State:
    """Tensors of a checkpoint.

    Args:
        path: of the file.
        tensors: by their full names.
    """

    path: Path
    tensors: Mapping[str, Tensor]

    def find(self, ending: str) -> Tensor | None:
        """Return the first tensor whose name ends so, None where there is none."""
        matches = (v for n, v in self.tensors.items() if f".{plain(n)}".endswith(f".{ending}"))
        return next(matches, None)

    def has(self, start: str) -> bool:
        """Return whether a tensor's name has these parts in a row, such as ``base.NL_2``."""
        return any(f".{start}." in f".{plain(name)}." for name in self.tensors)

    def rows(self, ending: str) -> int:
        """Return the number of rows of a tensor, 1 where there is none."""
        tensor = self.find(ending)
        return 1 if tensor is None else len(tensor)

    def into(self, network: nn.Module) -> nn.Module:
        """Put the tensors into a network, or refuse them: all that features depend on must fit."""
        load_weights(network, self.path, strict=True, state=self.tensors)
        return network


@dataclass(frozen=True)
class Loaded:
    """A network as its source builds it.

    Args:
        network: images as the settings prepare them -> features.
        settings: keywords of :class:`PixelModel` that the source states.
        tried: whether it was found to give features already.
    """

    network: nn.Module
    settings: Mapping[str, Any] = field(default_factory=dict)
    tried: bool = False


def plain(name: str) -> str:
    """Return the name of a tensor without wrappers, dictionaries as parts of it."""
    return spelled(name.replace("/", "."))


def config_file(source: str) -> Path:
    """Return the path of a project's config file.

    Raises:
        ConfigError: there is no such file, or it is a folder.
    """
    return given_file(source, f"there is no config file '{source}'", (".yml", ".yaml"))


def needed(module: str, *, of: str, pip: str) -> Any:
    """Return an optional package.

    Args:
        module: its name for ``import``.
        of: the format that needs it.
        pip: its name for ``pip install``.

    Raises:
        ConfigError: it is not installed, or cannot be imported.
    """
    try:
        with silent():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the format '{of}' needs the package '{module.partition('.')[0]}' "
            f"({error}); pip install {pip}"
        ) from error
    except Exception as error:  # whatever a package raises on import
        reason = printable(" ".join(str(error).split())[:200]) or type(error).__name__
        raise ConfigError(
            f"the package '{module}', which the format '{of}' needs, cannot be imported: {reason}; "
            f"pip install --upgrade {pip}"
        ) from error


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep what others print while they build networks; an error shows the end of it."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            yield
    except AdvError:
        raise
    except Exception as error:
        lines = output.getvalue().strip().splitlines()[-3:]
        if lines:
            error.add_note(printable("; ".join(lines))) if hasattr(error, "add_note") else None
        raise


@contextlib.contextmanager
def built(description: str) -> Iterator[None]:
    """Inside the block a network is built by another project, in silence, without a trace in RNGs.

    Raises:
        ConfigError: it fails.
    """
    try:
        with torch.random.fork_rng(devices=[]), silent():
            torch.manual_seed(0)
            yield
    except AdvError:
        raise
    except Exception as error:  # whatever its code raises
        if type(error).__name__ in _NOT_CACHED:
            raise ConfigError(
                f"the files of {description} are not in the cache of huggingface_hub and cannot be "
                "fetched now; give a local folder, or fetch them while the hub can be reached"
            ) from error
        reason = printable(" ".join(str(error).split())[:300]) or type(error).__name__
        raise ConfigError(
            f"{description} cannot be built: {type(error).__name__}: {reason}"
        ) from error
