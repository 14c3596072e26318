"""Li et al., Adversarial Self-Attack Defense and Spatial-Temporal Relation Mining..."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torchreid_adv.commands.reproducing import Reproduction, chosen_models, rule_note
from torchreid_adv.commands.video_scoring import ROWS, check_video, video_scores, with_row
from torchreid_adv.config import AdvConfig
from torchreid_adv.models.specs import parse_models
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.comparison import Finding, compare, measured
from torchreid_adv.report.paper import paper_table


@REPRODUCTIONS.register("vi_video.table1", title="parts of the visible-infrared video network")
def table1(cfg: AdvConfig) -> Reproduction:
    """Search by the networks of the rows that are given, in both directions."""
    return _searched(cfg, "vi_video.table1")


@REPRODUCTIONS.register("vi_video.table2", title="the video network beside other methods")
def table2(cfg: AdvConfig) -> Reproduction:
    """Search by the network with and without FRM-STIG; the other methods are the paper's alone."""
    return _searched(cfg, "vi_video.table2")


def _searched(cfg: AdvConfig, name: str) -> Reproduction:
    """Score the rows that weights are given for.

    Raises:
        ConfigError: data or engine of another kind, or no weights of any row.
    """
    printed = paper_table(name)
    check_video(cfg, name)
    others = [label for label in printed.models if label not in ROWS]
    own = {label: words for label, words in printed.models.items() if label in ROWS}
    models = chosen_models(cfg, replace(printed, models=own))
    rows = {cell["tested"]: cell["row"] for cell in printed.cells}
    findings = []
    for spec in parse_models(cfg.adv.transfer.models):
        folder = Path(cfg.data.save_dir) / "searches" / spec.label
        print(f"=> Searching by {spec.label}: {spec.weights}")
        scores = video_scores(with_row(cfg, ROWS[spec.label]), spec, folder)
        for target, measures in scores.items():
            where = {"target": target, "tested": spec.label, "row": rows[spec.label]}
            findings.append(Finding(where, measured(measures)))
    notes = [*models.notes, rule_note(cfg, printed)]
    if others:
        notes.insert(0, f"The paper's alone, as no part of this package: {', '.join(others)}.")
    return Reproduction(compare(printed, findings, notes=notes))
