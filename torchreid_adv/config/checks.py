"""What is checked before any data is read: ranges, names, options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from yacs.config import CfgNode

from torchreid_adv.config.keys import KEYS
from torchreid_adv.config.tree import AdvConfig, coerce, leaves, lookup, plain, shown
from torchreid_adv.config.values import finite
from torchreid_adv.core.loggers import check_loggers
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import (
    ATTACKS,
    DEFENSES,
    DISTANCES,
    ENGINES,
    TABLES,
    TRAININGS,
    TRANSFORMS,
    Registry,
    same_name,
    unknown,
)

_SECTIONS = {"distances": DISTANCES, "transforms": TRANSFORMS}  # adv.<section>.<name>: keywords
_INSIDE = "_engine_inside"  # on a tree whose engine a command chose, see set_engine
_JOINT = "+"


def check_values(cfg: AdvConfig) -> None:
    """Hold every value of ``adv.*`` against its declaration.

    Raises:
        ConfigError: the first that is of another type or out of range.
    """
    for key in KEYS:
        value = lookup(cfg, f"adv.{key.name}")
        if isinstance(value, CfgNode):
            continue  # options: checked against the signature of what takes them
        coerce(value, value if key.default is None else key.default, f"adv.{key.name}")
        wrong = key.check(value)
        if wrong:
            raise ConfigError(f"config key 'adv.{key.name}' {wrong}, got {shown(value)}")
    check_finite(cfg)


def check_finite(cfg: CfgNode) -> None:
    """Refuse numbers that are none, wherever they stand.

    Raises:
        ConfigError: a value is or holds NaN or infinity.
    """
    for key, value in leaves(cfg):
        if not finite(value):
            raise ConfigError(f"config key '{key}' must be a finite number, got {shown(value)}")


def spell_names(cfg: AdvConfig, tables: Mapping[str, Iterable[str]]) -> None:
    """Write names as they are registered where they differ from that by case alone, in place.

    Args:
        cfg: the whole config.
        tables: dotted key -> the names that its value, or each item of it, is one of; a key that
            the config lacks is skipped.
    """
    for key, table in tables.items():
        *path, last = key.split(".")
        section, known = lookup(cfg, ".".join(path)), tuple(table)
        value = lookup(cfg, key)
        if isinstance(value, str):
            section[last] = same_name(value, known) or value
        elif isinstance(value, list):
            section[last] = [
                (same_name(item, known) or item) if isinstance(item, str) else item
                for item in value
            ]


def _spell_section(section: CfgNode, table: Registry) -> None:
    """Name the sections of keywords as what they are for is registered."""
    for name in [name for name in section if name in table]:
        registered = table.name_of(name)
        if registered != name:
            if registered in section:
                raise ConfigError(f"the keywords of '{registered}' come twice, as '{name}' too")
            section[registered] = section.pop(name)


def set_engine(cfg: AdvConfig, *names: str) -> None:
    """Let a command train with internal mixins, such as a progress bar, which a config cannot name.

    Args:
        cfg: whose ``adv.engine`` is set, to the names joined by "+".
        names: registered engines, the outermost first; "" is left out.
    """
    cfg.adv.engine = cfg.__dict__[_INSIDE] = _JOINT.join(filter(None, names))


def engine_names(cfg: AdvConfig) -> tuple[str, ...]:
    """Return the mixins that ``adv.engine`` names: none, one, or those of :func:`set_engine`."""
    return tuple(filter(None, str(cfg.adv.engine).split(_JOINT)))


def check_engine_name(cfg: AdvConfig) -> None:
    """Refuse an engine that is not registered, or that belongs to a command.

    Raises:
        ConfigError: an unknown engine, or one of a command.
    """
    name = cfg.adv.engine
    if cfg.__dict__.get(_INSIDE) == name:
        for part in engine_names(cfg):
            ENGINES.name_of(part)
    elif ENGINES.facts(name).get("internal"):
        raise unknown(ENGINES.kind, name, ENGINES.public)


def check_names(cfg: AdvConfig) -> None:
    """Check names and options against the registries.

    Raises:
        ConfigError: the first that is unknown or does not fit.
    """
    spell_names(cfg, {f"adv.{key.name}": TABLES[key.table] for key in KEYS if key.table})
    spell_names(cfg, {"test.dist_metric": DISTANCES})
    for section, table in _SECTIONS.items():
        _spell_section(cfg.adv[section], table)
    adv = cfg.adv
    check_loggers(list(adv.report.loggers))
    _check_attack_options(adv.attack.name, adv.attack.options, "adv.attack.options")
    _check_attack_options(adv.training.attack, adv.training.options, "adv.training.options")
    for name in adv.training.report:
        ATTACKS.name_of(name)
    TRAININGS.name_of(adv.training.method)
    if adv.engine:
        check_engine_name(cfg)
    for option in split_options(adv.attack.options)[0]:
        key = "metric" if option == "distance" else option
        if key in adv.attack:
            raise ConfigError(f"adv.attack.options.{option} stands for adv.attack.{key}; set that")
    if adv.defense.name:
        DEFENSES.build(adv.defense.name, **defense_options(cfg))
    else:
        _check_no_defense(adv.defense)
    names = [lookup(cfg, key) or [] for key in ("data.sources", "data.targets")]
    check_selection(adv.selection.data, *names)
    for metric in filter(None, (adv.attack.metric, lookup(cfg, "test.dist_metric", ""))):
        if ":" not in metric:  # a module:function is found when the distance is built
            DISTANCES.name_of(metric)
    for section, table in _SECTIONS.items():
        for name, options in adv[section].items():
            if not isinstance(options, dict):
                raise ConfigError(
                    f"adv.{section}.{name} is a section of keywords, got {shown(options)}"
                )
            table.check_options(name, dict(options))


PER_ATTACK = ("step_size", "steps", "momentum")  # keys that a section of one attack may hold, too


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the options that hold for every attack, and those of single attacks by their names.

    Args:
        options: ``adv.attack.options``; a section called as a registered attack is of that attack
            alone, as in ``{lta: {legacy: True}}``.
    """
    common: dict[str, Any] = {}
    single: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        if isinstance(value, Mapping) and key in ATTACKS:
            single[ATTACKS.name_of(key)] = dict(plain(value))
        else:
            common[key] = value
    return common, single


