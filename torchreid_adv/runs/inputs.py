"""The models, weights and data sets that a config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.datasets import ReIDData, load_dataset
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.models.stated import INTERPOLATIONS
from torchreid_adv.models.tracklet_model import of_tracklets

HANDED_IN = "given"  # source of an entry for a module that a caller passes from Python
DATA_OPTIONS = {
    "split_id": "data.split_id",
    "cuhk03_labeled": "cuhk03.labeled_images",
    "cuhk03_classic_split": "cuhk03.classic_split",
    "market1501_500k": "market1501.use_500k_distractors",
    "seq_len": "video.seq_len",
    "sample_method": "video.sample_method",
}


def given_weights(cfg: AdvConfig) -> str:
    """Return the weights that a config names.

    Raises:
        ConfigError: it names none.
    """
    if cfg.model.load_weights:
        return str(cfg.model.load_weights)
    raise ConfigError(
        "model.load_weights is empty, and attacking random weights means nothing; give a "
        "checkpoint that torchreid wrote, or set adv.virtual.train_model True to train one"
    )


def configured_model(
    cfg: AdvConfig, weights: Callable[[AdvConfig], str] = given_weights
) -> tuple[PixelModel | Ensemble, dict[str, Any]]:
    """Return the model of a config, or several as one, and its entry in results.json.

    Args:
        cfg: the whole config.
        weights: finds the weights of ``model.name``, or trains them.

    Raises:
        ConfigError: no weights, or weights of another network.
    """
    specs = parse_models(cfg.adv.attack.models)
    if not specs:
        specs = [ModelSpec(cfg.model.name, cfg.model.name, weights(cfg))]
    if len(specs) == 1:
        model = load_spec(cfg, specs[0])
        about = {"name": specs[0].label, "weights": specs[0].weights, "size": list(model.size)}
        return model, about | unusual(model)
    return ensemble_of(specs, [load_spec(cfg, spec) for spec in specs])


def ensemble_of(
    specs: Sequence[ModelSpec], models: Sequence[PixelModel]
) -> tuple[Ensemble, dict[str, Any]]:
    """Return loaded models as one, and their entry in results.json."""
    ensemble, members = Ensemble(models), [unusual(model) for model in models]
    return ensemble, {
        "name": "+".join(spec.label for spec in specs),
        "weights": [spec.weights for spec in specs],
        "size": [list(size) for size in ensemble.size],
        **({"members": members} if any(members) else {}),
    }


def unusual(model: nn.Module) -> dict[str, Any]:
    """Return the facts in results.json on a model's input that differ from torchreid's test.

    These are its preprocessing, mirrored and joined features, and a camera used for all images.
    """
    part = next((p for p in model.modules() if isinstance(p, PixelModel)), None)
    if part is None:
        return {}
    plain = PixelModel(nn.Identity(), size=part.size, mean=part.mean, std=part.std)
    settings, usual = part.settings(), plain.settings()
    changed = any(settings[name] != usual[name] for name in settings if name != "output")
    facts: dict[str, Any] = {"preprocessing": str(part.preprocessing)} if changed else {}
    facts |= {name: settings[name] for name in ("flip", "parts") if settings[name] != "none"}
    fixed = getattr(part.network, "fixed", None)
    return facts | ({"labels_of_all_images": dict(fixed)} if fixed else {})


def load_spec(cfg: AdvConfig, spec: ModelSpec) -> PixelModel:
    """Load a model; the config supplies what the entry leaves open."""
    model = spec.load(
        (cfg.data.height, cfg.data.width),
        cfg.data.norm_mean,
        cfg.data.norm_std,
        device="cuda" if cfg.use_gpu else "cpu",
        resize=INTERPOLATIONS[cfg.adv.data.interpolation],
    )
    if cfg.data.type == "image":
        return model
    clip = cfg.video.seq_len if cfg.video.sample_method == "dense" else 0
    return of_tracklets(model, clip=clip, pooling=cfg.video.pooling_method)


@dataclass(frozen=True)
class Given:
    """Models and data sets that a Python caller has loaded; the config names all others.

    Args:
        models: label -> model, for entries whose source is :data:`HANDED_IN`.
        data: name -> data set.
    """

    models: Mapping[str, PixelModel] = field(default_factory=dict)
    data: Mapping[str, ReIDData] = field(default_factory=dict)

    def model(self, cfg: AdvConfig, spec: ModelSpec) -> PixelModel:
        """Return the model of an entry, see :func:`load_spec`."""
        handed = spec.weights == HANDED_IN and spec.label in self.models
        return self.models[spec.label] if handed else load_spec(cfg, spec)

    def dataset(self, cfg: AdvConfig, name: str, *, tracklets: bool = False) -> ReIDData:
        """Return the data set of a name, see :func:`configured_dataset`."""
        if name in self.data:
            return self.data[name]
        return configured_dataset(cfg, name, tracklets=tracklets)


NOTHING = Given()


def configured_dataset(cfg: AdvConfig, name: str, *, tracklets: bool = False) -> ReIDData:
    """Load one of the config's data sets.

    Args:
        cfg: the whole config.
        name: of the data set.
        tracklets: the caller can handle tracklets.

    Raises:
        ConfigError: it cannot, and the data set is of tracklets.
    """
    options = {keyword: lookup(cfg, key) for keyword, key in DATA_OPTIONS.items()}
    data = load_dataset(name, cfg.data.root, **options)
    if data.tracklets and not tracklets:
        raise ConfigError(
            f"'{name}' is of tracklets, and this command is for single images; attack-gallery and "
            "pictures take tracklets"
        )
    return data
