"""A study: train models with several seeds, and decide what papers claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.engines.start import check_start, start_weights
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.calibrated import Calibrated, calibrated
from torchreid_adv.experiments.claims import Case, Claim, Reading, readings_table
from torchreid_adv.experiments.figures import effects_figure
from torchreid_adv.experiments.study_file import StudyFile, write_study
from torchreid_adv.experiments.verdicts import NOTE, Verdict, verdict_table, verdicts
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.style import to_png

Found = Case | Reading
Study = Callable[[AdvConfig, int, list[ModelSpec]], Sequence[Found]]
ORDER_STEP = 1000  # between the seeds of a seed's batch orders


def run_study(cfg: AdvConfig, name: str, study: Study) -> Path:
    """Run a study for every seed and batch order; return the page with the results.

    Args:
        cfg: ``adv.study.*`` names networks, seeds and orders.
        name: of the entry of STUDIES, whose facts describe it: ``claims``; ``orders``, whether
            it learns anything in addition to networks; ``prepare``, called once before all seeds;
            ``setting``, ``summary`` and ``figures`` for its page.
        study: makes one run.

    Raises:
        ConfigError: nothing to train, a defense, or a calibration that cannot be read.
    """
    _check(cfg, name)
    known = calibrated(cfg)
    cfg.adv.report.page = cfg.adv.job.copies = False
    if "prepare" in STUDIES.facts(name):
        STUDIES.facts(name)["prepare"](cfg)
    results = [result for run in _runs(cfg, name, study) for result in run]
    return _write(cfg, name, results, known)


def _check(cfg: AdvConfig, name: str) -> None:
    if not cfg.adv.study.models or not cfg.adv.study.seeds:
        raise ConfigError(
            "a study trains the models of adv.study.models, ['label=name', ...], with each of "
            "adv.study.seeds; one of the two is empty"
        )
    if cfg.adv.defense.name:
        raise ConfigError("a study sets its defenses itself; leave adv.defense.name empty")
    facts = STUDIES.facts(name)
    if cfg.adv.study.orders > 1 and facts.get("claims") and not facts.get("orders"):
        raise ConfigError(
            f"study {name} learns only networks, whose batch order the seed decides; set "
            "adv.study.orders 1 and name more adv.study.seeds"
        )
    check_start(cfg)


def _runs(cfg: AdvConfig, name: str, study: Study) -> Iterator[list[Found]]:
    """Yield each run's results; a study without claims, like the calibration, has one order."""
    orders = cfg.adv.study.orders if STUDIES.facts(name).get("orders") else 1
    for seed in dict.fromkeys(cfg.adv.study.seeds):
        specs = trained_models(cfg, seed)
        for order in range(orders):
            print(f"\n##### {name}: seed {seed}{f', batch order {order + 1}' * (order > 0)} #####")
            run_cfg = cfg.clone()
            folder = f"seed{seed}" + (f"_order{order + 1}" if order else "")
            run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / folder)
            run_cfg.train.seed = (
                seed + ORDER_STEP * order
            )  # for everything learned in addition to the networks
            yield [replace(result, order=order) for result in study(run_cfg, seed, specs)]


def _write(cfg: AdvConfig, name: str, results: Sequence[Found], known: Calibrated) -> Path:
    """Write ``study.json``, ``study.md`` and the figures; return the second."""
    folder, facts = Path(cfg.data.save_dir), STUDIES.facts(name)
    cases = [case for case in results if isinstance(case, Case)]
    readings = [reading for reading in results if isinstance(reading, Reading)]
    claims: list[Claim] = list(dict.fromkeys([*facts.get("claims", ()), *(c.claim for c in cases)]))
    decided = verdicts(claims, cases, known)
    calibration_facts = known.to_dict() if claims else {}
    result = StudyFile(name, config.plain(cfg), readings, cases, calibration_facts)
    write_study(folder, result, [verdict.to_dict() for verdict in decided])
    for end, figure in _figures(facts, readings, decided).items():
        write_bytes(folder / f"{name}_{end}.png", to_png(figure))
    parts = [f"# {facts['title']}", facts.get("setting", _setting)(cfg)]
    parts += [readings_table(readings)] if readings else []
    parts += [facts["summary"](readings)] if "summary" in facts else []
    parts += [verdict_table(decided), NOTE] if decided else []
    write_text(folder / "study.md", "\n\n".join(parts) + "\n")
    return folder / "study.md"


def _figures(
    facts: Mapping[str, Any], readings: Sequence[Reading], decided: Sequence[Verdict]
) -> dict[str, Figure]:
    """Return a study's pictures: end of the file's name -> figure."""
    figures = facts["figures"](readings) if "figures" in facts else {}
    return {**figures, "effects": effects_figure(decided)} if decided else dict(figures)


def trained_models(cfg: AdvConfig, seed: int, start: AdvConfig | None = None) -> list[ModelSpec]:
    """Return the models of a study, each trained with a seed unless it is cached.

    Args:
        cfg: of the study.
        seed: of the training.
        start: config of the common start; None = ``cfg``.
    """
    specs = parse_models(cfg.adv.study.models, trained=False)
    return [_trained(cfg, spec, seed, start or cfg) for spec in specs]


def _trained(cfg: AdvConfig, spec: ModelSpec, seed: int, start: AdvConfig) -> ModelSpec:
    run_cfg = cfg.clone()
    run_cfg.model.name, run_cfg.train.seed = spec.name, seed
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    run_cfg.model.load_weights = start_weights(start, spec)
    return ModelSpec(spec.label, spec.name, str(trained_weights(run_cfg)), spec.size)


def _epochs(cfg: AdvConfig) -> str:
    return f"{cfg.train.max_epoch} epoch{'s' * (cfg.train.max_epoch != 1)}"


def _setting(cfg: AdvConfig) -> str:
    seeds, orders = len(cfg.adv.study.seeds), cfg.adv.study.orders
    data, models = ", ".join(cfg.data.targets), ", ".join(cfg.adv.study.models)
    runs = f"{seeds} seed{'s' * (seeds > 1)}" + f" with {orders} batch orders each" * (orders > 1)
    return (
        f"{data}; {models}; {_epochs(cfg)}; {runs}; eps {cfg.adv.attack.eps:g}. "
        "Values in tables are mean ± standard deviation over runs."
    )
