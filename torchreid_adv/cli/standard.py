"""``torchreid-adv standard``: how robust models are, by one ensemble of attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended, typed
from torchreid_adv.cli.flags import TRAINED, USUAL, Models
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.cli.reads import (
    DATA,
    DEFENSE,
    ONE_NETWORK,
    PAGE,
    SCORES,
    UNIT_FEATURES,
    VIRTUAL,
)
from torchreid_adv.config import AdvConfig

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


def check_zoo(cfg: AdvConfig) -> None:
    """Check the models of ``adv.zoo``, if the config has any."""
    from torchreid_adv.experiments.zoo_models import evaluated_zoo

    evaluated_zoo(cfg)


def _standard(cfg: AdvConfig, team: Team) -> Ended:
    """Evaluate the named models; no result counts as an error."""
    from torchreid_adv.experiments.standard_runs import standard
    from torchreid_adv.standard.page import PAGE as PAGE_FILE

    lines = []
    for path in standard(cfg, typed(), team):
        lines.append(f"Result: {path}")
        if cfg.adv.report.page:
            lines.append(f"Report: {path.with_name(PAGE_FILE)}")
    return Ended("\n".join(lines))


STANDARD = Command(
    name="standard",
    help="measure robustness with a fixed ensemble of attacks",
    about="Evaluate models with the standard ensemble of attacks.",
    work=_standard,
    check=check_zoo,
    usage=Usage(
        examples=(
            "standard osnet_x1_0:model.pth.tar-60 -t market1501 --root reid-data "
            "adv.standard.surrogates \"['a=resnet50:a.pth', 'b=mlfn:b.pth']\"",
            "standard mine=boxmot:osnet_x0_25_msmt17.pt theirs=timm:resnet50:their.pth "
            "-t people.csv adv.standard.version lite",
        ),
        writes="Below --out/DATA SET/MODEL: standard.json, report.html and the images of each "
        "attack with their manifests. The same command continues an interrupted run. A result is "
        "called standard only with two surrogates.",
        time="The version lite took 402 s of one CPU core on the quick start's model (160 queries "
        "at 128x64), most of it broken by the first attack; a model that holds out is attacked by "
        "all, and the version standard makes two to five times the steps. Real data wants a GPU.",
        reads=(
            *(*DATA, *ONE_NETWORK, *SCORES, *DEFENSE, *PAGE),
            *("adv.standard.*", "adv.attack.metric", "adv.job.threads"),
            "adv.zoo",
        ),
        further=(*VIRTUAL, "training"),
    ),
    flags=USUAL,
    models=Models(key="adv.standard.models", needed=True, enough=(*TRAINED, "adv.zoo")),
    defaults=(UNIT_FEATURES, ("data.save_dir", "log/standard")),
    joins=True,
    holds=False,  # each model's folder is held while it is worked in
    defense=True,
).registered()
