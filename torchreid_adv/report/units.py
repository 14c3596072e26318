"""Formats of numbers: one rule of decimals for pages, tables and sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass

DASH = "\N{EN DASH}"
_SMALL = 0.995  # below this a rate of one decimal would lose its first digit


@dataclass(frozen=True)
class Unit:
    """A unit, and how many decimals a value in it has.

    Args:
        name: of the unit, as a table's note shows it.
        scale: values are multiplied by it.
        decimals: after the point; None = as many as three significant digits need.
        suffix: written after a value.
    """

    name: str
    scale: float = 1.0
    decimals: int | None = None
    suffix: str = ""

    def shown(self, value: float | None) -> str:
        """Write a value; a dash for None and for values that are not finite.

        A rate below 1 % has a second decimal, a distance from ten on has fewer, a whole number
        and one of four digits or more has none.
        """
        if value is None or not math.isfinite(value):
            return DASH
        scaled = self.scale * value
        if self.decimals is None:
            return f"{_significant(scaled)}{self.suffix}"
        text = f"{round(scaled, self._digits(scaled)) + 0.0:.{self._digits(scaled)}f}"
        return text.replace("-", "\N{MINUS SIGN}") + self.suffix

    def _digits(self, scaled: float) -> int:
        assert self.decimals is not None
        if self.suffix == "%":
            return self.decimals + (0 < scaled < _SMALL)
        return max(0, self.decimals - (abs(scaled) >= 10) - (abs(scaled) >= 100))


def _significant(value: float, digits: int = 3) -> str:
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


PERCENT = Unit("percent", 100.0, 1, "%")
DISTANCE = Unit("distance", 1.0, 3)
PLAIN = Unit("")
