"""``torchreid-adv attack-gallery``: write an adversarial version of a data set, and score it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import Identity

from torchreid_adv import config
from torchreid_adv.attacks import Attack, configured_attack
from torchreid_adv.attacks.answers import check_gradient
from torchreid_adv.commands import stock_config
from torchreid_adv.commands.attack_job import AttackJob
from torchreid_adv.commands.defended import DefenseTest
from torchreid_adv.commands.outcome import Outcome, finish
from torchreid_adv.commands.run_identity import Scorable
from torchreid_adv.commands.stock_checks import check_names
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.datasets import ReIDData, load_dataset
from torchreid_adv.defenses import Defended, configured_defense
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.of_models import protocol_of
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.integration.console import only_leader_speaks
from torchreid_adv.integration.hooks import installed
from torchreid_adv.jobs.lock import working_in
from torchreid_adv.jobs.team import ALONE, Team, joined
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.kernels import on_configured_threads
from torchreid_adv.models.loading import scorable
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.models.tracklet_model import of_tracklets
from torchreid_adv.registry import COMMANDS

_RULES = ("protocol", "ap_rule", "max_rank", "rerank", "neighbors", "block")
DATA_OPTIONS = {
    "split_id": "data.split_id",
    "cuhk03_labeled": "cuhk03.labeled_images",
    "cuhk03_classic_split": "cuhk03.classic_split",
    "market1501_500k": "market1501.use_500k_distractors",
    "seq_len": "video.seq_len",
    "sample_method": "video.sample_method",
}


def main(arguments: list[str], *, name: str = "attack-gallery", config_file: str = "") -> int:
    """Run the job that the config describes; return 0, or 4 when bad images were left out.

    Args:
        arguments: of the command line.
        name: of the command, for its help.
        config_file: taken where the arguments name none.

    Raises:
        ConfigError: a flag, key, checkpoint or output folder that cannot be used.
        DataError: a data set or an image that cannot be used.
    """
    parser = stock_config.make_parser(
        f"torchreid-adv {name}", "Write an adversarial version of a data set and score it."
    )
    parser.set_defaults(config_file=config_file)
    parser.add_argument("--shard", default="", metavar="I/N", help="the same as adv.job.shard")
    chosen = parser.parse_args(arguments)
    cfg = stock_config.merged_config(chosen)
    if chosen.shard:
        cfg.adv.job.shard = chosen.shard
    if chosen.dry_run:
        return stock_config.print_config(cfg)
    with installed(), joined(cfg.adv.job.shard) as team, only_leader_speaks(team):
        config.setup(cfg)
        check_names(cfg)
        outcome = attack_gallery(cfg, team)
        if outcome is None:
            print(
                f"Shard {cfg.adv.job.shard} is done. When all shards are, run the same command "
                "once more without a shard: it scores what is stored and writes the report."
            )
            return 0
        print(f"\nReport: {outcome.report}")
        _say_next(cfg)
    return outcome.exit_code


def attack_gallery(cfg: AdvConfig, team: Team = ALONE) -> Outcome | None:
    """Attack every target of a config; None for a shard of a job array."""
    job = configured_job(cfg)  # what is wrong with it is said before a model is trained
    names = list(dict.fromkeys(cfg.data.targets))
    model, facts = team.first(lambda: configured_model(cfg))
    check_gradient(model, job.attack)
    targets = team.first(lambda: [configured_dataset(cfg, name, tracklets=True) for name in names])
    return attack_targets(cfg, model, facts, targets, Path(cfg.data.save_dir), team)


def configured_model(cfg: AdvConfig) -> tuple[PixelModel | Ensemble, dict[str, Any]]:
    """Return the model of a config, or several as one, and what results.json says of it.

    Raises:
        ConfigError: no weights, or weights of another network.
    """
    specs = parse_models(cfg.adv.attack.models)
    if not specs:
        weights = weights_of(cfg)
        model = load_spec(cfg, ModelSpec(cfg.model.name, cfg.model.name, weights))
        return model, {
            "name": cfg.model.name, "weights": weights, "size": list(model.size), **unusual(model)
        }  # fmt: skip
    return ensemble_of(specs, [load_spec(cfg, spec) for spec in specs])


def ensemble_of(
    specs: Sequence[ModelSpec], models: Sequence[PixelModel]
) -> tuple[Ensemble, dict[str, Any]]:
    """Return loaded models as one, and what results.json says of them."""
    ensemble, members = Ensemble(models), [unusual(model) for model in models]
    return ensemble, {
        "name": "+".join(spec.label for spec in specs),
        "weights": [spec.weights for spec in specs],
        "size": [list(size) for size in ensemble.size],
        **({"members": members} if any(members) else {}),
    }


def unusual(model: Any) -> dict[str, Any]:
    """Return what results.json says of a model's input where it is not torchreid's test transform.

    That is its preprocessing, mirrored and joined features, and cameras that stand for all images.
    """
    part = next((p for p in model.modules() if isinstance(p, PixelModel)), None)
    if part is None:
        return {}
    plain = PixelModel(torch.nn.Identity(), size=part.size, mean=part.mean, std=part.std)
    own, usual = part.settings(), plain.settings()
    changed = any(own[name] != usual[name] for name in own if name != "output")
    facts: dict[str, Any] = {"preprocessing": str(part.preprocessing)} if changed else {}
    facts |= {name: own[name] for name in ("flip", "parts") if own[name] != "none"}
    fixed = getattr(part.network, "fixed", None)
    return facts | ({"labels_of_all_images": dict(fixed)} if fixed else {})


def load_spec(cfg: AdvConfig, spec: ModelSpec) -> PixelModel:
    """Load a model; the config says what it leaves open."""
    model = spec.load(
        (cfg.data.height, cfg.data.width),
        cfg.data.norm_mean,
        cfg.data.norm_std,
        device="cuda" if cfg.use_gpu else "cpu",
    )
    if cfg.data.type == "image":
        return model
    clip = cfg.video.seq_len if cfg.video.sample_method == "dense" else 0
    return of_tracklets(model, clip=clip, pooling=cfg.video.pooling_method)


@on_configured_threads
def attack_targets(
    cfg: AdvConfig,
    model: PixelModel | Ensemble,
    facts: dict[str, Any],
    targets: Sequence[ReIDData],
    out: Path,
    team: Team = ALONE,
    *,
    network: Any = None,
) -> Outcome | None:
    """Attack data sets with a model that is there already, and write everything.

    Args:
        cfg: for the attack and the evaluation.
        model: what is attacked.
        facts: what results.json says of the model.
        targets: the data sets.
        out: folder of the run.
        team: this process and those it shares the work with.
        network: ``facts_of(model)`` where they are known.

    Returns:
        where the report is and how the run ended; None for a shard of a job array.
    """
    job = configured_job(cfg)
    for data in targets:
        job.of(data)  # a protocol that does not fit the last one is said before the first
    identity = identity_of(job, model, facts, network)
    for data in targets:  # another run's folder is refused now, not waited for
        job.folder(out, data.name, identity, team).check_free()
    with working_in(out, team):
        done = [job.run(model, data, out, identity, team) for data in targets]
        reports = [one[0] for one in done if one is not None]
        if len(reports) < len(done):
            return None
        results = {"config": config.plain(cfg), "model": facts}
        return finish(out, results, reports, team, page=cfg.adv.report.page)


def identity_of(
    job: AttackJob, model: PixelModel | Ensemble, facts: dict[str, Any], network: Any = None
) -> dict[str, Any]:
    """Return what makes a run the same run; the network's facts are found out if need be."""
    return {"model": facts["name"], **job.facts(model, network)}


