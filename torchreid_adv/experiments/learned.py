"""Universal perturbations learned within a larger job, each once, then cached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents, file_digest
from torchreid_adv.core.given_files import file_fault
from torchreid_adv.engines.deciding_keys import LEARNING, config_facts
from torchreid_adv.engines.meta_attack import MetaAttackMixin
from torchreid_adv.engines.trained import FOLDER, set_facts, train_quietly
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.runs.folder import machinery

LEARNED = "learned"  # folder of learned perturbations
FILE = MetaAttackMixin.learned_file
_BOUND = re.compile(r"(.+)_eps(\d+)")


@dataclass(frozen=True)
class SourceModel:
    """A model and the data set it was trained on.

    Args:
        model: its name, such as ``IDE``.
        data: the data set.
        spec: its entry, with the weights.
    """

    model: str
    data: str
    spec: ModelSpec


@dataclass(frozen=True)
class Recipe:
    """The settings that a perturbation is learned with.

    Args:
        name: in tables.
        settings: keys of ``adv.meta`` -> value.
        eps: bound, gray levels.
        metric: in the loss; "" = ``adv.attack.metric``.
    """

    name: str
    eps: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    metric: str = ""


@dataclass(frozen=True)
class LearnedAttack:
    """An attack that was learned against one model and one training set.

    Args:
        way: name of its recipe.
        on: the model and the data.
        eps: bound, gray levels.
        file: of the perturbation.
        attack: registered attack that applies it.
    """

    way: str
    on: SourceModel
    eps: float
    file: Path
    attack: str = "universal"

    @property
    def name(self) -> str:
        """Folder of the images attacked with it."""
        digest = file_digest(self.file, "the learned attack")
        return f"{self.on.spec.label}-{_slug(self.way)}-{digest[:8]}"


def source_models(entries: list[str]) -> list[SourceModel]:
    """Return the models of a list whose labels end in the data set: ``IDE-market1501``.

    Raises:
        ConfigError: a label without a data set, or an entry of another form.
    """
    sources = []
    for spec in parse_models(entries):
        model, _, data = spec.label.rpartition("-")
        if not (model and data):
            raise ConfigError(
                f"the label '{spec.label}' does not name the model's training set; write "
                f"'{spec.label}-DATA={spec.name}:{spec.weights}', such as IDE-market1501"
            )
        sources.append(SourceModel(model, data, spec))
    return sources


def recipes(cfg: AdvConfig, eps: float | None = None) -> list[Recipe]:
    """Return the recipes of ``adv.scenarios``: each perturbation with each way of learning.

    Raises:
        ConfigError: the config names no perturbation or no way of learning.
    """
    keys = cfg.adv.scenarios
    if not keys.perturbations or not keys.learning:
        raise ConfigError(
            "nothing is learned: adv.scenarios.perturbations or adv.scenarios.learning is empty"
        )
    bound = float(cfg.adv.attack.eps if eps is None else eps)
    return [way(kind, how, bound) for how in keys.learning for kind in keys.perturbations]


def way(perturbation: str, learning: str, eps: float, **settings: Any) -> Recipe:
    """Return a recipe under its usual name: ``delta``, and with meta-learning ``meta delta``."""
    name = perturbation if learning == "source" else f"{learning} {perturbation}"
    return Recipe(name, eps, {"perturbation": perturbation, "learning": learning, **settings})


def last_recipe(cfg: AdvConfig, eps: float) -> Recipe:
    """Return the last recipe of ``adv.scenarios``, which is used for several bounds."""
    keys = cfg.adv.scenarios
    return way(keys.perturbations[-1], keys.learning[-1], eps)


def learned(cfg: AdvConfig, on: SourceModel, recipe: Recipe, out: Path) -> LearnedAttack:
    """Learn a perturbation on a training set against its model, unless it is in the cache.

    It is stored atomically in ``<out>/learned/<model>-<recipe>-<hash of its settings>``.

    Args:
        cfg: for everything that the recipe leaves open.
        on: the model and the training set.
        recipe: of the perturbation.
        out: folder of the job.
    """
    run_cfg = learning_settings(cfg, on, recipe)
    key, cache = learning_key(run_cfg), Cache(out / LEARNED)
    name = f"{on.spec.label}-{_slug(recipe.name)}-eps{recipe.eps:g}"
    folder = cache.path(name, key)
    if not folder.exists():
        print(f"=> Learning against {on.spec.label}: {recipe.name}, eps {recipe.eps:g}: {folder}")
    cache.folder(name, key, lambda place: _learn(run_cfg, place))
    return LearnedAttack(recipe.name, on, recipe.eps, folder / FILE)


def _learn(run_cfg: AdvConfig, folder: Path) -> None:
    run_cfg.data.save_dir = str(folder)
    train_quietly(run_cfg)


def given(cfg: AdvConfig, known: list[SourceModel]) -> list[LearnedAttack]:
    """Return the attacks of ``adv.scenarios.files``, which were learned elsewhere.

    A name that ends in ``_eps16`` has that bound; others have ``adv.attack.eps``.

    Raises:
        ConfigError: an attack on an unknown model, or a file that does not exist.
    """
    labels = {victim.spec.label: victim for victim in known}
    attacks = []
    for spec in parse_models(list(cfg.adv.scenarios.files)):
        name, _, label = spec.label.partition(".")
        if label not in labels:
            raise ConfigError(
                f"adv.scenarios.files '{spec.label}' was learned against '{label}', which is not "
                f"among the models {', '.join(labels)}; write way.MODEL-DATA=attack:FILE"
            )
        fault = file_fault(spec.weights, (".safetensors",))
        if fault:
            raise ConfigError(f"adv.scenarios.files names '{spec.weights}', {fault}")
        bound = _BOUND.fullmatch(name)
        eps = float(bound[2] if bound else cfg.adv.attack.eps)
        name = bound[1] if bound else name
        attacks.append(LearnedAttack(name, labels[label], eps, Path(spec.weights), spec.name))
    return attacks


def learning_settings(cfg: AdvConfig, on: SourceModel, recipe: Recipe) -> AdvConfig:
    """Return the config of the learning: torchreid's training, applied to a perturbation.

    Raises:
        ConfigError: the model's entry sets the preprocessing of images, which torchreid's loaders
            take from the config.
    """
    run_cfg: AdvConfig = cfg.clone()
    spec = on.spec
    if spec.normalization or spec.options:
        raise ConfigError(
            f"a perturbation is learned against '{spec.label}' from images that torchreid's "
            "loaders prepare, with the config's normalization; its entry may only set @HEIGHTxWIDTH"
        )
    run_cfg.model.name, run_cfg.model.load_weights = spec.name, spec.weights
    run_cfg.model.pretrained, run_cfg.model.resume = False, ""
    run_cfg.data.height, run_cfg.data.width = spec.size or (cfg.data.height, cfg.data.width)
    run_cfg.data.sources = run_cfg.data.targets = [on.data]
    run_cfg.data.transforms = []  # as in the paper: resized, not augmented
    run_cfg.loss.name, run_cfg.test.evaluate = "softmax", False
    run_cfg.sampler.train_sampler = "RandomIdentitySampler"
    run_cfg.sampler.num_instances = cfg.adv.scenarios.instances
    run_cfg.train.batch_size, run_cfg.train.max_epoch = (
        cfg.adv.scenarios.batch,
        cfg.adv.scenarios.epochs,
    )
    run_cfg.train.start_epoch = run_cfg.train.fixbase_epoch = 0
    run_cfg.test.eval_freq = -1
    config.set_engine(run_cfg, "untested_progress", "meta_attack")
    run_cfg.adv.attack.update(
        name="ifgsm", eps=recipe.eps, steps=None, weights="", options=AdvConfig(new_allowed=True)
    )
    run_cfg.adv.attack.metric = recipe.metric or run_cfg.adv.attack.metric
    run_cfg.adv.meta.update(**recipe.settings)
    run_cfg.adv.selection.data = ""
    return run_cfg


def learning_key(run_cfg: AdvConfig) -> Key:
    """Return the key of a learned perturbation.

    Args:
        run_cfg: the config of the learning.

    Raises:
        ConfigError: the weights of the model cannot be read.
        DataError: a data set is missing or cannot be read.
    """
    contents = Contents(Path(run_cfg.data.root).expanduser() / FOLDER)
    names = [*run_cfg.data.sources]
    names += (
        [run_cfg.adv.meta.virtual] if run_cfg.adv.meta.learning not in ("source", "twice") else []
    )
    images = [
        set_facts(run_cfg, name, contents, combineall=bool(run_cfg.data.combineall))
        for name in names
    ]
    contents.keep()
    return Key.of(config=config_facts(run_cfg, LEARNING), images=images, machinery=machinery())


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)
