"""What each part of the video network is claimed to give: the rows of the paper's table 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torchreid_adv.commands.study import Found, trained_models
from torchreid_adv.commands.video_scoring import ROWS, Scores, started, video_scores, with_row
from torchreid_adv.config import AdvConfig
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.claims import Comparison
from torchreid_adv.report.readings import Reading

CHANCE = "random order"
CLAIMS = (  # the sentence, the row that should have less mAP, the other one
    ("the baseline ranks better than a random order", CHANCE, "baseline"),
    ("ASAM alone takes from the baseline", "asam", "baseline"),
    ("ADM adds to the baseline", "baseline", "adm"),
    ("FRM-STIG adds to the baseline", "baseline", "stig"),
    ("ASAM and ADM add to the baseline", "baseline", "asam_adm"),
    ("ASAM, ADM and FR-E-TI add to the baseline", "baseline", "asam_adm_te"),
    ("without LSTM_spa the network adds to the baseline", "baseline", "asam_adm_stig_no_spatial"),
    ("the whole network adds to the baseline", "baseline", "asam_adm_stig"),
    ("ASAM adds to ADM", "adm", "asam_adm"),
    ("FR-E-TI adds to ASAM and ADM", "asam_adm", "asam_adm_te"),
    ("FH-G-SR adds to FR-E-TI", "asam_adm_te", "asam_adm_stig"),
    ("LSTM_spa adds to the rest", "asam_adm_stig_no_spatial", "asam_adm_stig"),
)


def setting(cfg: AdvConfig) -> str:
    """Say what a study of the video network was made on."""
    seeds, people = len(cfg.adv.study.seeds), cfg.adv.virtual.train_identities
    where = f"{people} virtual people" if "virtual" in cfg.data.sources[0] else "all people"
    return (
        f"{', '.join(cfg.data.targets)}, trained on {where} of {', '.join(cfg.data.sources)} for "
        f"{cfg.train.max_epoch} epochs; {', '.join(cfg.adv.study.models)}; {seeds} "
        f"seed{'s' * (seeds > 1)}. Figures are percent, mean ± standard deviation over seeds; a "
        "case is a direction of the search."
    )


@STUDIES.register(
    "video",
    title="The video network, part by part: what holds",
    prepare=started,
    setting=setting,
)
def video(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Train every row equally long, and search in every direction of ``data.targets``.

    Args:
        cfg: of the whole network; ``adv.video.*`` but for the parts holds for all rows.
        seed: of the training.
        specs: the networks with the config's own parts.
    """
    found: dict[str, dict[str, Scores]] = {spec.label: {} for spec in specs}
    for key, row in ROWS.items():
        own = with_row(cfg, row)
        for spec in trained_models(own, seed):
            folder = Path(cfg.data.save_dir) / spec.label / key
            found[spec.label][key] = video_scores(own, spec, folder)
    results: list[Found] = []
    for label, scores in found.items():
        prefix = f"{label}: " if len(specs) > 1 else ""
        results += [*readings(scores, seed, prefix), *claims(scores, seed, prefix)]
    return results


def readings(scores: dict[str, Scores], seed: int, prefix: str = "") -> Iterator[Reading]:
    """Yield mAP and Rank-1 of each row and direction, and the mAP of a random order."""
    for target, measures in next(iter(scores.values())).items():
        yield Reading(f"{prefix}mAP", CHANCE, target, seed, measures["chance"])
    for key, found in scores.items():
        for target, measures in found.items():
            yield Reading(f"{prefix}mAP", ROWS[key].title, target, seed, measures["mAP"])
            yield Reading(f"{prefix}Rank-1", ROWS[key].title, target, seed, measures["cmc"]["1"])


def claims(scores: dict[str, Scores], seed: int, prefix: str = "") -> Iterator[Comparison]:
    """Yield what the paper says of the parts, in mAP of each direction."""
    for claim, less, more in CLAIMS:
        for target, measures in scores[more].items():
            smaller = measures["chance"] if less == CHANCE else scores[less][target]["mAP"]
            yield Comparison(claim, f"{prefix}{target}", seed, smaller, measures["mAP"])
