"""Where the benchmarks are in a clone: in ``benchmarks/``, next to the package.

A wheel holds them as the folder ``torchreid_adv/benchmarks``, which Python finds before this file.
Both answer to the same names, ``torchreid_adv.benchmarks.retrieval`` for example.
"""

from __future__ import annotations

from pathlib import Path

__path__ = [str(Path(__file__).parents[1] / "benchmarks")]
