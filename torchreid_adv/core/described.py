"""One line that says what an attack or a defense does, from what reports say of it."""

from __future__ import annotations

from typing import Any

from torchreid_adv.core.pixels import LEVELS

_LENGTHS = ("eps", "step_size")  # that reports say in gray levels


class Described:
    """What has ``describe()`` is shown by it: ``ifgsm(eps=8/255, step_size=1/255, steps=10)``."""

    def describe(self) -> dict[str, Any]:
        """Return what a report says of it, lengths in gray levels."""
        raise NotImplementedError(f"{type(self).__name__} has no describe()")

    def __repr__(self) -> str:
        name = vars(self).get("name") or type(self).__name__
        told = (_told(key, value) for key, value in self.describe().items())
        return f"{name}({', '.join(filter(None, told))})"


def _told(name: str, value: Any) -> str:
    """Return ``name=value``; "" for what says nothing in a line."""
    if value is None or value in ("", False) or isinstance(value, (dict, list, tuple)):
        return ""
    if name in _LENGTHS and isinstance(value, (int, float)):
        return f"{name}={value:g}/{LEVELS}"
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
