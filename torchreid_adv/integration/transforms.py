"""Hook: our names in ``data.transforms``, in the given order, each at its stage."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import random
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import Normalize, ToTensor
from torchvision.transforms.functional import to_tensor

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.patching import Replace, unknown
from torchreid_adv.integration.reading import Passenger
from torchreid_adv.integration.stock_names import TRANSFORMS as STOCK
from torchreid_adv.registry import TRANSFORMS

STAGES = ("pil", "tensor", "normalized")
_TRIED = (64, 128)  # width and height of the test image


class Step(NamedTuple):
    """One of our transforms: its stage, the transform, and its line in the log."""

    stage: str
    transform: Callable[[Any], Any]
    line: str


def _make(stock: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(stock)

    @wraps(stock)
    def build_transforms(*args: Any, **kwargs: Any) -> Any:
        names = signature.bind(*args, **kwargs).arguments.get("transforms", [])
        steps = [_step(name) for name in _ours(names)]
        _try(steps)
        log = io.StringIO()
        try:
            with contextlib.redirect_stdout(log):
                train, test = stock(*args, **kwargs)
        finally:
            _print(log.getvalue(), steps)
        train.transforms = _inserted(train.transforms, steps)
        train.passenger = test.passenger = Passenger()
        return train, test

    return build_transforms


REPLACES = (Replace(("data.transforms", "data.datamanager"), "build_transforms", _make),)


def _ours(names: Any) -> list[str]:
    """Return our names, in order; torchreid would silently drop an unknown one."""
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list):
        return []  # torchreid reports it
    taken = sorted(set(STOCK) & set(TRANSFORMS))
    if taken:
        raise ConfigError(f"torchreid has a transform '{taken[0]}'; register yours by another name")
    known = {name.lower(): name for name in TRANSFORMS}
    for name in names:
        if str(name).lower() not in {*STOCK, *known}:
            raise unknown("transform", str(name), [*STOCK, *known])
    return [known[name.lower()] for name in names if name.lower() in known]


def _step(name: str) -> Step:
    options = dict(config.current().adv.transforms.get(name, {}))
    transform = TRANSFORMS.build(name, **options)
    facts = TRANSFORMS.facts(name)
    stage = facts.get("stage")
    if stage not in STAGES:
        raise ConfigError(f"the transform '{name}' has stage={stage!r}, not one of {STAGES}")
    chances = {"p": transform.p} if hasattr(transform, "p") else {}
    shown = {**(chances or getattr(transform, "probabilities", {})), **options}
    values = ", ".join(f"{option}={value}" for option, value in shown.items())
    title = facts.get("title", name.replace("_", " "))
    return Step(stage, transform, f"+ {title} ({values})" if values else f"+ {title}")


def _try(steps: list[Step]) -> None:
    """Apply the steps to a gray image, so that a step that rejects its input fails early.

    Copies are used, and random states restored; errors other than of the config are left to the
    training, which has other images.
    """
    python, states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            image: Any = Image.new("RGB", _TRIED, "gray")
            for step in sorted(copy.deepcopy(steps), key=lambda step: STAGES.index(step.stage)):
                if step.stage != "pil" and isinstance(image, Image.Image):
                    image = to_tensor(image)
                image = step.transform(image)
        except ConfigError:
            raise
        except Exception:  # a plugin may raise anything
            return
        finally:
            random.setstate(python)
            np.random.set_state(states)


def _inserted(stock: list[Any], steps: list[Step]) -> list[Any]:
    at = {stage: [s.transform for s in steps if s.stage == stage] for stage in STAGES}
    transforms: list[Any] = []
    for transform in stock:
        if isinstance(transform, ToTensor):
            transforms += [*at["pil"], transform, *at["tensor"]]
        elif isinstance(transform, Normalize):
            transforms += [transform, *at["normalized"]]
        else:
            transforms.append(transform)
    return transforms


def _print(log: str, steps: list[Step]) -> None:
    """Print torchreid's lines with ours inserted where each transform runs."""
    at = {stage: [s.line for s in steps if s.stage == stage] for stage in STAGES}
    for line in log.splitlines():
        before = at.pop("pil", []) if line.startswith("+ to torch tensor") else []
        after: list[str] = []
        if line.startswith("+ to torch tensor"):
            after = at.pop("tensor", [])
        elif line.startswith("+ normalization"):
            after = at.pop("normalized", [])
        print(*before, line, *after, sep="\n")
