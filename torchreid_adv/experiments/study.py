"""A study: train models with several seeds, and decide what papers claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.engines.start import check_start, start_weights
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.calibrated import Calibrated, calibrated
from torchreid_adv.experiments.claims import Case, Claim, Reading, readings_table
from torchreid_adv.experiments.figures import effects_figure
from torchreid_adv.experiments.study_file import StudyFile, finished_runs, write_study
from torchreid_adv.experiments.study_page import lead, study_page
from torchreid_adv.experiments.verdicts import NOTE, Verdict, verdict_table, verdicts
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.page import Section, write_page
from torchreid_adv.report.style import to_png

Found = Case | Reading
Study = Callable[[AdvConfig, int, list[ModelSpec]], Sequence[Found]]
MARKDOWN, PAGE = "study.md", "study.html"
ORDER_STEP = 1000  # between the seeds of a seed's batch orders


def run_study(cfg: AdvConfig, name: str, study: Study) -> Path:
    """Run a study for every seed and batch order; return ``study.md`` with the results.

    The results so far are written after every run, so that an interrupted study has a page.

    Args:
        cfg: ``adv.study.*`` names networks, seeds and orders; it is not changed.
        name: of the entry of STUDIES, whose facts describe it: ``claims``; ``orders``, whether
            it learns anything in addition to networks; ``check``, which refuses a config before
            anything is trained; ``prepare``, called once before all seeds;
            ``setting`` (sentences), ``headline`` (a sentence), ``summary`` (a section) and
            ``figures`` for its page.
        study: makes one run.

    Raises:
        ConfigError: nothing to train, a defense, or a calibration that cannot be read.
    """
    _check(cfg, name)
    known, run_cfg, page = calibrated(cfg), cfg.clone(), cfg.adv.report.page
    run_cfg.adv.report.page = run_cfg.adv.job.copies = False
    if "prepare" in STUDIES.facts(name):
        STUDIES.facts(name)["prepare"](run_cfg)
    folder, planned = Path(cfg.data.save_dir), _runs_of(cfg, name)
    before, results = finished_runs(folder), list[Found]()
    for number, run in enumerate(_runs(run_cfg, name, study), start=1):
        results += run
        if number == planned or number > before:  # never less than an earlier command has written
            path = _write(run_cfg, name, results, known, (number, planned), page=page)
            if number < planned:
                print(f"{number} of {planned} runs are finished. Values so far: {path}")
    return folder / MARKDOWN


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
    if "check" in facts:
        facts["check"](cfg)


def check_one_data_set(cfg: AdvConfig) -> None:
    """Refuse a config that tests on several data sets.

    Raises:
        ConfigError: ``data.targets`` names more than one.
    """
    if len(set(cfg.data.targets)) > 1:
        raise ConfigError(
            "this study tests on one data set, data.targets names "
            f"{', '.join(cfg.data.targets)}; run it once for each"
        )


def _orders_of(cfg: AdvConfig, name: str) -> int:
    """Return the batch orders per seed; a study without claims, like the calibration, has one."""
    return int(cfg.adv.study.orders) if STUDIES.facts(name).get("orders") else 1


def _runs_of(cfg: AdvConfig, name: str) -> int:
    return len(set(cfg.adv.study.seeds)) * _orders_of(cfg, name)


def _runs(cfg: AdvConfig, name: str, study: Study) -> Iterator[list[Found]]:
    """Yield each run's results."""
    for seed in dict.fromkeys(cfg.adv.study.seeds):
        specs = trained_models(cfg, seed)
        for order in range(_orders_of(cfg, name)):
            print(f"\n##### {name}: seed {seed}{f', batch order {order + 1}' * (order > 0)} #####")
            run_cfg = cfg.clone()
            folder = f"seed{seed}" + (f"_order{order + 1}" if order else "")
            run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / folder)
            run_cfg.train.seed = (
                seed + ORDER_STEP * order
            )  # for everything learned in addition to the networks
            yield [replace(result, order=order) for result in study(run_cfg, seed, specs)]


def _write(
    cfg: AdvConfig,
    name: str,
    results: Sequence[Found],
    known: Calibrated,
    runs: tuple[int, int],
    *,
    page: bool,
) -> Path:
    """Write the files of a study; return the one to read: its page, or ``study.md`` without one."""
    folder, facts = Path(cfg.data.save_dir), STUDIES.facts(name)
    cases = [case for case in results if isinstance(case, Case)]
    readings = [reading for reading in results if isinstance(reading, Reading)]
    claims: list[Claim] = list(dict.fromkeys([*facts.get("claims", ()), *(c.claim for c in cases)]))
    calibration_facts = known.to_dict() if claims else {}
    result = StudyFile(name, config.plain(cfg), readings, cases, calibration_facts, *runs)
    decided = verdicts(claims, cases, known, result.unfinished)
    write_study(folder, result, [verdict.to_dict() for verdict in decided])
    setting = facts.get("setting", _setting)(cfg)
    write_text(folder / MARKDOWN, markdown(result, decided, setting))
    figures = facts["figures"](readings) if "figures" in facts else {}
    drawn = {end: figure.content for end, figure in figures.items()}
    if decided:
        drawn["effects"] = effects_figure(decided)
    for end, content in drawn.items():
        write_bytes(folder / f"{name}_{end}.png", to_png(content))
    if not page:
        return folder / MARKDOWN
    content = study_page(result, decided=decided, known=known, setting=setting, figures=figures)
    return write_page(folder / PAGE, content)


def markdown(result: StudyFile, decided: Sequence[Verdict], setting: str) -> str:
    """Return a study as Markdown: what came out, the setting, values and verdicts.

    Args:
        result: of the study.
        decided: its verdicts.
        setting: sentences on its networks and runs.
    """
    facts = STUDIES.facts(result.study)
    parts = [f"# {facts['title']}", *lead(result, decided), setting]
    parts += [readings_table(result.readings)] if result.readings else []
    if "summary" in facts:
        summary: Section = facts["summary"](result.readings)
        parts += [table.markdown() for table in summary.tables] + list(summary.text)
    parts += [verdict_table(decided), NOTE] if decided else []
    return "\n\n".join(parts) + "\n"


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
