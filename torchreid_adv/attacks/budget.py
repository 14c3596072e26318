"""The budget of an attack, and the decorator that registers a function as an attack."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torchreid_adv.attacks.loop.gradient_attack import Attack
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import PRECISIONS
from torchreid_adv.registry import ATTACKS

Builder = Callable[..., Attack]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The budget of an attack; lengths are in pixel units of [0, 1] and checked here.

    None = the attack's default.

    Args:
        eps: L-infinity bound.
        step_size: length of a step.
        steps: number of steps.
        momentum: decay of the running sum of L1-normalized gradients.
        seed: seed of all random numbers.
        precision: ``fp32`` or ``bf16``, number format inside the networks.

    Raises:
        ConfigError: a length is outside of [0, 1], such as gray levels; the precision is unknown.

    Example:
        >>> Budget(eps=8 / 255, steps=20)
    """

    eps: float
    step_size: float | None = None
    steps: int | None = None
    momentum: float | None = None
    seed: int = 0
    precision: str = "fp32"

    def __post_init__(self) -> None:
        _check_unit("eps", self.eps)
        if self.step_size is not None:
            _check_unit("step_size", self.step_size)
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision is one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )
        object.__setattr__(self, "eps", float(self.eps))

    @classmethod
    def of_levels(cls, *, eps: float, step_size: float | None = None, **others: Any) -> Budget:
        """Return a budget from lengths in gray levels, as in a config.

        Args:
            eps: L-infinity bound, gray levels.
            step_size: length of a step, gray levels.
            others: the other fields.

        Raises:
            ConfigError: as in the class.
        """
        step = None if step_size is None else from_levels(step_size)
        return cls(eps=from_levels(eps), step_size=step, **others)

    def given(self) -> dict[str, Any]:
        """Return the fields that are set, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def required(self, field: str) -> Any:
        """Return a field that the attack requires.

        Raises:
            ConfigError: the field is None.
        """
        value = getattr(self, field)
        if value is None:
            raise ConfigError(f"this attack needs a budget with {field}; pass Budget({field}=...)")
        return value


FIELDS = tuple(field.name for field in dataclasses.fields(Budget))
_UNUSED: Any = object()
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_TYPES = {"step_size": "float", "steps": "int", "momentum": "float"}
_ABOUT = {
    "eps": "L-infinity bound, pixel units of [0, 1].",
    "distance": "the metric that is attacked.",
    "step_size": "pixel units of [0, 1].",
    "steps": "how many.",
    "momentum": "decay of the running sum of L1-normalized gradients.",
    "seed": "of everything random.",
    "precision": "``fp32`` or ``bf16``, number format inside the networks.",
}


def attack(
    name: str,
    *,
    step_size: Any = _UNUSED,
    steps: Any = _UNUSED,
    momentum: Any = _UNUSED,
    force: bool = False,
    **facts: Any,
) -> Callable[[Builder], Builder]:
    """Return a decorator that registers ``(budget, distance, *, options) -> Attack``.

    The registered entry takes flat keywords: ``eps`` and ``distance``, those of step_size, steps
    and momentum that are given here, the function's options, ``seed`` and ``precision``. Options
    before the function's ``*`` are listed before the step size.

    A default is a number, None, or a rule. A rule is a function of the flat keywords that it names.
    It is called if its keyword is None, after numbers are filled in; the rule of steps comes first.
    The function's docstring describes its options under ``Options:``; the entry's docstring adds
    the other keywords.

    Args:
        name: the config value that selects the attack, not case-sensitive.
        step_size: default, pixel units of [0, 1]; omitted = the attack has no such keyword.
        steps: default, or omitted.
        momentum: default, or omitted.
        force: replace an entry of that name instead of refusing.
        facts: information on the attack (``paper``, ``title``), see :class:`Registry`.

    Raises:
        ConfigError: the first arguments are not budget and distance, an option is a field of the
            budget, or the name is taken.

    Example:
        >>> @attack("mine", title="two long steps", step_size=3 / 255, steps=2)
        ... def mine(budget, distance, *, targeted=False):
        ...     return sign_attack(MetricDistance(distance, targeted=targeted), budget)
    """
    keywords = {"step_size": step_size, "steps": steps, "momentum": momentum}
    defaults = {field: value for field, value in keywords.items() if value is not _UNUSED}

    def register(builder: Builder) -> Builder:
        signature = _flat(name, builder, defaults)

        def build(**arguments: Any) -> Attack:
            try:
                bound = signature.bind(**arguments)
            except TypeError as error:
                raise TypeError(f"{name}() is called wrongly: {error}") from None
            bound.apply_defaults()
            options = bound.arguments
            fields = {field: options.pop(field) for field in FIELDS if field in options}
            budget = _filled(Budget(**fields), defaults, options)
            return builder(budget, options.pop("distance"), **options)

        functools.update_wrapper(build, getattr(builder, "func", builder))
        if isinstance(builder, functools.partial):  # one function for several attacks
            build.__name__ = build.__qualname__ = name
        build.__doc__ = _documented(build.__doc__ or "", signature)
        build.__signature__ = signature  # type: ignore[attr-defined]
        return ATTACKS.register(name, force=force, **facts)(build)

    return register


def _check_unit(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        hint = (
            f"; for {value} gray levels pass {value} / 255"
            if isinstance(value, (int, float))
            else ""
        )
        raise ConfigError(f"{key} is in [0, 1] pixel units, got {value!r}{hint}")


def _flat(name: str, builder: Builder, defaults: Mapping[str, Any]) -> inspect.Signature:
    """Return the signature of a builder's entry."""
    signature = inspect.signature(builder)
    parameters = list(signature.parameters.values())
    starred = any(parameter.kind in _STARRED for parameter in parameters)
    if starred or [parameter.name for parameter in parameters[:2]] != ["budget", "distance"]:
        raise ConfigError(
            f"the function of the attack '{name}' takes budget and distance first, then every "
            "option by name"
        )
    clashing = [parameter for parameter in parameters[2:] if parameter.name in FIELDS]
    if clashing:
        raise ConfigError(
            f"'{clashing[0].name}' of the attack '{name}' is a field of its budget; give its "
            "default to @attack, and read it from the budget"
        )
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [parameter.replace(kind=keyword) for parameter in parameters[2:]]
    first = sum(parameter.kind is not keyword for parameter in parameters[2:])
    spent = [_parameter(field, default) for field, default in defaults.items()]
    ends = {
        "eps": inspect.Parameter("eps", keyword, annotation="float"),
        "seed": inspect.Parameter("seed", keyword, default=0, annotation="int"),
        "precision": inspect.Parameter("precision", keyword, default="fp32", annotation="str"),
    }
    distance = parameters[1].replace(kind=keyword)
    listed = [ends["eps"], distance, *options[:first], *spent, *options[first:]]
    return signature.replace(parameters=[*listed, ends["seed"], ends["precision"]])


