"""What is claimed of universal attacks: parts and whole, meta-learning, models and data unseen."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.claims import Comparison, Reading
from torchreid_adv.experiments.learned import UniversalScores, Victim, learned, ways
from torchreid_adv.experiments.scenario_tables import SCENARIOS, Outcome
from torchreid_adv.experiments.scenarios import attacked_by, outcomes
from torchreid_adv.experiments.study import Found, trained_models
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES

KEPT = 0.3  # of the source mAP that may be left: the attack takes 70 % at least
CLEAN = "clean"
PARTS = ("color", "delta")
WHOLE = "both"
META = "meta {}"
KEPT_STEP, AS_MANY = "two_step {}", "twice {}"  # the same number of steps
Means = dict[tuple[str, str], float]  # (way or "clean", scenario) -> mAP


@STUDIES.register("universal", title="Universal attacks: what holds")
def universal(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Learn against a network on the source, test all networks on the source and elsewhere.

    Args:
        cfg: ``data.sources`` is learned on, ``data.targets`` are unseen (the source is tested,
            too), ``adv.meta.virtual`` is the meta-test set, ``adv.scenarios.learned`` names the
            networks that are learned against, by default the first one.
        seed: of the networks.
        specs: two networks or more, trained on the source.

    Raises:
        ConfigError: one network, no unseen data set, or one that was learned on.
    """
    source, unseen = _data(cfg, specs)
    known = [_victim(spec, source) for spec in specs]
    for name in unseen:
        own = cfg.clone()
        own.data.sources = [name]
        known += [_victim(spec, name) for spec in trained_models(own, seed)]
    out = Path(cfg.data.save_dir)
    scores = UniversalScores(cfg, known, out)
    found: list[Found] = []
    for on in attacked_by(cfg, known):
        attacks = [learned(cfg, on, one, out) for one in ways(cfg)]
        means = _means(outcomes(attacks, known, scores))
        found += readings(means, on.model, seed)
        found += [Comparison(claim, case, seed, *pair) for claim, case, *pair in claims(means, on)]
    return found


def readings(means: Means, model: str, seed: int) -> list[Reading]:
    """Return the table of one attacked network: ways by scenarios."""
    title = f"mAP, learned against {model}"
    return [Reading(title, *place, seed, value) for place, value in means.items()]


Line = tuple[str, str, float, float]  # claim, case, the figure that should be smaller, the other


def claims(means: Means, on: Victim) -> Iterator[Line]:
    """Yield the claims with their figures; a scenario that nobody tested is passed over."""
    names = {way for way, _ in means}
    source = next(iter(SCENARIOS))
    for whole in (WHOLE, META.format(WHOLE)):
        if whole in names:
            case = f"{on.model}: {whole}"
            left = KEPT * means[CLEAN, source]
            yield (
                "the universal attack takes 70 % of the source mAP or more",
                case,
                means[whole, source],
                left,
            )
            for part in PARTS:
                one = whole.replace(WHOLE, part)
                if one in names:
                    claim = f"both parts leave no more on the source than the {part} alone"
                    yield claim, case, means[whole, source], means[one, source]
    for scenario in SCENARIOS:
        for kind in (*PARTS, WHOLE):
            pair = means.get((META.format(kind), scenario)), means.get((kind, scenario))
            if None not in pair:
                claim = f"meta-learning leaves no more ({_words(scenario)})"
                yield claim, f"{on.model}: {kind}", pair[0] or 0.0, pair[1] or 0.0
            pair = (
                means.get((KEPT_STEP.format(kind), scenario)),
                means.get((AS_MANY.format(kind), scenario)),
            )
            if None not in pair:
                claim = (
                    "meta-learning that keeps its temporary step leaves no more than as many plain "
                    f"steps ({_words(scenario)})"
                )
                yield claim, f"{on.model}: {kind}", pair[0] or 0.0, pair[1] or 0.0


def _means(found: list[Outcome]) -> Means:
    """Return the mean mAP of each way in each scenario, over the networks and sets tested."""
    means: Means = {}
    for scenario in SCENARIOS:
        own = [one for one in found if one.scenario == scenario]
        if own:
            means[CLEAN, scenario] = statistics.fmean(one.clean["mAP"] for one in own)
    for way in dict.fromkeys(one.way for one in found):
        for scenario in SCENARIOS:
            values = [
                one.adversarial["mAP"]
                for one in found
                if (one.way, one.scenario) == (way, scenario)
            ]
            if values:
                means[way, scenario] = statistics.fmean(values)
    return means


def _data(cfg: AdvConfig, specs: list[ModelSpec]) -> tuple[str, list[str]]:
    source = cfg.data.sources[0]
    unseen = [name for name in dict.fromkeys(cfg.data.targets) if name != source]
    if len(specs) < 2 or not unseen or len(cfg.data.sources) > 1:
        raise ConfigError(
            "the study learns on the one set of data.sources and tests two networks or more of "
            "adv.study.models on it and on further sets of data.targets; one of these is missing"
        )
    if cfg.adv.meta.virtual in {source, *unseen}:
        raise ConfigError(
            f"adv.meta.virtual '{cfg.adv.meta.virtual}' is the meta-test set and must be neither "
            "learned nor tested on; name another data set"
        )
    return source, unseen


def _victim(spec: ModelSpec, data: str) -> Victim:
    return Victim(spec.label, data, ModelSpec(f"{spec.label}-{data}", *_rest(spec)))


def _rest(spec: ModelSpec) -> tuple[str, str, tuple[int, int] | None]:
    return spec.name, spec.weights, spec.size


def _words(scenario: str) -> str:
    return "source" if scenario == "source" else f"unseen: {scenario.removeprefix('cross-')}"