def configured_job(cfg: AdvConfig) -> AttackJob:
    """Return the job of ``adv.attack.*``, by the rules of the config's evaluation."""
    chosen = cfg.adv.attack
    return AttackJob(
        attack=configured_attack(cfg),
        protocol=Protocol.configured(cfg),
        side=chosen.side,
        rule=chosen.reference,
        target=chosen.target_map if chosen.targeted else "",
        quarantine=cfg.adv.job.quarantine,
        chunk=cfg.adv.job.chunk,
        workers=lookup(cfg, "data.workers", 0),
        seed=chosen.seed,
        space=chosen.space,
        copies=cfg.adv.job.copies,
        defense=configured_test(cfg),
    )


def configured_test(cfg: AdvConfig) -> DefenseTest | None:
    """Return the defense of ``adv.defense.*``; None where none is named.

    Raises:
        ConfigError: it cannot be built, or several draws of one that is not random.
    """
    defense, chosen = configured_defense(cfg), cfg.adv.defense
    if defense is None:
        return None
    draws, samples = chosen.draws or None, chosen.eot_samples or None
    Defended(defense, Identity(), draws=draws, eot_samples=samples)  # refuses what cannot be
    return DefenseTest(chosen.name, defense, draws=draws, eot_samples=samples)


def configured_dataset(cfg: AdvConfig, name: str, *, tracklets: bool = False) -> ReIDData:
    """Load one of the config's data sets.

    Args:
        cfg: the whole config.
        name: of the data set.
        tracklets: what follows takes tracklets, too.

    Raises:
        ConfigError: it does not, and the data set is of tracklets.
    """
    options = {keyword: lookup(cfg, key) for keyword, key in DATA_OPTIONS.items()}
    data = load_dataset(name, cfg.data.root, **options)
    if data.tracklets and not tracklets:
        raise ConfigError(
            f"'{name}' is of tracklets, and this command is for single images; attack-gallery and "
            "pictures take tracklets"
        )
    return data


