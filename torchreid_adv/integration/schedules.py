"""Hook: the warm-up of ``adv.schedule.warmup`` before torchreid's own decay."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from torch.optim.lr_scheduler import ChainedScheduler, LinearLR

from torchreid_adv import config
from torchreid_adv.integration.patching import Replace


def _make(stock: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(stock)

    @wraps(stock)
    def build_lr_scheduler(*args: Any, **kwargs: Any) -> Any:
        """Build torchreid's scheduler; its initial rates are multiplied by 1/(w+1), 2/(w+1)..."""
        scheduler, warmup = stock(*args, **kwargs), config.current().adv.schedule.warmup
        if not warmup:
            return scheduler
        optimizer = signature.bind(*args, **kwargs).arguments["optimizer"]
        rising = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        return ChainedScheduler([scheduler, rising], optimizer=optimizer)

    return build_lr_scheduler


REPLACES = (Replace(("optim", "optim.lr_scheduler"), "build_lr_scheduler", _make),)