def _parameter(field: str, default: Any) -> inspect.Parameter:
    """Return the keyword of a field; its default is None if a rule decides it."""
    kind = _TYPES[field]
    if default is None or callable(default):
        kind, default = f"{kind} | None", None
    return inspect.Parameter(
        field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
    )


def _filled(budget: Budget, defaults: Mapping[str, Any], options: Mapping[str, Any]) -> Budget:
    """Return the budget with defaults instead of None: numbers, then rules, steps first."""
    order = sorted(defaults, key=lambda field: (callable(defaults[field]), field != "steps"))
    for field in order:
        default = defaults[field]
        if getattr(budget, field) is None and default is not None:
            value = _ruled(default, {**options, **vars(budget)}) if callable(default) else default
            budget = dataclasses.replace(budget, **{field: value})
    return budget


def _ruled(rule: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    names = inspect.signature(rule).parameters
    return rule(**{name: arguments[name] for name in names if name in arguments})


def _documented(text: str, signature: inspect.Signature) -> str:
    """Return the docstring of the entry, with its options and budget fields under Args."""
    head, _, option_text = inspect.cleandoc(text).partition("Options:\n")
    field_lines = [
        f"    {name}: {_ABOUT[name]}\n"
        for name in signature.parameters
        if name in _ABOUT and f"    {name}: " not in option_text
    ]
    return f"{head.rstrip()}\n\nArgs:\n{''.join(field_lines)}{option_text}"
