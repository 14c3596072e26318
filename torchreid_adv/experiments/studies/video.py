"""Claims about each part of the video network: the rows of the paper's table 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.claims import Case, Claim, Printed, Reading
from torchreid_adv.experiments.figures import factors_figure
from torchreid_adv.experiments.papers.vi_video import (
    ROWS,
    Row,
    Scores,
    started,
    video_scores,
    with_row,
)
from torchreid_adv.experiments.study import Found, trained_models
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.page import PageFigure

CHANCE = "random order"
PARTS_APART = {"defender": "the defender's f_d alone", "stripes": "stripes of its maps, unguided"}
ROWS_OF = {  # claim -> the row that should have less mAP, the other one
    "ASAM alone takes mAP from the baseline": ("asam", "baseline"),
    "ADM adds mAP to the baseline": ("baseline", "adm"),
    "FRM-STIG adds mAP to the baseline": ("baseline", "stig"),
    "ASAM and ADM add mAP to the baseline": ("baseline", "asam_adm"),
    "ASAM, ADM and FR-E-TI add mAP to the baseline": ("baseline", "asam_adm_te"),
    "The network without LSTM_spa adds mAP to the baseline": (
        "baseline",
        "asam_adm_stig_no_spatial",
    ),
    "The whole network adds mAP to the baseline": ("baseline", "asam_adm_stig"),
    "ASAM adds mAP to ADM": ("adm", "asam_adm"),
    "FR-E-TI adds mAP to ASAM and ADM": ("asam_adm", "asam_adm_te"),
    "FH-G-SR adds mAP to FR-E-TI": ("asam_adm_te", "asam_adm_stig"),
    "LSTM_spa adds mAP to the rest": ("asam_adm_stig_no_spatial", "asam_adm_stig"),
}
FLOOR = 0.4  # mAP; the paper's baseline has more in both directions
TABLE, DIRECTIONS = "vi_video.table1", ("vcm_i2v", "vcm_v2i")


def _added(less: str, more: str) -> Printed:
    """Return the difference of two rows of table 1, the mean of both directions."""
    return Printed(
        (TABLE,),
        lambda mAP: mAP(tested=more, target=DIRECTIONS) - mAP(tested=less, target=DIRECTIONS),
    )


FINDS = Claim("The baseline ranks better than a random order", ())
ADDS = {  # there is no calibration of tracklets, so the claims require a minimum mAP instead
    rows: Claim(sentence, (), _added(*rows), floor=FLOOR) for sentence, rows in ROWS_OF.items()
}
PRINTED_BEST = tuple(
    Claim(f"Lambda {n} as set gives at least as much mAP as other values", (), floor=FLOOR)
    for n in (1, 2, 3)
)


def setting(cfg: AdvConfig) -> str:
    """Return sentences on the data and networks of a study of the video network."""
    seeds, people = len(cfg.adv.study.seeds), cfg.adv.virtual.train_identities
    where = f"{people} virtual people" if "virtual" in cfg.data.sources[0] else "all people"
    return (
        f"{', '.join(cfg.data.targets)}, trained on {where} of {', '.join(cfg.data.sources)} for "
        f"{cfg.train.max_epoch} epochs; {', '.join(cfg.adv.study.models)}; {seeds} "
        f"seed{'s' * (seeds > 1)}. Values in tables are mean ± standard deviation over seeds; a "
        "case is a direction of the search."
    )


@STUDIES.register(
    "video",
    title="The video network, part by part",
    claims=(FINDS, *ADDS.values()),
    prepare=started,
    setting=setting,
)
def video(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Train every row equally long, and search in every direction of ``data.targets``.

    Args:
        cfg: of the whole network; all rows share ``adv.video.*`` except the parts.
        seed: of the training.
        specs: the networks with the config's parts.
    """
    scores_of: dict[str, dict[str, Scores]] = {spec.label: {} for spec in specs}
    apart: dict[str, list[Reading]] = {spec.label: [] for spec in specs}
    for key, row in ROWS.items():
        run_cfg = with_row(cfg, row)
        for spec in trained_models(run_cfg, seed):
            folder = Path(cfg.data.save_dir) / spec.label / key
            scores_of[spec.label][key] = video_scores(run_cfg, spec, folder)
            prefix = f"{spec.label}: " if len(specs) > 1 else ""
            apart[spec.label] += parts_apart(run_cfg, row, spec, folder, seed, prefix)
    results: list[Found] = []
    for label, scores in scores_of.items():
        prefix = f"{label}: " if len(specs) > 1 else ""
        results += [*readings(scores, seed, prefix), *apart[label], *claims(scores, seed, prefix)]
    return results


