"""``adv.benchmark``: the speed of this package, of a comparable tool and of the lower bound."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchreid_adv.core.speaking import Listener
from torchreid_adv.core.tabular import Tabular
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import unknown

SECTIONS = {  # section -> module of benchmarks/
    "attack": "attacks",
    "retrieval": "retrieval",
    "rerank": "rerank",
    "neighbors": "neighbors",
    "jobs": "storing",
    "transforms": "transforms",
    "corruptions": "corruptions",
    "training": "training",
    "meta": "meta",
}
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class BenchmarkResult(Tabular):
    """The measured numbers.

    Args:
        content: section -> names and numbers, nested; as ``benchmark --json`` writes it.
    """

    content: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def __repr__(self) -> str:
        return f"BenchmarkResult({', '.join(self.content)}: {len(self.rows())} measurements)"

    def __getitem__(self, section: str) -> Mapping[str, Any]:
        return self.content[section]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each measurement: section, dotted name, value."""
        return [
            {"section": section, "measurement": name, "value": value}
            for section, measured in self.content.items()
            for name, value in _leaves(measured)
        ]


def benchmark(
    sections: str | Sequence[str] | None = None,
    *,
    queries: int | None = None,
    gallery: int | None = None,
    images: int | None = None,
    device: str = "cpu",
    quiet: bool = False,
    progress: Listener | None = None,
) -> BenchmarkResult:
    """Measure the speed of this package, of a comparable tool and of the lower bound in one run.

    It is what ``torchreid-adv benchmark`` does. Networks have random weights, data are drawn.

    Args:
        sections: ``attack``, ``retrieval``, ``rerank``, ``neighbors``, ``jobs``, ``transforms``,
            ``corruptions``, ``training``, ``meta``, or several of them; None = all.
        queries: number of queries; this and the next two count for the sections that have them.
            None = the section's own number.
        gallery: number of gallery images.
        images: number of images.
        device: ``cpu`` or ``cuda``, for the sections that have it.
        quiet: nothing is printed.
        progress: called as ``progress(description, done, total)``.

    Raises:
        ConfigError: an unknown section or device, or no GPU.

    Example:
        >>> found = adv.benchmark("retrieval", queries=100, gallery=1000)
        >>> found["retrieval"]["ours"]  # seconds
    """
    import torch

    from torchreid_adv.python.configured import calling

    names = [sections] if isinstance(sections, str) else list(sections or SECTIONS)
    for name in names:
        if name not in SECTIONS:
            raise unknown("section", name, SECTIONS)
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("PyTorch finds no GPU here; leave the device out")
    sizes = {"queries": queries, "gallery": gallery, "images": images}
    options = {name: size for name, size in sizes.items() if size is not None}
    with calling("benchmark", quiet=quiet, progress=progress, sections=names, **options):
        measured = {name: _measured(name, {**options, "device": device}) for name in names}
    return BenchmarkResult(measured)


def _measured(section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    run = importlib.import_module(f"torchreid_adv.benchmarks.{SECTIONS[section]}").run
    known = inspect.signature(run).parameters
    figures: dict[str, Any] = run(**{name: options[name] for name in options if name in known})
    return figures


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values of nested measurements."""
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inside in value.items():
        yield from _leaves(inside, f"{name}.{key}" if name else str(key))
