"""Models that ``standard`` and ``card`` evaluate, each with the config that it is tested under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.trained import trained_weights, weights_of
from torchreid_adv.experiments.zoo import trained_zoo
from torchreid_adv.experiments.zoo_models import evaluated_zoo
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.runs.defended_run import configured_test
from torchreid_adv.runs.inputs import NOTHING, Given
from torchreid_adv.runs.torchreid_checks import check_trainable


@dataclass(frozen=True)
class EvaluatedModel:
    """A model and the config of its test, which has its input size and its defense.

    Args:
        spec: label, network and weights.
        cfg: the whole config.
    """

    spec: ModelSpec
    cfg: AdvConfig

    def load(self, loaded: Given = NOTHING) -> ImageModel:
        """Return the model behind its defense, if it has one.

        Args:
            loaded: models that a Python caller has loaded.
        """
        model, test = loaded.model(self.cfg, self.spec), configured_test(self.cfg)
        return model if test is None else test.of(model)


def evaluated_models(cfg: AdvConfig) -> list[EvaluatedModel]:
    """Return the models to evaluate, trained if the config says so.

    They are those of ``adv.standard.models``, those of ``adv.zoo``, each with its own defense, or
    else the one of ``model.name``.

    Args:
        cfg: the whole config.

    Raises:
        ConfigError: both lists name models, or a model of the zoo cannot be used.
    """
    if cfg.adv.zoo:
        return _of_zoo(cfg)
    if not cfg.adv.standard.models:
        return [EvaluatedModel(ModelSpec(cfg.model.name, cfg.model.name, weights_of(cfg)), cfg)]
    return [EvaluatedModel(spec, cfg) for spec in _specs(cfg, cfg.adv.standard.models)]


def configured_surrogates(cfg: AdvConfig) -> list[ModelSpec]:
    """Return the surrogates of ``adv.standard.surrogates``."""
    return _specs(cfg, cfg.adv.standard.surrogates)


def _of_zoo(cfg: AdvConfig) -> list[EvaluatedModel]:
    members = evaluated_zoo(cfg)
    specs = trained_zoo(members)
    return [EvaluatedModel(specs[label], _test_of(cfg, members[label])) for label in members]


def _test_of(cfg: AdvConfig, member: AdvConfig) -> AdvConfig:
    """Return the config of a zoo with the input size and the defense of one of its models."""
    test: AdvConfig = cfg.clone()
    test.adv.zoo.clear()
    test.data.height, test.data.width = member.data.height, member.data.width
    test.adv.defense = member.adv.defense.clone()
    return test


def _specs(cfg: AdvConfig, entries: Sequence[str]) -> list[ModelSpec]:
    """Return models with their weights, trained for the quick start if necessary."""
    if not cfg.adv.virtual.train_model:
        return parse_models(entries)
    specs = parse_models(entries, trained=None)
    return [spec if spec.weights else _trained(cfg, spec) for spec in specs]


def _trained(cfg: AdvConfig, spec: ModelSpec) -> ModelSpec:
    run_cfg = cfg.clone()
    run_cfg.model.name = spec.name
    check_trainable(run_cfg)
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    return replace(spec, weights=str(trained_weights(run_cfg)))
