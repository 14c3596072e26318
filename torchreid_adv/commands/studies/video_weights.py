"""What lambda 1 to 3 of the video network do (figure 8 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from torchreid_adv.commands.studies.video import setting
from torchreid_adv.commands.study import Found, trained_models
from torchreid_adv.commands.video_scoring import Scores, started, video_scores
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.claims import Comparison
from torchreid_adv.report.factors import factors_figure
from torchreid_adv.report.readings import Reading


def figures(readings: Sequence[Reading]) -> Mapping[str, Figure]:
    """Return the picture of figure 8."""
    return {"curves": factors_figure(readings)}


@STUDIES.register(
    "video_weights",
    title="Lambda 1 to 3 of the video network: what holds",
    prepare=started,
    setting=setting,
    figures=figures,
)
def video_weights(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Train the network with other weights, one changed at a time.

    Args:
        cfg: of the network; ``adv.study.weights`` are the values, ``adv.video.weights`` is what
            the others stay at, and what is claimed to be best.
        seed: of the training.
        specs: the networks with the config's own weights.

    Raises:
        ConfigError: values that are not three lists of positive numbers.
    """
    found: list[Found] = []
    for place, values in enumerate(_values(cfg)):
        base = float(cfg.adv.video.weights[place])
        scores: dict[str, dict[float, Scores]] = {spec.label: {} for spec in specs}
        for value in sorted({base, *values}):
            own = cfg.clone()
            own.adv.video.weights[place] = value
            name = f"lambda{place + 1}_{value:g}"
            for spec in specs if value == base else trained_models(own, seed):
                folder = Path(cfg.data.save_dir) / spec.label / name
                scores[spec.label][value] = video_scores(own, spec, folder)
        for label, own_scores in scores.items():
            prefix = f"{label}: " if len(specs) > 1 else ""
            found += of_factor(f"{prefix}lambda {place + 1}", base, own_scores, seed)
    return found


def of_factor(factor: str, base: float, scores: dict[float, Scores], seed: int) -> list[Found]:
    """Return readings and claims of one of the weights.

    Args:
        factor: how it is called.
        base: what it is claimed to be best at.
        scores: value -> data set -> measures.
        seed: of the training.
    """
    found: list[Found] = []
    for value, sets in scores.items():
        for target, measures in sets.items():
            best = scores[base][target]["mAP"]
            row = f"{value:g}"
            found.append(Reading(f"{factor}: mAP", row, target, seed, measures["mAP"]))
            found.append(Reading(f"{factor}: Rank-1", row, target, seed, measures["cmc"]["1"]))
            if value != base:
                claim = f"{factor} = {base:g} gives no less than other values"
                found.append(Comparison(claim, f"{row}, {target}", seed, measures["mAP"], best))
    return found


def _values(cfg: AdvConfig) -> list[list[float]]:
    lists = cfg.adv.study.weights
    right = len(lists) == 3 and all(
        isinstance(values, list)
        and all(isinstance(value, (int, float)) and value > 0 for value in values)
        for values in lists
    )
    if not right or min(cfg.adv.video.weights) <= 0:
        raise ConfigError(
            f"adv.study.weights are three lists of positive numbers, as [[0.1, 1.0], [0.5], []], "
            f"around positive adv.video.weights; got {lists!r} and {cfg.adv.video.weights!r}"
        )
    return [[float(value) for value in values] for values in lists]
