"""The page of a run: a section for each data set, its figures, report.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.core.pixels import to_levels
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.report import curves, panels, text
from torchreid_adv.report.noise import Triple, noise_triples
from torchreid_adv.report.page import (
    Page,
    PageFigure,
    Section,
    figure_prefixes,
    write_figures,
    write_page,
)
from torchreid_adv.report.probe import Probe, build_probe
from torchreid_adv.report.quoting import (
    Headline,
    Questions,
    attacked_sentence,
    bound_note,
    run_questions,
)
from torchreid_adv.report.ranking_lists import (
    RankingLists,
    TargetedLists,
    ranking_lists,
    targeted_lists,
)
from torchreid_adv.report.rules import left_out_sentence, rule_sentence
from torchreid_adv.report.survey import Survey, survey_target
from torchreid_adv.report.table import Cell, ResultTable, TableRow, measures
from torchreid_adv.report.units import DISTANCE


@dataclass(frozen=True)
class AttackedSection:
    """One data set: its numbers, sentences and pictures.

    Args:
        target: the attacked data.
        model: name of the attacked model.
        survey: queries ranked before and after the attack.
        lists: ranking lists of some queries.
        triples: original, noise and adversarial image of some attacked images.
        probe: the match that is overtaken, None if there is none to show.
        pulled: of a targeted attack, lists that its images enter.
        recorded: the results contain the command that made them.
    """

    target: AttackedData
    model: str
    survey: Survey
    lists: list[RankingLists]
    triples: list[Triple]
    probe: Probe | None
    pulled: list[TargetedLists]
    recorded: bool = False

    @property
    def eps(self) -> float:
        """The bound in gray levels."""
        return to_levels(self.target.eps)

    @property
    def bounded(self) -> bool:
        """Whether the attack has a bound."""
        return self.target.eps < 1

    @property
    def whole_curve(self) -> bool:
        """Whether the match curves are drawn rank by rank."""
        return curves.curve_is_whole(self.target.results, self.survey)

    @property
    def metric(self) -> str:
        """Name of the distance."""
        return text.describe_distance(self.target.distance)

    @property
    def rule(self) -> str:
        """The data set's own protocol, "" where it is scored as Market-1501."""
        return rule_sentence(self.target.protocol.name)

    @property
    def left_out(self) -> str:
        """Which images of the same person the lists leave out."""
        return left_out_sentence(self.target.protocol.galleries)

    @property
    def sentences(self) -> list[str]:
        """Sentences on the effect of the attack and of the defense, if there is one."""
        target, results = self.target, self.target.results
        sentences = [text.headline(self.model, target.name, target.side, self.eps, results)]
        if results.get("defense"):
            sentences.insert(0, text.defense_sentence(results["defense"]))
        if self.model.startswith("self_attack_video"):
            sentences.append(text.SELF_ATTACK)
        if results.get("figure"):
            sentences.append(text.figure_sentence(results["figure"]))
        return sentences

    @property
    def headline(self) -> Headline:
        """The numbers that head the section."""
        return Headline.of(self.target.results)

    @cached_property
    def chance(self) -> float | None:
        """Mean mAP of a random order, in [0, 1]; None for sampled galleries."""
        target = self.target
        if target.protocol.galleries.uneven:
            return None
        expected = target.protocol.chances(target.query, target.gallery)
        return float(np.nanmean(expected)) if not np.isnan(expected).all() else None

    @property
    def questions(self) -> Questions:
        """Questions to ask before quoting a number."""
        return run_questions(
            self.target.results, side=self.target.side, chance=self.chance, recorded=self.recorded
        )

    @property
    def short_of_steps(self) -> str:
        """A sentence on a bound that was not reached, "" where it was."""
        return bound_note(self.target.results)

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """Further numbers below the measures: pairs (name, value)."""
        run = self.target.results
        largest, mean = (text.number(run["linf"][name]) for name in ("max", "mean"))
        clean = run["clean"]
        return [
            ("mAP ratio, adversarial to clean", text.number(run["map_ratio"])),
            ("mAP of a random order", text.percent(self.chance)),
            ("Maximum change per image", f"{largest} gray levels at most, {mean} on average"),
            (
                "Queries scored / without a correct match",
                f"{text.number(clean['queries'])} / {text.number(clean['skipped'])}",
            ),
            ("Attack speed", f"{text.number(run['images_per_second'])} images per second"),
        ]

    @property
    def which(self) -> str:
        """Which images of the attacked side were attacked."""
        target = self.target
        hit, other = (target.gallery, target.query)[:: 1 if target.side == "gallery" else -1]
        unattacked = [i for i, name in enumerate(hit.image_ids) if name not in target.attacked]
        known = set(other.pids.tolist())
        sentence = attacked_sentence(
            target.side,
            total=len(hit),
            attacked=len(hit) - len(unattacked),
            only_referenced=all(int(hit.pids[row]) not in known for row in unattacked),
        )
        unchanged = target.results["images"].get("unchanged")
        return f"{sentence}; {text.number(unchanged)} came out unchanged" if unchanged else sentence

    @property
    def threat(self) -> list[tuple[str, str]]:
        """The attacker's knowledge, changes and measure of success."""
        results = self.target.results
        return text.threat_model(
            results["attack"],
            results["images"],
            self.target.side,
            self.metric,
            results.get("tracklets"),
            self.which,
        )

    @property
    def table(self) -> ResultTable:
        """The measures."""
        return measures(self.target.results)

    @property
    def curve(self) -> str:
        """A sentence on the curve against queries, empty for an attack that asks nothing."""
        results = self.target.results
        curve = results.get("query_curve")
        return text.curve_sentence(curve, results["adversarial"]["mAP"]) if curve else ""

    @property
    def all_right(self) -> bool:
        """Whether every listed query had a correct first match before the attack."""
        return all(lists.before.found[0].right for lists in self.lists)

    @property
    def sample(self) -> str:
        """A sentence on the surveyed queries if these are only a sample."""
        rows, queries = len(self.survey.rows), len(self.target.query)
        return (
            "" if self.survey.complete else f"A random sample of {rows:,} of {queries:,} queries."
        )

    @property
    def answers(self) -> ResultTable:
        """MAP and objective by answers asked, of an attack that asks any."""
        curve = self.target.results["query_curve"]
        points = zip(curve["queries"], curve["mAP"], curve["objective"], strict=True)
        rows = [
            TableRow(text.number(asked), (mean, Cell(DISTANCE.shown(objective), objective)))
            for asked, mean, objective in points
        ]
        return ResultTable("mAP by answers", ("mAP", "Objective"), rows, head="Answers")

    @cached_property
    def figures(self) -> dict[str, PageFigure]:
        """File name without suffix -> figure."""
        return self._draw()

    def _draw(self) -> dict[str, PageFigure]:
        drawn = {
            f"ranking_{n}": panels.ranking_figure(lists)
            for n, lists in enumerate(self.lists, start=1)
        }
        drawn |= {
            f"targeted_{n}": panels.targeted_figure(lists)
            for n, lists in enumerate(self.pulled, start=1)
        }
        if self.triples:
            drawn["noise"] = panels.noise_figure(self.triples)
        if self.probe:
            drawn["probe"] = panels.probe_figure(self.probe)
        pictures = {name: PageFigure(figure, name, photo=True) for name, figure in drawn.items()}
        return pictures | self._charts()

    def _charts(self) -> dict[str, PageFigure]:
        target, run = self.target, self.target.results
        marks = "" if self.whole_curve else " Lines join the marks."
        charts = {
            "cmc": PageFigure(
                curves.cmc_figure(run, self.survey),
                "Cumulative matching curves before and after the attack",
                "Share of queries with a correct match among the nearest images. Marks: the ranks "
                f"of the table, over all queries.{marks}",
            ),
            "distances": PageFigure(
                curves.distances_figure(self.survey, self.metric),
                "Histograms of distances before and after the attack",
                f"How far queries are ({self.metric}) from their correct matches by other cameras "
                "(filled; dashed: mean) and from the nearest incorrect match (outline)."
                f"{self._means()} {self.sample}".rstrip(),
            ),
        }
        if self.curve:
            charts["queries"] = PageFigure(
                curves.queries_figure(run["query_curve"], run["adversarial"]["mAP"]),
                "mAP against the answers asked for each image",
                f"mAP against the answers asked for each image: all {target.side} images at the "
                "same number of answers, scored together.",
            )
        return charts

    def _means(self) -> str:
        means = self.target.results.get("positive_distance")
        if not means:
            return ""
        before, after = (text.fixed(means[time]) for time in ("clean", "adversarial"))
        return f" Mean to correct matches: {before} \N{RIGHTWARDS ARROW} {after}."


