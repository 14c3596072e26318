"""When a query counts as broken: a few times what a ranking without any knowledge scores."""

from __future__ import annotations

BROKEN = 2.0  # times chance: a query at or below is broken