def attack_dataset(
    model: Scorable,
    data: ReIDData,
    attack: Attack,
    *,
    side: str = "gallery",
    out: str | Path = "run",
    distance: Distance | None = None,
    **settings: Any,
) -> ReIDData:
    """Attack one side of a data set and return its adversarial version.

    Args:
        model: what is attacked; behind a defense, through it. An entry such as
            ``osnet_x1_0:model.pth`` and a module are loaded, see :func:`load_model`.
        data: see :func:`load_dataset`.
        attack: see :func:`build_attack`.
        side: ``gallery`` or ``query``.
        out: folder for the images, results.json and report.html.
        distance: by which the gallery is ranked; None = Euclidean of normalized features.
        settings: further keywords of :class:`AttackJob` (``chunk``, ``workers``...), and rules of
            the scores: ``protocol`` (a name), ``ap_rule``, ``max_rank``, ``rerank``,
            ``neighbors``, ``block``.

    Returns:
        the stored data set, with the image_ids of the original.

    Raises:
        ConfigError: the folder holds another run, or a protocol that is not the data set's.
        DataError: an image that cannot be used, or nothing to attack.
    """
    model = scorable(model)
    distance = distance or build_distance("euclidean", normalize=True)
    rules = {name: settings.pop(name) for name in _RULES if name in settings}
    protocol = protocol_of(distance, data, **rules)
    job, folder = AttackJob(attack, protocol, side, **settings), Path(out)
    facts = {"name": type(model.network).__name__, "weights": "", "size": list(model.size)}
    facts |= unusual(model)
    with joined() as team, working_in(folder, team):
        done = job.run(model, data, folder, {"model": "", **job.facts(model)}, team)
        assert done is not None  # only a shard has nothing to return
        finish(folder, {"config": {}, "model": facts}, [done[0]], team)
    return done[1].data(data)


def weights_of(cfg: AdvConfig) -> str:
    """Return the weights of a config's model, trained for the quick start if need be.

    Raises:
        ConfigError: none are given.
    """
    if cfg.model.load_weights:
        return str(cfg.model.load_weights)
    if not cfg.adv.virtual.train_model:
        raise ConfigError(
            "model.load_weights is empty and random weights are not worth attacking; give a "
            "checkpoint that torchreid wrote, or set adv.virtual.train_model True to train one"
        )
    from torchreid_adv.commands.own_model import trained_weights  # imports the training stack

    return str(trained_weights(cfg))


def _say_next(cfg: AdvConfig) -> None:
    if cfg.adv.virtual.train_model and not cfg.model.load_weights:
        print(
            "Next, your own model and data:\n"
            "  torchreid-adv attack-gallery --config-file configs/attack/ifgsm.yaml "
            "-s market1501 -t market1501 --root reid-data \\\n"
            "    model.name osnet_x1_0 model.load_weights PATH/model.pth.tar-60 "
            "data.save_dir log/attack"
        )


# the engine metric_attack, to the left of this package, finds the job here
COMMANDS.register(
    "attack-gallery",
    help="write an adversarial version of a data set, score it",
    job=attack_targets,
)(main)
