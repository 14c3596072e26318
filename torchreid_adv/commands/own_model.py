"""The quick start's own model: trained once on its sources, then kept below the data root."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.commands.train import train, weights_path
from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.selection import BEST
from torchreid_adv.jobs.files import removed_after, unfinished_name
from torchreid_adv.jobs.lock import making
from torchreid_adv.jobs.manifest import sha256

WITHIN = {  # engine -> the same inside a job
    "adversarial_training": "robust_progress",
    "meta_defense": "defense_progress",
    "vi_self_attack": "video_progress",
}
DECIDES = ("model", "train", "loss", "sampler", "sgd", "adam", "rmsprop")


def trained_weights(cfg: AdvConfig, *, engine: str = "progress") -> Path:
    """Return the weights of the model that a config describes, training it if need be.

    They lie in ``<data.root>/models/<model>-<hash of what decides them>``, whole or not at all:
    those of the last epoch, or the best ones by ``adv.selection.data``.

    Args:
        cfg: the whole config.
        engine: the mixin that trains, one that shows a bar.
    """
    name = f"{cfg.model.name}-{_digest(cfg, engine)}"
    folder = Path(cfg.data.root).expanduser() / "models" / name
    chosen = BEST if cfg.adv.selection.data else f"model.pth.tar-{cfg.train.max_epoch}"
    wanted = folder / "model" / chosen
    if wanted.is_file():
        print(f"=> Using the model trained before: {wanted}")
        return wanted
    with making(folder):
        if not wanted.is_file():  # by a process that this one has waited for
            print(f"=> Training {cfg.model.name} on {', '.join(cfg.data.sources)}, once: {wanted}")
            unfinished = folder.with_name(unfinished_name(folder.name))
            with removed_after(unfinished):
                _train(cfg, unfinished, engine)
                os.replace(unfinished, folder)
    return wanted


def _train(cfg: AdvConfig, folder: Path, engine: str) -> None:
    settings = cfg.clone()
    settings.data.save_dir = str(folder)
    settings.data.targets = list(cfg.data.sources)
    settings.test.evaluate = False
    settings.adv.engine = WITHIN.get(cfg.adv.engine, engine)
    settings.adv.training.evaluate, settings.adv.training.report = False, []
    train_quietly(settings)
    assert weights_path(settings).is_file()


def train_quietly(cfg: AdvConfig) -> Any:
    """Train or test as a config says, without torchreid's lines; return its engine.

    The log file below ``data.save_dir`` has the lines.
    """
    Path(cfg.data.save_dir).mkdir(parents=True, exist_ok=True)
    with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet), config.using(cfg):
        return train(cfg)


def _digest(cfg: AdvConfig, engine: str) -> str:
    decides: dict[str, Any] = {name: config.plain(cfg.get(name)) for name in DECIDES}
    decides["data"] = {k: v for k, v in config.plain(cfg.data).items() if k in _DATA}
    decides["adv"] = {k: config.plain(cfg.adv[k]) for k in ("virtual", "transforms", "plugins")}
    for key in ("test_identities", "distractors", "train_model"):  # training sees nothing of them
        del decides["adv"]["virtual"][key]
    if cfg.adv.engine == "vi_self_attack":
        decides |= {"video": config.plain(cfg.video)}
        decides["adv"]["video"] = config.plain(cfg.adv.video)
        decides["adv"]["video"]["backbone"] = _file_hash(cfg.adv.video.backbone)
    elif cfg.adv.engine in WITHIN:
        training = {k: v for k, v in config.plain(cfg.adv.training).items() if k not in _PLACES}
        training["clean"] = _file_hash(cfg.adv.training.weights)
        if cfg.adv.training.universal:
            training["universal"] = _file_hash(cfg.adv.training.universal)
        decides["adv"] |= {"training": training, "attack": config.plain(cfg.adv.attack)}
    if cfg.adv.engine == "meta_defense":
        decides["adv"]["meta"] = config.plain(cfg.adv.meta)
        decides["adv"]["attack"]["weights"] = _file_hash(cfg.adv.attack.weights)
        decides["model"]["load_weights"] = _file_hash(cfg.model.load_weights)
    if cfg.adv.loss.triplet:
        decides["adv"]["loss"] = config.plain(cfg.adv.loss)
    if cfg.adv.selection.data:
        decides["adv"]["selection"] = config.plain(cfg.adv.selection)
    if engine != "progress":
        decides["engine"] = engine
    return sha256(json.dumps(decides, sort_keys=True).encode())[:8]


def _file_hash(path: str) -> str:
    return sha256(Path(path).read_bytes()) if path else ""


_PLACES = ("weights", "universal", "folder", "evaluate", "report")
_DATA = ("sources", "height", "width", "transforms", "norm_mean", "norm_std", "combineall")
