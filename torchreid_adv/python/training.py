"""``adv.train``: torchreid's training with what this package adds, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from torchreid_adv import config
from torchreid_adv.core.speaking import Listener
from torchreid_adv.core.tabular import Tabular
from torchreid_adv.engines.train import train as run_training
from torchreid_adv.engines.train import weights_path
from torchreid_adv.evaluation.result import RetrievalResult
from torchreid_adv.models.loading import load_model
from torchreid_adv.models.pixel_model import PixelModel
from torchreid_adv.python.configured import Inputs, Settings, calling, config_of, place_keys


@dataclass(frozen=True)
class TrainResult(Tabular):
    """A training that has ended.

    Args:
        name: of the network.
        weights: checkpoint of the last epoch.
        size: height and width of its input.
        engine: torchreid's, whose ``model`` is trained.
        results: data set -> scores of the last evaluation.
    """

    name: str
    weights: Path
    size: tuple[int, int]
    engine: Any = field(repr=False)
    results: Mapping[str, RetrievalResult] = field(repr=False)

    def __repr__(self) -> str:
        listed = [f"{name} mAP {scores.mAP:.1%}" for name, scores in self.results.items()]
        return f"TrainResult({', '.join([self.entry, *listed])})"

    @property
    def entry(self) -> str:
        """How every list of models names it."""
        return f"{self.name}@{self.size[0]}x{self.size[1]}:{self.weights}"

    def model(self, *, device: str | torch.device | None = None) -> PixelModel:
        """Load the trained network from its checkpoint."""
        return load_model(self.entry, device=device)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row of scores for each data set."""
        about = {"model": self.name}
        return [
            {**about, "data": name, **scores.rows()[0]} for name, scores in self.results.items()
        ]

    def shares(self) -> tuple[str, ...]:
        """Return the measures."""
        return next((scores.shares() for scores in self.results.values()), ())


def train(
    model: str,
    sources: str | Sequence[str],
    *,
    targets: str | Sequence[str] | None = None,
    engine: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    loss: str | None = None,
    transforms: Sequence[str] | None = None,
    weights: str | Path | None = None,
    pretrained: bool | None = None,
    out: str | Path = "log/train",
    root: str | Path | None = None,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    device: str | torch.device | None = None,
    config_file: str | Path = "",
    settings: Settings | None = None,
    quiet: bool = False,
    progress: Listener | None = None,
) -> TrainResult:
    """Train a network as ``torchreid-adv train`` does, and return where its weights are.

    Args:
        model: name of torchreid's model factory or of :data:`torchreid_adv.MODELS`.
        sources: data sets to train on.
        targets: data sets to test on; None = the sources.
        engine: what training does besides, of :data:`torchreid_adv.ENGINES`; None = nothing.
        epochs: how many; None = 60.
        batch_size: images in a batch; None = 32.
        lr: learning rate; None = 0.0003.
        loss: ``softmax`` or ``triplet``; None = ``softmax``.
        transforms: training transforms; None = ``random_flip``.
        weights: checkpoint to start from.
        pretrained: start from the weights of ImageNet, which torchreid fetches; None = True.
        out: folder of log and checkpoints.
        root: data root; None = ``reid-data``.
        size: height and width; None = 256 x 128.
        seed: of the training.
        workers: processes that read images; None = 4.
        device: ``cpu`` or ``cuda``; None = the GPU if there is one.
        config_file: YAML file, merged first.
        settings: further config keys, for example ``{"adv.training.share": 0.5}``.
        quiet: nothing is printed; the log file has the lines.
        progress: called as ``progress("training", epochs done, epochs)``.

    Raises:
        ConfigError: a name, key or checkpoint that cannot be used.
        DataError: a data set or an image that cannot be used.

    Example:
        >>> trained = adv.train("osnet_x0_25", "virtual_a", epochs=5, out="log/a")
        >>> adv.evaluate(trained.model(), adv.load_dataset("virtual_a"))
    """
    shown = {"model": model, "sources": sources, "engine": engine, "epochs": epochs, "out": out}
    with calling("train", quiet=quiet, progress=progress, **shown, **(settings or {})):
        sources = [sources] if isinstance(sources, str) else list(sources)
        targets = [targets] if isinstance(targets, str) else targets
        keys = {
            "model.name": model,
            "model.load_weights": weights,
            "model.pretrained": pretrained,
            "data.sources": sources,
            "data.targets": list(targets or sources),
            "data.transforms": transforms,
            **place_keys(out, root, workers, size),
            "train.max_epoch": epochs,
            "train.batch_size": batch_size,
            "train.lr": lr,
            "train.seed": seed,
            "loss.name": loss,
            "adv.engine": engine,
        }
        cfg = config_of(keys, Inputs(), config_file=config_file, settings=settings, device=device)
        with config.using(cfg):
            trained = run_training(cfg)
    size = (cfg.data.height, cfg.data.width)
    results = dict(getattr(trained, "results", None) or {})
    return TrainResult(cfg.model.name, weights_path(cfg), size, trained, results)
