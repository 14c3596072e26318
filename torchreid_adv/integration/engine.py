"""Hook: ``Engine.run`` gives its engine the mixins that the config asks for.

This covers stock engines, subclasses of users, and engines built inside a script. They keep their
``forward_backward`` unless ``adv.engine`` names a mixin that replaces it.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

from torchreid_adv import config
from torchreid_adv.core.lock import working_in
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.patching import Replace
from torchreid_adv.integration.resuming import check_unfinished
from torchreid_adv.registry import ENGINES

E = TypeVar("E")

_MARK = "_adapted_by_torchreid_adv"
_SPAN = ("start_epoch", "max_epoch", "test_only")  # arguments of Engine.run
_count = 0


def adapt_engine(engine: E, cfg: config.AdvConfig | None = None) -> E:
    """Give an engine the mixins named by ``adv.engine``, if any, and the evaluation mixin.

    The class of the instance becomes (training mixins, EvaluationMixin, its class), with
    SelectionMixin before the second if ``adv.selection.data`` is set, and WeightedTripletMixin if
    ``adv.loss.triplet`` requires it; then each mixin's ``adapt(cfg)`` is called, the evaluation's
    first. A mixin has no ``__init__`` and no ``run``, and its ``adapt`` does not call that of
    another mixin.

    Args:
        engine: a torchreid engine; an adapted one is returned unchanged.
        cfg: the config; None = the remembered one.

    Returns:
        the same engine.
    """
    global _count
    if _MARK in vars(engine):
        return engine
    cfg = config.ensure_setup() if cfg is None else cfg
    selection = "selection" if cfg.adv.selection.data else ""
    loss = "weighted_triplet" if cfg.adv.loss.triplet == "weighted" else ""
    names = filter(None, (*config.engine_names(cfg), selection, loss, "evaluation"))
    mixins = tuple(dict.fromkeys(ENGINES.get(name) for name in names))
    engine_class: Any = type(engine)
    engine.__class__ = _combined(engine_class, mixins)
    try:
        for adapt in dict.fromkeys(getattr(mixin, "adapt", None) for mixin in reversed(mixins)):
            if adapt is not None:
                adapt(engine, cfg)
    except BaseException:
        engine.__class__ = engine_class
        raise
    setattr(engine, _MARK, True)
    _count += 1
    return engine


def adapted_engines() -> int:
    """Return the number of engines adapted in this process."""
    return _count


def require_adapted(cfg: config.AdvConfig, before: int) -> None:
    """Refuse a run whose engine never got what the config asks for.

    Args:
        cfg: the run's config.
        before: the value of :func:`adapted_engines` before the run.

    Raises:
        ConfigError: such a key is set and no engine was adapted.
    """
    keys = ("adv.engine", "adv.defense.name", "adv.selection.data", "adv.loss.triplet")
    asked = [key for key in keys if config.lookup(cfg, key)]
    if asked and _count == before:
        raise ConfigError(
            f"{' and '.join(asked)} had no effect: torchreid's Engine.run was never called; "
            "call torchreid_adv.adapt_engine(engine, cfg) in the script"
        )


@cache
def _combined(engine_class: type, mixins: tuple[type, ...]) -> type:
    new = tuple(mixin for mixin in mixins if not issubclass(engine_class, mixin))
    return (
        type(engine_class.__name__, (*new, engine_class), {"__module__": engine_class.__module__})
        if new
        else engine_class
    )


def _make(stock: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(stock)

    @wraps(stock)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        start, end, tests = (bound.arguments.get(name, 0) for name in _SPAN)
        trains = not tests and end > 0
        if trains:
            check_unfinished(start, end)
        with contextlib.ExitStack() as stack:
            # the first of several processes locks the folder for all
            if getattr(self, "leads", True) and os.environ.get("RANK", "0") == "0":
                stack.enter_context(working_in(bound.arguments.get("save_dir", "log"), wait=False))
            adapted = adapt_engine(self)
            if trains:
                adapted.before_training()
            return stock(adapted, *args, **kwargs)

    return run


REPLACES = (Replace(("engine.engine",), "Engine.run", _make, prepare=False),)
