"""The progress of a card: one line per stage, with the rate and the time that is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.experiments.corruption_report import Progress

_FILE = "seconds"


class Stages(Progress):
    """Prints a line when a stage is done, and keeps how long stages took.

    Args:
        total: scores of all stages.
        cache: where seconds are kept, so that a resumed card knows them.
        key: of the card.
    """

    def __init__(self, total: int, cache: Cache, key: Key) -> None:
        super().__init__(total)
        self._cache, self._key = cache, key
        self.seconds: dict[str, float] = dict(cache.find(_FILE, key) or {})
        self._stage, self._last = "", self.started
        self._values: list[float] = []
        self._bar: Any = None  # of the stage

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[None]:
        """Inside the block the scores of a stage are made.

        Args:
            name: of the stage.
            total: scores that it takes.
        """
        self._stage, self._values, self._last = name, [], time.perf_counter()
        computed, began = self.computed, self._last
        with progress_bar(name, total=total, unit="score") as self._bar:
            yield
        print(
            self._line(name, total, self.computed - computed, time.perf_counter() - began),
            flush=True,
        )

    def say(self, label: str, value: float, *, computed: bool) -> None:
        """Count what was scored; arguments as in :meth:`Progress.say`."""
        self.done, self.computed = self.done + 1, self.computed + computed
        self._values.append(value)
        now = time.perf_counter()
        if computed:
            self.took(self._stage, now - self._last)
        self._last = now
        self._bar.update(1)

    def took(self, name: str, seconds: float) -> None:
        """Add to what a stage took."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self._cache.put(_FILE, self._key, self.seconds)

    def _line(self, name: str, total: int, computed: int, seconds: float) -> str:
        mean = sum(self._values) / max(1, len(self._values))
        line = f"{name:<28} {total} of {total}, mean mAP {100 * mean:.1f}"
        if not computed:
            return f"{line}, read back"
        each = (time.perf_counter() - self.started) / self.computed
        remaining = each * (self.total - self.done)
        return f"{line}, {seconds / computed:.2f} s each, {remaining / 60:.0f} min left"