def _check_attack_options(attack: str, options: Mapping[str, Any], where: str) -> None:
    """Check common options against the configured attack, and each section against its attack.

    Raises:
        ConfigError: an option that an attack does not take, or a key that holds for all attacks.
    """
    common, single = split_options(options)
    ATTACKS.check_options(attack, common)
    for name, section in single.items():
        ATTACKS.check_options(name, section)
        for option in section:
            key = "metric" if option == "distance" else option
            if key in (*_OF_ALL, "metric"):
                raise ConfigError(
                    f"{where}.{name}.{option} cannot differ between attacks; set adv.attack.{key}"
                )
            if option in PER_ATTACK:
                _check_single(f"{where}.{name}.{option}", option, section[option])


def _check_single(key: str, option: str, value: Any) -> None:
    """Hold a key of one attack against the declaration of that of all."""
    declared = next(known for known in KEYS if known.name == f"attack.{option}")
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"config key '{key}' is a number, got {shown(value)}")
    if declared.kind is int and not isinstance(value, int):
        raise ConfigError(f"config key '{key}' is a whole number, got {shown(value)}")
    wrong = declared.check(value)
    if wrong:
        raise ConfigError(f"config key '{key}' {wrong}, got {shown(value)}")


_OF_ALL = ("eps", "seed", "precision", "targeted", "weights")


def check_selection(name: str, sources: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse to choose checkpoints by a data set that is trained or tested on.

    Args:
        name: ``adv.selection.data``; "" = none.
        sources: the training sets.
        targets: the test sets.

    Raises:
        ConfigError: it is one of them.
    """
    for names, verb in ((targets, "tested"), (sources, "trained")):
        if name and name in names:
            raise ConfigError(
                f"adv.selection.data '{name}' is {verb} on: a checkpoint is chosen by a data set "
                "that has no other part in the run; name another one"
            )


def defense_options(cfg: AdvConfig) -> dict[str, Any]:
    """Return the keywords of the defense: its options, its preset, the size of the input.

    Raises:
        ConfigError: a preset is given twice, or to a defense that has none.
    """
    settings = cfg.adv.defense
    options, known = dict(plain(settings.options)), DEFENSES.options(settings.name)
    if settings.preset:
        if "preset" in options:
            raise ConfigError("adv.defense.options.preset stands for adv.defense.preset; set that")
        if "preset" not in known:
            raise ConfigError(f"the defense '{settings.name}' has no presets; leave it empty")
        options["preset"] = settings.preset
    size = [lookup(cfg, f"data.{side}") for side in ("height", "width")]
    if "final" in known and all(size):
        options.setdefault("final", size)
    return options


def _check_no_defense(settings: CfgNode) -> None:
    idle = [key for key in ("preset", "options", "draws", "eot_samples") if settings[key]]
    if idle:
        raise ConfigError(
            f"adv.defense.{idle[0]} is set, but no defense; name one with adv.defense.name"
        )