def build_section(target: AttackedData, model: str, *, recorded: bool = False) -> AttackedSection:
    """Rank the target's queries before and after the attack, and choose and read images to show.

    Args:
        target: the attacked data.
        model: name of the attacked model.
        recorded: the results contain the command that made them.

    Raises:
        DataError: an image is missing or cannot be read.
    """
    survey = survey_target(target)
    lists, triples = ranking_lists(target, survey), noise_triples(target)
    probe, pulled = build_probe(target, survey), targeted_lists(target, survey)
    return AttackedSection(target, model, survey, lists, triples, probe, pulled, recorded)


def write_report(out: Path, results: dict[str, Any], targets: Sequence[AttackedData]) -> Path:
    """Write ``out/report.html`` and ``out/figures/*`` atomically.

    Args:
        out: folder of the run.
        results: the content of ``results.json``.
        targets: one per attacked data set, in display order.

    Returns:
        the path of the page: one self-contained file, without network access or scripts.

    Raises:
        DataError: an image is missing or cannot be read; the message names the file.
        OSError: the folder cannot be written.
    """
    model, recorded = str(results["model"]["name"]), bool(results.get("provenance"))
    sections = [build_section(target, model, recorded=recorded) for target in targets]
    prefixes = figure_prefixes([target.name for target in targets])
    for prefix, section in zip(prefixes, sections, strict=True):
        figures = {f"{prefix}{name}": figure for name, figure in section.figures.items()}
        write_figures(out / "figures", figures)
    return write_page(out / "report.html", run_page(results, sections))


def run_page(results: dict[str, Any], sections: Sequence[AttackedSection]) -> Page:
    """Return the page of a run.

    Args:
        results: the content of ``results.json``.
        sections: of its data sets.
    """
    return Page(
        title=str(results["model"]["name"]),
        kicker="Adversarial robustness report",
        sections=[
            Section(section.target.name, template="run_section.html", content=section)
            for section in sections
        ],
        config=results.get("config") or {},
        provenance=results.get("provenance"),
        template="report.html",
        facts={"results": results},
        written_by=f"torchreid_adv {results['version']}, results schema {results['schema']}",
    )
