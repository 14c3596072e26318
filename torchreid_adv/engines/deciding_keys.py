"""The config keys that decide a result: all, except those listed here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.contents import Contents, file_digest


@dataclass(frozen=True)
class LeftOut:
    """Keys that do not decide a result.

    Args:
        keys: dotted names of keys or sections.
        reason: why they do not decide it.
        where: config -> whether this holds for it; by default always.
    """

    keys: tuple[str, ...]
    reason: str
    where: Callable[[AdvConfig], bool] = lambda cfg: True

    def has(self, key: str) -> bool:
        """Tell whether a key is one of these."""
        return any(f"{key}.".startswith(f"{name}.") for name in self.keys)


def _trains_by(cfg: AdvConfig, engine: str) -> bool:
    return engine in config.engine_names(cfg)


def _attacks(cfg: AdvConfig) -> bool:
    return any(_trains_by(cfg, name) for name in ("adversarial_training", "meta_defense"))


def _ranks(cfg: AdvConfig) -> bool:
    return _attacks(cfg) or bool(cfg.adv.selection.data)


PLACES = (
    LeftOut(("data.save_dir", "adv.training.folder"), "where files are written"),
    LeftOut(
        ("data.root", "adv.data.adversarial_dir", "adv.data.lists"),
        "a place; the images there count",
    ),
    LeftOut(
        ("adv.data.camera", "adv.data.copies", "adv.mot"),
        "they select or check the images of a user's own set, and the images count",
    ),
    LeftOut(
        (
            *("adv.study", "adv.scenarios", "adv.transfer", "adv.pictures", "adv.standard"),
            *("adv.zoo", "adv.card", "adv.corruption"),
        ),
        "they apply to models that are already trained",
    ),
)
_SHOWN = (
    LeftOut(
        ("train.print_freq", "test.ranks", "test.visrank", "test.visrank_topk", "adv.report"),
        "what is printed and drawn",
    ),
    LeftOut(
        ("test.rerank", "test.batch_size", "adv.evaluation"), "how a trained network is tested"
    ),
    LeftOut(
        ("adv.virtual.test_identities", "adv.virtual.distractors", "adv.virtual.train_model"),
        "training sees nothing of them, and the images that it sees count",
    ),
)
TRAINING = (
    *PLACES,
    *_SHOWN,
    LeftOut(("adv.mis_ranking",), "its engine trains no network of this kind"),
    LeftOut(
        ("adv.data.interpolation",),
        "torchreid's loaders resize what is trained on; a network that is attacked is loaded",
        lambda cfg: not _attacks(cfg),
    ),
    LeftOut(
        ("adv.attack", "adv.training", "adv.job", "adv.distances", "adv.defense"),
        "this training attacks nothing and ranks nothing",
        lambda cfg: not _attacks(cfg),
    ),
    LeftOut(
        ("test.dist_metric", "test.normalize_feature"),
        "this training attacks nothing and ranks nothing",
        lambda cfg: not _ranks(cfg),
    ),
    LeftOut(
        ("adv.meta",),
        "this training has no meta-test",
        lambda cfg: not _trains_by(cfg, "meta_defense"),
    ),
    LeftOut(
        ("adv.start",),
        "a network that starts from a start's weights depends on these weights alone",
        lambda cfg: not _trains_by(cfg, "kept_progress"),
    ),
    LeftOut(("adv.video",), "it is of images", lambda cfg: not _trains_by(cfg, "vi_self_attack")),
    LeftOut(("adv.video.descriptor",), "it is how a trained network is asked"),
)
LEARNING = (
    *PLACES,
    *_SHOWN,
    LeftOut(("adv.start",), "the network's weights count"),
    LeftOut(("adv.data.interpolation",), "torchreid's loaders resize the training images"),
    LeftOut(
        ("adv.training", "adv.video", "adv.mis_ranking", "adv.job", "adv.defense"),
        "other engines and the runs that apply the noise read them",
    ),
    LeftOut(
        ("adv.meta.virtual", "adv.meta.inner", "adv.meta.order", "adv.meta.inner_step_size"),
        "there is no meta-test",
        lambda cfg: cfg.adv.meta.learning in ("source", "twice"),
    ),
)
FILES = (  # keys that name a file, which counts by its content, not its path
    "model.load_weights",
    "model.resume",
    "adv.attack.weights",
    "adv.training.weights",
    "adv.training.universal",
    "adv.video.backbone",
)


def config_facts(cfg: AdvConfig, left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """Return the deciding keys with their values; files count by their content.

    A new key decides until it is listed in ``left_out``.

    Args:
        cfg: the whole config.
        left_out: keys that do not decide, with reasons.

    Raises:
        ConfigError: a file that a key names cannot be read.
    """
    excluded = [group for group in left_out if group.where(cfg)]
    deciding = {
        key: value
        for key, value in config.leaves(cfg)
        if not any(group.has(key) for group in excluded)
    }
    facts = {key: _value(key, value) for key, value in deciding.items()}
    return {**facts, "files": dict(sorted(_files(deciding)))}


def _value(key: str, value: Any) -> Any:
    if key in FILES and value:
        return file_digest(value, f"the file of {key}")
    return config.plain(value)


def _files(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the files that other values name, alone or after a colon, and the plugins' by module.

    A plugin counts by its name and content, wherever it is installed.
    """
    names = {text for key, value in values.items() if key not in FILES for text in _texts(value)}
    files = {name: name for name in names | {name.partition(":")[2] for name in names}}
    for name in map(str, values.get("adv.plugins", ())):
        files[name] = getattr(sys.modules.get(name), "__file__", None) or ""
    for name, path in sorted(files.items()):
        if path and Path(path).expanduser().is_file():
            yield name, Contents().of([Path(path).expanduser()])[0]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
