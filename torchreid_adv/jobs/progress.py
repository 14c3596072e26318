"""Progress bars with rate and time left, on a terminal only."""

from __future__ import annotations

import os
import sys
from typing import Any

from tqdm import tqdm


def progress_bar(description: str, *, total: int, unit: str = "image") -> Any:
    """Return a tqdm bar on stderr; silent when stderr is not a terminal, or has another's bar.

    Use it as a context manager and call ``update(n)``.
    """
    return tqdm(
        desc=description,
        total=total,
        unit=unit,
        file=sys.stderr,
        disable=not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0",
        dynamic_ncols=True,
        smoothing=0.1,
    )
