"""The models of ``adv.zoo``: a config for each, checked without PyTorch."""

from __future__ import annotations

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.specs import parse_models
from torchreid_adv.runs.torchreid_checks import check, check_names

ROBUST = "adversarial_training"
OF_A_MODEL = (
    *("model", "train", "loss", "sampler", "sgd", "adam", "rmsprop"),
    *(f"data.{name}" for name in ("sources", "height", "width", "transforms", "combineall")),
    *(f"adv.{name}" for name in ("engine", "training", "defense", "transforms", "loss")),
    "adv.selection",
)


def configured_zoo(cfg: AdvConfig) -> dict[str, AdvConfig]:
    """Return the config of each model of ``adv.zoo``, checked before anything is trained.

    Raises:
        ConfigError: no model, a key that a model may not set, or a defense of the first model.
    """
    if not cfg.adv.zoo:
        raise ConfigError(
            "adv.zoo names no model; write {normal: {}, triplet: {loss.name: triplet}, ...}, each "
            "with the keys in which it differs, or take configs/zoo.yaml"
        )
    if cfg.adv.defense.name or cfg.adv.engine:
        raise ConfigError("each model of a zoo has its own defense: set it in adv.zoo.<name>")
    models = {label: _own(cfg, label) for label in cfg.adv.zoo}
    first, *_ = models
    if defense_of(models[first]):
        raise ConfigError(
            f"the first model of adv.zoo, '{first}', is what adversarial training is compared "
            "with; put one without adv.engine and adv.defense.name there"
        )
    return models


def evaluated_zoo(cfg: AdvConfig) -> dict[str, AdvConfig]:
    """Return :func:`configured_zoo` for a command that also takes ``adv.standard.models``.

    It is empty where the config has no zoo.

    Raises:
        ConfigError: both name models, or one of the zoo cannot be used.
    """
    if not cfg.adv.zoo:
        return {}
    if cfg.adv.standard.models:
        raise ConfigError(
            "the config has models in adv.zoo, each with its own defense, and "
            f"adv.standard.models names {', '.join(cfg.adv.standard.models)}; leave one of them out"
        )
    config.setup(cfg)
    return configured_zoo(cfg)


def _own(cfg: AdvConfig, label: str) -> AdvConfig:
    """Return the config of one model."""
    parse_models([f"{label}={cfg.model.name}"], trained=False)  # a label names a folder
    differs = cfg.adv.zoo[label]
    if not isinstance(differs, dict):
        raise ConfigError(f"adv.zoo.{label} is a section of keys, got {differs!r}")
    for key, _ in config.leaves(differs):
        if not any(f"{key}.".startswith(f"{allowed}.") for allowed in OF_A_MODEL):
            raise ConfigError(
                f"adv.zoo.{label} sets '{key}', but all models of a zoo are attacked and tested in "
                f"the same way; set it for all. A model may set: {', '.join(OF_A_MODEL)}"
            )
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.zoo.clear()
    run_cfg.merge_from_list([part for pair in differs.items() for part in pair])
    check(run_cfg)
    if run_cfg.adv.engine not in ("", ROBUST):
        raise ConfigError(
            f"adv.zoo.{label}: adv.engine is '' or '{ROBUST}', got {run_cfg.adv.engine}"
        )
    config.setup(run_cfg)
    check_names(run_cfg)
    return run_cfg


def defense_of(run_cfg: AdvConfig) -> str:
    """Return the name of a model's defense, "" without one."""
    training = f"{run_cfg.adv.training.mode} adversarial training" if run_cfg.adv.engine else ""
    return " + ".join(filter(None, (training, str(run_cfg.adv.defense.name))))
