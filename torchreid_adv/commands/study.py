"""``torchreid-adv study NAME``: train models with several seeds and test what papers claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.commands import stock_config
from torchreid_adv.commands.own_model import trained_weights
from torchreid_adv.commands.start import check_start, start_weights
from torchreid_adv.commands.stock_checks import ready
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.jobs.lock import working_in
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import COMMANDS, STUDIES
from torchreid_adv.report import readings as tables
from torchreid_adv.report.charts import to_png
from torchreid_adv.report.claims import Comparison, markdown, write_claims
from torchreid_adv.report.readings import Reading

Found = Comparison | Reading
Study = Callable[[AdvConfig, int, list[ModelSpec]], Sequence[Found]]


@COMMANDS.register("study", help="train models with several seeds, test what papers claim")
def main(arguments: list[str]) -> int:
    """Run a registered study and return 0, whatever it shows.

    Models are kept below the data root and variants below ``data.save_dir``, so that the same
    command goes on where it was stopped, and prints what is there when nothing is left to do.

    Raises:
        ConfigError: no or an unknown study, a key or model that cannot be used.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        arguments = ["NAME", *arguments]
    elif not arguments or arguments[0].startswith("-"):
        raise ConfigError(f"name a study: {', '.join(STUDIES)}")
    else:
        STUDIES.get(arguments[0])
    sentence = (
        f"Train models with several seeds, test what papers claim. NAME: {', '.join(STUDIES)}."
    )
    parser = stock_config.make_parser(f"torchreid-adv study {arguments[0]}", sentence)
    chosen = parser.parse_args(arguments[1:])
    study: Study = STUDIES.get(arguments[0])
    cfg = stock_config.merged_config(chosen)
    if chosen.dry_run:
        return stock_config.print_config(cfg)
    with ready(cfg), working_in(cfg.data.save_dir):
        path = run_study(cfg, arguments[0], study)
    print(f"\n{path.read_text(encoding='utf-8')}\nStudy: {path}")
    return 0


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
        parts.append(tables.markdown(readings))
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
    own = cfg.clone()
    own.model.name, own.train.seed = spec.name, seed
    if spec.size:
        own.data.height, own.data.width = spec.size
    own.model.load_weights = start_weights(cfg, spec)
    return ModelSpec(spec.label, spec.name, str(trained_weights(own)), spec.size)


def _setting(cfg: AdvConfig) -> str:
    seeds = len(cfg.adv.study.seeds)
    data, models = ", ".join(cfg.data.targets), ", ".join(cfg.adv.study.models)
    return (
        f"{data}; {models}; {seeds} seed{'s' * (seeds > 1)}, eps {cfg.adv.attack.eps:g}; mAP in "
        "percent, mean over cases, then mean ± standard deviation over seeds."
    )
