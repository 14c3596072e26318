"""A study: train models with several seeds, and test what papers claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.files import write_bytes
from torchreid_adv.engines.start import check_start, start_weights
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments import claims as tables
from torchreid_adv.experiments.claims import Comparison, Reading, markdown, write_claims
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.style import to_png

Found = Comparison | Reading
Study = Callable[[AdvConfig, int, list[ModelSpec]], Sequence[Found]]


def run_study(cfg: AdvConfig, name: str, study: Study) -> Path:
    """Run a study for every seed and return the page that says what came out."""
    if not cfg.adv.study.models or not cfg.adv.study.seeds:
        raise ConfigError(
            "a study trains the models of adv.study.models, ['label=name', ...], with each of "
            "adv.study.seeds; one of the two is empty"
        )
    if cfg.adv.defense.name:
        raise ConfigError("a study sets its defenses itself; leave adv.defense.name empty")
    check_start(cfg)
    cfg.adv.report.page = cfg.adv.job.copies = False
    if "prepare" in STUDIES.facts(name):
        STUDIES.facts(name)["prepare"](cfg)
    found: list[Found] = []
    for seed in dict.fromkeys(cfg.adv.study.seeds):
        print(f"\n##### {name}: seed {seed} #####")
        own = cfg.clone()
        own.data.save_dir = str(Path(cfg.data.save_dir) / f"seed{seed}")
        found += study(own, seed, trained_models(cfg, seed))
    return _write(cfg, name, found)


def _write(cfg: AdvConfig, name: str, found: Sequence[Found]) -> Path:
    """Write tables and claims; what a study's entry says else adds to them.

    ``setting`` says the first sentence in place of the usual one, ``summary`` what all seeds say
    together, ``figures`` what is drawn of the readings: end of the file's name -> picture.
    """
    claims = [one for one in found if isinstance(one, Comparison)]
    readings = [one for one in found if isinstance(one, Reading)]
    said = STUDIES.facts(name)
    facts: dict[str, Any] = {"study": name, "config": config.plain(cfg)}
    parts = [f"# {said['title']}", said.get("setting", _setting)(cfg)]
    if readings:
        facts["readings"] = [asdict(reading) for reading in readings]
        parts.append(tables.readings_table(readings))
    if "summary" in said:
        parts.append(said["summary"](readings))
    parts += [markdown(claims)] if claims else []
    for end, figure in said["figures"](readings).items() if "figures" in said else ():
        write_bytes(Path(cfg.data.save_dir) / f"{name}_{end}.png", to_png(figure))
    return write_claims(Path(cfg.data.save_dir), claims, facts, "\n\n".join(parts))


def trained_models(cfg: AdvConfig, seed: int) -> list[ModelSpec]:
    """Return the models of a study, each trained with a seed unless it was before."""
    specs = parse_models(cfg.adv.study.models, trained=False)
    return [_trained(cfg, spec, seed) for spec in specs]


def _trained(cfg: AdvConfig, spec: ModelSpec, seed: int) -> ModelSpec:
    run_cfg = cfg.clone()
    run_cfg.model.name, run_cfg.train.seed = spec.name, seed
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    run_cfg.model.load_weights = start_weights(cfg, spec)
    return ModelSpec(spec.label, spec.name, str(trained_weights(run_cfg)), spec.size)


def _setting(cfg: AdvConfig) -> str:
    seeds = len(cfg.adv.study.seeds)
    data, models = ", ".join(cfg.data.targets), ", ".join(cfg.adv.study.models)
    return (
        f"{data}; {models}; {seeds} seed{'s' * (seeds > 1)}, eps {cfg.adv.attack.eps:g}; mAP in "
        "percent, mean over cases, then mean ± standard deviation over seeds."
    )