def parts_apart(
    cfg: AdvConfig, row: Row, spec: ModelSpec, folder: Path, seed: int, prefix: str = ""
) -> list[Reading]:
    """Search with single parts of a network's descriptor.

    Args:
        cfg: of the network.
        row: its parts; without guidance the defender's feature is the whole descriptor.
        spec: the network with its weights.
        folder: of the search with the whole descriptor.
        seed: of the training.
        prefix: of the table's title.
    """
    results: list[Reading] = []
    for part, words in PARTS_APART.items():
        if part == "defender" and row.guidance == "none":
            continue
        run_cfg = cfg.clone()
        run_cfg.adv.video.descriptor = part
        for target, measures in video_scores(run_cfg, spec, folder / part).items():
            title, name = f"{prefix}mAP by parts of the descriptor", f"{row.title}: {words}"
            results.append(Reading(title, name, target, seed, measures["mAP"]))
    return results


def readings(scores: dict[str, Scores], seed: int, prefix: str = "") -> Iterator[Reading]:
    """Yield mAP and Rank-1 of each row and direction, and the mAP of a random order."""
    for target, measures in next(iter(scores.values())).items():
        yield Reading(f"{prefix}mAP", CHANCE, target, seed, measures["chance"])
    for key, row_scores in scores.items():
        for target, measures in row_scores.items():
            yield Reading(f"{prefix}mAP", ROWS[key].title, target, seed, measures["mAP"])
            yield Reading(f"{prefix}Rank-1", ROWS[key].title, target, seed, measures["cmc"]["1"])


def claims(scores: dict[str, Scores], seed: int, prefix: str = "") -> Iterator[Case]:
    """Yield the paper's claims about the parts, in mAP of each direction."""
    for target, measures in scores["baseline"].items():
        yield Case(FINDS, f"{prefix}{target}", seed, measures["chance"], measures["mAP"])
        for (less, more), claim in ADDS.items():
            pair = (scores[row][target]["mAP"] for row in (less, more))
            yield Case(claim, f"{prefix}{target}", seed, *pair)


def figures(readings: Sequence[Reading]) -> Mapping[str, PageFigure]:
    """Return the picture of figure 8."""
    alt = "mAP and Rank-1 against each weight of the loss"
    caption = "Bars are standard deviations over seeds."
    return {"curves": PageFigure(factors_figure(readings), alt, caption, wide=True)}


def _check_weights(cfg: AdvConfig) -> None:
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


@STUDIES.register(
    "video_weights",
    title="Lambda 1 to 3 of the video network",
    claims=PRINTED_BEST,
    check=_check_weights,
    prepare=started,
    setting=setting,
    figures=figures,
)
def video_weights(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Train the network with other weights, one changed at a time.

    Args:
        cfg: of the network; ``adv.study.weights`` are the values, ``adv.video.weights`` the
            values of the other weights, which are claimed to be best.
        seed: of the training.
        specs: the networks with the config's weights.
    """
    results: list[Found] = []
    for place, values in enumerate(cfg.adv.study.weights):
        base = float(cfg.adv.video.weights[place])
        scores: dict[str, dict[float, Scores]] = {spec.label: {} for spec in specs}
        for value in sorted({base, *map(float, values)}):
            run_cfg = cfg.clone()
            run_cfg.adv.video.weights[place] = value
            name = f"lambda{place + 1}_{value:g}"
            for spec in specs if value == base else trained_models(run_cfg, seed):
                folder = Path(cfg.data.save_dir) / spec.label / name
                scores[spec.label][value] = video_scores(run_cfg, spec, folder)
        for label, own_scores in scores.items():
            prefix = f"{label}: " if len(specs) > 1 else ""
            results += of_factor(place, base, own_scores, seed, prefix)
    return results


def of_factor(
    place: int, base: float, scores: dict[float, Scores], seed: int, prefix: str = ""
) -> list[Found]:
    """Return readings and claims of one of the weights.

    Args:
        place: 0, 1 or 2 for lambda 1, 2 or 3.
        base: the value that is claimed to be best.
        scores: value -> data set -> measures.
        seed: of the training.
        prefix: of the tables' titles.
    """
    factor, claim = f"{prefix}lambda {place + 1}", PRINTED_BEST[place]
    results: list[Found] = []
    for value, sets in scores.items():
        for target, measures in sets.items():
            best = scores[base][target]["mAP"]
            row = f"{value:g}"
            results.append(Reading(f"{factor}: mAP", row, target, seed, measures["mAP"]))
            results.append(Reading(f"{factor}: Rank-1", row, target, seed, measures["cmc"]["1"]))
            if value != base:
                case = f"{prefix}{row}, {target}"
                results.append(Case(claim, case, seed, measures["mAP"], best))
    return results
