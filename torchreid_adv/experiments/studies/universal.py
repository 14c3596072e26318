"""Claims about universal attacks: parts and whole, meta-learning, unseen models and data."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.claims import Claim, Line, Printed, PrintedCells, Reading, cases_of
from torchreid_adv.experiments.learned import SourceModel, learned, recipes
from torchreid_adv.experiments.scenario_tables import SCENARIOS, ScenarioCell
from torchreid_adv.experiments.scenarios import attacked_by, outcomes
from torchreid_adv.experiments.study import Found, trained_models
from torchreid_adv.experiments.universal_scores import UniversalScores
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES

KEPT = 0.3  # largest remaining share of the source mAP: the attack takes at least 70 %
CLEAN = "clean"
PARTS = ("color", "delta")
WHOLE = "both"
META = "meta {}"
KEPT_STEP, AS_MANY = "two_step {}", "twice {}"  # the same number of steps
Means = dict[tuple[str, str], float]  # (way or "clean", scenario) -> mAP

KINDS = (*PARTS, WHOLE)
METAS = tuple(META.format(kind) for kind in KINDS)
TABLES = dict(zip(SCENARIOS, (f"meta.table{n}" for n in (1, 2, 3, 4)), strict=True))
RESTS_ON = {
    "source": ("clean", "white-box I-FGSM, queries"),
    "cross-model": ("clean", "black-box I-FGSM"),
    "cross-dataset": ("clean", "gray-box I-FGSM"),
    "cross-model-dataset": ("clean", "black-box I-FGSM"),
}
SOURCE = next(iter(SCENARIOS))


def _words(scenario: str) -> str:
    return "source" if scenario == "source" else f"unseen: {scenario.removeprefix('cross-')}"


def _both_less_than(part: str) -> Printed:
    """Return how much less mAP both parts leave on the source network than one of them."""
    pairs = ((WHOLE, part), (META.format(WHOLE), META.format(part)))

    def less(mAP: PrintedCells) -> float:
        alone, together = (tuple(pair[place] for pair in pairs) for place in (1, 0))
        return mAP(tested="IDE", attack=alone) - mAP(tested="IDE", attack=together)

    return Printed((TABLES[SOURCE],), less, "IDE")


def _taken(mAP: PrintedCells) -> float:
    """Return 30 % of the source mAP minus the mAP under both parts."""
    under_both = mAP(tested="IDE", attack=(WHOLE, META.format(WHOLE)))
    return KEPT * mAP(tested="IDE", attack="") - under_both


TAKES = Claim(
    "Both parts take more than 70 % of the source mAP",
    RESTS_ON[SOURCE],
    Printed((TABLES[SOURCE],), _taken, "IDE"),
)
TOGETHER = {
    part: Claim(
        f"Both parts leave less mAP on the source than the {part} alone",
        RESTS_ON[SOURCE],
        _both_less_than(part),
    )
    for part in PARTS
}
GAINS = {
    scenario: Claim(
        f"Meta-learning leaves less mAP ({_words(scenario)})",
        RESTS_ON[scenario],
        Printed((TABLES[scenario],), lambda mAP: mAP(attack=KINDS) - mAP(attack=METAS)),
    )
    for scenario in SCENARIOS
}
STEPS = {
    scenario: Claim(
        "Meta-learning that keeps its temporary step leaves less mAP than as many plain steps "
        f"({_words(scenario)})",
        RESTS_ON[scenario],
    )
    for scenario in SCENARIOS
}
CLAIMS = (TAKES, *TOGETHER.values(), *GAINS.values(), *STEPS.values())


def _data(cfg: AdvConfig) -> tuple[str, list[str]]:
    """Return the source and the unseen data sets."""
    source = cfg.data.sources[0]
    return source, [name for name in dict.fromkeys(cfg.data.targets) if name != source]


def _check(cfg: AdvConfig) -> None:
    source, unseen = _data(cfg)
    if len(cfg.adv.study.models) < 2 or not unseen or len(cfg.data.sources) > 1:
        raise ConfigError(
            "the study learns on the one set of data.sources and tests two networks or more of "
            "adv.study.models on it and on further sets of data.targets; one of these is missing"
        )
    if cfg.adv.meta.virtual in {source, *unseen}:
        raise ConfigError(
            f"adv.meta.virtual '{cfg.adv.meta.virtual}' is the meta-test set and must not be "
            "learned or tested on; name another data set"
        )


@STUDIES.register("universal", title="Universal attacks", claims=CLAIMS, orders=True, check=_check)
def universal(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Learn against a network on the source, test all networks on the source and unseen sets.

    Args:
        cfg: attacks are learned on ``data.sources`` and tested on it and on the unseen
            ``data.targets``; ``adv.meta.virtual`` is the meta-test set; ``adv.scenarios.learned``
            names the networks that are learned against, by default the first one.
        seed: of the networks.
        specs: two networks or more, trained on the source.
    """
    source, unseen = _data(cfg)
    known = [_victim(spec, source) for spec in specs]
    for name in unseen:
        run_cfg = cfg.clone()
        run_cfg.data.sources = [name]
        known += [_victim(spec, name) for spec in trained_models(run_cfg, seed)]
    out = Path(cfg.data.save_dir)
    scores = UniversalScores(cfg, known, out)
    results: list[Found] = []
    for on in attacked_by(cfg, known):
        attacks = [learned(cfg, on, recipe, out) for recipe in recipes(cfg)]
        means = _means(outcomes(attacks, known, scores))
        results += readings(means, on.model, seed)
        results += cases_of(claims(means, on), seed)
    return results


