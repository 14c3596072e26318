"""What an attack may spend, and the decorator that registers a function of it as an attack."""

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
    """What an attack may spend; lengths are in pixel units of [0, 1] and checked here.

    None = the attack's own default.

    Args:
        eps: L-infinity bound.
        step_size: length of a step.
        steps: how many.
        momentum: decay of the running sum of L1-normalized gradients.
        seed: of everything random.
        precision: ``fp32`` or ``bf16``, number format inside the networks.

    Raises:
        ConfigError: a length outside of [0, 1], such as gray levels, or an unknown precision.

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
        """Return the budget whose lengths are gray levels, as a config writes them.

        Args:
            eps: L-infinity bound, gray levels.
            step_size: length of a step, gray levels.
            others: the fields that are no lengths.

        Raises:
            ConfigError: as of the class.
        """
        step = None if step_size is None else from_levels(step_size)
        return cls(eps=from_levels(eps), step_size=step, **others)

    def given(self) -> dict[str, Any]:
        """Return the fields that are not left to the attack, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def required(self, field: str) -> Any:
        """Return a field without which an attack cannot be built.

        Raises:
            ConfigError: it is None.
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

    The name then stands for the entry, which takes flat keywords: ``eps`` and ``distance``, those
    of step_size, steps and momentum that are given here, the function's options, ``seed`` and
    ``precision``. Options before the function's ``*`` are listed before the step size.

    A default is a number, None, or a rule. A rule is a function of the flat keywords that it names.
    It is called where its own keyword is None, after the numbers are filled in, and that of steps
    comes first. The function's docstring describes its options under ``Options:``, and the entry's
    docstring adds the other keywords.

    Args:
        name: the config value that selects the attack, in any case.
        step_size: default, pixel units of [0, 1]; left out = the attack takes no such keyword.
        steps: default, or left out.
        momentum: default, or left out.
        force: replace an entry of that name instead of refusing.
        facts: what is said of the attack (``paper``, ``title``), see :class:`Registry`.

    Raises:
        ConfigError: another first argument than budget and distance, an option that is a field of
            the budget, or a name that is taken.

    Example:
        >>> @attack("mine", title="two long steps", step_size=3 / 255, steps=2)
        ... def mine(budget, distance, *, targeted=False):
        ...     return sign_attack(MetricDistance(distance, targeted=targeted), budget)
    """
    given = {"step_size": step_size, "steps": steps, "momentum": momentum}
    defaults = {field: value for field, value in given.items() if value is not _UNUSED}

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
        if isinstance(builder, functools.partial):  # a function of several attacks
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
    """Return the signature that a builder's entry has."""
    signature = inspect.signature(builder)
    parameters = list(signature.parameters.values())
    starred = any(parameter.kind in _STARRED for parameter in parameters)
    if starred or [parameter.name for parameter in parameters[:2]] != ["budget", "distance"]:
        raise ConfigError(
            f"the function of the attack '{name}' takes budget and distance first, then each of "
            "its options by name"
        )
    own = [parameter for parameter in parameters[2:] if parameter.name in FIELDS]
    if own:
        raise ConfigError(
            f"'{own[0].name}' of the attack '{name}' is a field of its budget; give its default to "
            "@attack, and read it from the budget"
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
    """Return the keyword of a field; what a rule decides is None until then."""
    kind = _TYPES[field]
    if default is None or callable(default):
        kind, default = f"{kind} | None", None
    return inspect.Parameter(
        field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
    )


def _filled(budget: Budget, defaults: Mapping[str, Any], options: Mapping[str, Any]) -> Budget:
    """Return the budget with defaults in the place of None: numbers, then rules, steps first."""
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
    """Return the docstring of the entry: its options and the fields of its budget as Args."""
    head, _, own = inspect.cleandoc(text).partition("Options:\n")
    said = [
        f"    {name}: {_ABOUT[name]}\n"
        for name in signature.parameters
        if name in _ABOUT and f"    {name}: " not in own
    ]
    return f"{head.rstrip()}\n\nArgs:\n{''.join(said)}{own}"
