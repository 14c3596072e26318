"""The page of a study: verdicts, effects, values, calibration and setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from torchreid_adv.core.provenance import provenance
from torchreid_adv.experiments.calibrated import Calibrated
from torchreid_adv.experiments.calibration import range_text
from torchreid_adv.experiments.claims import readings_tables
from torchreid_adv.experiments.figures import effects_figure
from torchreid_adv.experiments.study_file import StudyFile
from torchreid_adv.experiments.verdicts import (
    HOLDS,
    NONE,
    OPEN,
    OPPOSITE,
    RUNS,
    Verdict,
    verdict_result,
)
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.page import Page, PageFigure, Section
from torchreid_adv.report.table import Cell, ResultTable, TableRow

Figures = Mapping[str, PageFigure]
_EFFECTS = (
    "Dots: the effect here, with its 95 % interval. Diamonds: the effect in the paper. Gray: the "
    "margin, within which an effect counts as none."
)
_VALUES = "Means over runs, ± standard deviation where there are several runs."


def lead(result: StudyFile, decided: Sequence[Verdict]) -> list[str]:
    """Return the first sentences on a study: what came out, and why nothing may be concluded.

    Args:
        result: of the study.
        decided: its verdicts.
    """
    facts = STUDIES.facts(result.study)
    told = [headline(decided)] if decided else []
    if "headline" in facts and result.readings:
        told.append(facts["headline"](result.readings))
    return [*told, *_caution(result, decided)]


def headline(decided: Sequence[Verdict]) -> str:
    """Return a sentence with the number of claims of each verdict."""
    counts, number = Counter(verdict.word for verdict in decided), len(decided)
    hold = "holds" if counts[HOLDS] == 1 else "hold"
    show = "shows" if counts[NONE] == 1 else "show"
    return (
        f"Of {number} claim{'s' * (number != 1)}, {counts[HOLDS]} {hold}, the opposite holds for "
        f"{counts[OPPOSITE]}, {counts[NONE]} {show} no effect, and {counts[OPEN]} cannot be "
        "decided."
    )


def _caution(result: StudyFile, decided: Sequence[Verdict]) -> Iterator[str]:
    """Yield why nothing may be concluded from a study, if so."""
    runs = f"{result.finished} run{'s' * (result.finished != 1)}"
    if result.unfinished:
        yield (
            f"Nothing is concluded, because the study is not finished: {result.unfinished}. The "
            "same command continues it."
        )
    elif decided and result.finished < RUNS:
        yield (
            f"Nothing is concluded from {runs}: a verdict needs {RUNS}. Name more seeds in "
            "adv.study.seeds."
        )
    elif result.finished == 1:
        yield "Nothing is known of the spread over seeds, because there is one run."


def study_page(
    result: StudyFile,
    *,
    decided: Sequence[Verdict],
    known: Calibrated,
    setting: str,
    figures: Figures,
) -> Page:
    """Return the page of a study.

    Args:
        result: of the study.
        decided: its verdicts.
        known: the calibration of its networks.
        setting: sentences on its networks and runs.
        figures: further ones of the study, end of the file's name -> figure.
    """
    facts = STUDIES.facts(result.study)
    summary = [facts["summary"](result.readings)] if "summary" in facts else []
    values = Section("Values", [_VALUES], readings_tables(result.readings))
    return Page(
        title=facts["title"],
        kicker=f"Study {result.study} · {', '.join(result.config['data']['targets'])}",
        lead=lead(result, decided),
        sections=[
            *(_verdicts(decided) if decided else []),
            *summary,
            *([Section("Figures", figures=figures)] if figures else []),
            *([values] if result.readings else []),
            *([_calibration(known)] if decided else []),
            Section("Setting", [setting]),
        ],
        config=result.config,
        provenance=provenance().facts(),
    )


def _verdicts(decided: Sequence[Verdict]) -> list[Section]:
    drawn = PageFigure(
        effects_figure(decided),
        "Effect of each claim with its interval, the paper's effect and the margin",
        _EFFECTS,
        wide=True,
    )
    return [
        Section("Verdicts", tables=[verdict_result(decided)]),
        Section("Effects", figures={"effects": drawn}),
    ]


def _calibration(known: Calibrated) -> Section:
    """Return whether a calibration of the networks is in force, with its answers."""
    if known.problem:
        sentence = (
            f"No calibration is in force: {known.problem}. Claims that rest on one cannot be "
            "decided."
        )
        return Section("Calibration", [sentence])
    inside = sum(answer.inside for answer in known.answers)
    sentence = (
        f"A calibration of these networks is in force: {inside} of {len(known.answers)} answers "
        "are in the range of real weights. A claim that rests on one of the others cannot be "
        "decided."
    )
    rows = [
        TableRow(
            answer.question,
            [
                answer.value,
                Cell(range_text(answer.low, answer.high), answer.low),
                Cell("inside") if answer.inside else Cell("outside", strong=True),
            ],
        )
        for answer in known.answers
    ]
    table = ResultTable("Answers", ("here", "real weights, percent", ""), rows, head="question")
    return Section("Calibration", [sentence], [table])
