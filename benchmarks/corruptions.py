"""Benchmark of the corruptions: ours, the published package, and a copy of the image."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from torchreid_adv.corruptions import SEVERITIES, corrupt, published_kinds
from torchreid_adv.data.virtual.colors import to_levels
from torchreid_adv.data.virtual.image import Shot, render_image
from torchreid_adv.data.virtual.styles import style_named

ORACLE = "CORRUPTIONS_ORACLE"  # environment variable: the Python that has the published package
SIZES = ((128, 64), (256, 128))
SLOW = ("glass_blur", "motion_blur", "elastic_transform")
_ELSEWHERE = ("rain",)  # not of that package
_TURNS = 3


def run(*, images: int = 3) -> dict[str, Any]:
    """Time each kind, an image after the other, on one core; the mean over the five severities.

    What counts is the processor's time; the best of three turns counts on both sides. Ours hashes
    each image for its seed, which is part of its time.

    Args:
        images: virtual people of each size.

    Returns:
        milliseconds an image of each kind by size, and how many times faster ours is.
    """
    python = os.environ.get(ORACLE, "")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        found = {f"{h}x{w}": _measured(_people(images, h, w), python) for h, w in SIZES}
    finally:
        cv2.setNumThreads(threads)
    for size, kinds in found.items():
        _show(size, kinds)
    if not python:
        print(f"  {ORACLE} names no Python with imagecorruptions: make corruptions has both")
    return {"images": images, **found}


def _people(count: int, height: int, width: int) -> list[np.ndarray]:
    style = style_named("virtual_a")
    shots = (Shot(pid, pid % 4, pid, height, width) for pid in range(1, count + 1))
    return [to_levels(render_image(style, 0, shot)) for shot in shots]


def _measured(people: Sequence[np.ndarray], python: str) -> dict[str, dict[str, float]]:
    kinds = published_kinds()
    published = _published(people, [k for k in kinds if k not in _ELSEWHERE], python)
    found: dict[str, dict[str, float]] = {}
    for kind in kinds:
        ours = [_best(partial(corrupt, kind=kind, severity=s), people) for s in SEVERITIES]
        found[kind] = {"ours": sum(ours) / len(ours), "floor": _best(np.copy, people)}
        if kind in published:
            found[kind]["published"] = published[kind]
            found[kind]["ratio"] = published[kind] / found[kind]["ours"]
    return found


def _published(people: Sequence[np.ndarray], kinds: list[str], python: str) -> dict[str, float]:
    if not python:
        return {}
    script = Path(__file__).with_name("corruptions_oracle.py")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "people.npz"
        arrays: dict[str, Any] = {f"image{n}": image for n, image in enumerate(people)}
        np.savez(source, **arrays)
        command = [python, "-W", "ignore", str(script), "--time", str(source), *kinds]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def _best(way: Callable[[np.ndarray], Any], people: Sequence[np.ndarray]) -> float:
    """Return the least milliseconds an image takes."""
    best = float("inf")
    for _ in range(_TURNS):
        started = time.process_time()
        for image in people:
            way(image)
        best = min(best, time.process_time() - started)
    return 1000 * best / len(people)


def _show(size: str, kinds: dict[str, dict[str, float]]) -> None:
    print(
        f"corruptions: {size}, milliseconds an image on one core, mean of five severities\n"
        f"{'':20}{'ours':>9}{'published':>11}{'ratio':>7}"
    )
    for kind, times in kinds.items():
        line = f"  {kind:<18}{times['ours']:9.2f}"
        if "published" in times:
            line += f"{times['published']:11.2f}{times['ratio']:7.1f}"
        print(line)
    both = [times for times in kinds.values() if "published" in times]
    if both:
        without = [times for kind, times in kinds.items() if times in both and kind not in SLOW]
        for said, rows in (("all", both), (f"without {', '.join(SLOW)}", without)):
            ours, published = (sum(row[way] for row in rows) for way in ("ours", "published"))
            print(f"  {said}: {ours:.1f} and {published:.1f}, ratio {published / ours:.1f}")
