"""Seconds of a call, read when the device has done all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


def timed(call: Callable[[], Any], device: torch.device | str = "cpu") -> tuple[float, Any]:
    """Return the seconds that a call takes on a device, and what it returned."""
    finish(device)
    started = time.perf_counter()
    outcome = call()
    finish(device)
    return time.perf_counter() - started, outcome


def least(
    repeats: int, call: Callable[[], Any], device: torch.device | str = "cpu"
) -> tuple[float, Any]:
    """Return the least seconds of some calls, and what the last one returned."""
    best, outcome = float("inf"), None
    for _ in range(repeats):
        seconds, outcome = timed(call, device)
        best = min(best, seconds)
    return best, outcome


def finish(device: torch.device | str) -> None:
    """Wait until a device has done what it was given; a CPU has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def place(device: torch.device | str) -> str:
    """Return where something was measured, for a heading."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads"