def readings(means: Means, model: str, seed: int) -> list[Reading]:
    """Return the table of one attacked network: attacks by scenarios."""
    title = f"mAP, learned against {model}"
    return [Reading(title, *place, seed, value) for place, value in means.items()]


def claims(means: Means, on: SourceModel) -> Iterator[Line]:
    """Yield the claims with their values; scenarios without a test are skipped."""
    names = {recipe for recipe, _ in means}
    for whole in (WHOLE, META.format(WHOLE)):
        if whole in names:
            case = f"{on.model}: {whole}"
            yield TAKES, case, means[whole, SOURCE], KEPT * means[CLEAN, SOURCE]
            for part, claim in TOGETHER.items():
                alone = whole.replace(WHOLE, part)
                if alone in names:
                    yield claim, case, means[whole, SOURCE], means[alone, SOURCE]
    pairs = ((GAINS, META, "{}"), (STEPS, KEPT_STEP, AS_MANY))
    for scenario in SCENARIOS:
        for kind in KINDS:
            for claims_of, *pair in pairs:
                smaller, larger = (
                    means.get((template.format(kind), scenario)) for template in pair
                )
                if smaller is not None and larger is not None:
                    yield claims_of[scenario], f"{on.model}: {kind}", smaller, larger


def _means(cells: list[ScenarioCell]) -> Means:
    """Return the mean mAP of each attack in each scenario, over the tested networks and sets."""
    means: Means = {}
    for scenario in SCENARIOS:
        scenario_cells = [cell for cell in cells if cell.scenario == scenario]
        if scenario_cells:
            means[CLEAN, scenario] = statistics.fmean(cell.clean["mAP"] for cell in scenario_cells)
    for recipe in dict.fromkeys(cell.way for cell in cells):
        for scenario in SCENARIOS:
            values = [
                cell.adversarial["mAP"]
                for cell in cells
                if (cell.way, cell.scenario) == (recipe, scenario)
            ]
            if values:
                means[recipe, scenario] = statistics.fmean(values)
    return means


def _victim(spec: ModelSpec, data: str) -> SourceModel:
    return SourceModel(spec.label, data, ModelSpec(f"{spec.label}-{data}", *_rest(spec)))


def _rest(spec: ModelSpec) -> tuple[str, str, tuple[int, int] | None]:
    return spec.name, spec.weights, spec.size
