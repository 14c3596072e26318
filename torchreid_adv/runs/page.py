"""The page of a run: a section for each data set, its figures, report.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.core.pixels import to_levels
from torchreid_adv.evaluation.attacked import TargetReport
from torchreid_adv.report import curves, panels, style, text
from torchreid_adv.report.noise import Triple, noise_triples
from torchreid_adv.report.page import environment, figure_prefixes
from torchreid_adv.report.probe import Probe, build_probe
from torchreid_adv.report.ranking_lists import (
    PulledLists,
    RankingLists,
    pulled_lists,
    ranking_lists,
)
from torchreid_adv.report.rules import left_out_sentence, rule_sentence
from torchreid_adv.report.survey import Survey, survey_target
from torchreid_adv.report.table import Table, measures


@dataclass(frozen=True)
class Section:
    """One data set: its numbers, its words, its pictures.

    Args:
        target: what was attacked.
        model: name of the attacked model.
        survey: queries ranked before and after the attack.
        lists: ranking lists of some queries.
        triples: original, noise and adversarial image of some attacked images.
        probe: the match that is overtaken, None when there is none to show.
        pulled: of a targeted attack, lists that its images enter.
    """

    target: TargetReport
    model: str
    survey: Survey
    lists: list[RankingLists]
    triples: list[Triple]
    probe: Probe | None
    pulled: list[PulledLists]

    @property
    def eps(self) -> float:
        """The bound in gray levels."""
        return to_levels(self.target.eps)

    @property
    def bounded(self) -> bool:
        """The attack has a bound."""
        return self.target.eps < 1

    @property
    def whole_curve(self) -> bool:
        """The match curves are drawn rank by rank."""
        return curves.curve_is_whole(self.target.results, self.survey)

    @property
    def metric(self) -> str:
        """What the distance is called."""
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
        """What the attack did, and what the defense, if there is one, does against it."""
        target, results = self.target, self.target.results
        said = [text.headline(self.model, target.name, target.side, self.eps, results)]
        if results.get("defense"):
            said.append(text.defense_sentence(results["defense"]))
        if self.model.startswith("self_attack_video"):
            said.append(text.SELF_ATTACK)
        if results.get("figure"):
            said.append(text.figure_sentence(results["figure"]))
        return said

    @property
    def threat(self) -> list[tuple[str, str]]:
        """What the attacker knows, changes and is scored by."""
        results = self.target.results
        return text.threat_model(
            results["attack"],
            results["images"],
            self.target.side,
            self.metric,
            results.get("tracklets"),
        )

    @property
    def table(self) -> Table:
        """The measures."""
        return measures(self.target.results)

    @property
    def curve(self) -> str:
        """A sentence on the curve against queries, empty for an attack that asks nothing."""
        results = self.target.results
        found = results.get("query_curve")
        return text.curve_sentence(found, results["adversarial"]["mAP"]) if found else ""

    @property
    def all_right(self) -> bool:
        """Every listed query had a right first match before the attack."""
        return all(lists.before.found[0].right for lists in self.lists)

    @property
    def sample(self) -> str:
        """A sentence on the queries looked at where these are not all."""
        rows, queries = len(self.survey.rows), len(self.target.query)
        return (
            "" if self.survey.complete else f"A random sample of {rows:,} of {queries:,} queries."
        )

    @cached_property
    def figures(self) -> dict[str, bytes]:
        """File name without suffix -> PNG file."""
        return {name: style.to_png(figure) for name, figure in self._draw().items()}

    def _draw(self) -> dict[str, Figure]:
        drawn = {
            f"ranking_{n}": panels.ranking_figure(lists)
            for n, lists in enumerate(self.lists, start=1)
        }
        drawn |= {
            f"targeted_{n}": panels.pulled_figure(lists)
            for n, lists in enumerate(self.pulled, start=1)
        }
        if self.triples:
            drawn["noise"] = panels.noise_figure(self.triples)
        if self.probe:
            drawn["probe"] = panels.probe_figure(self.probe)
        drawn["cmc"] = curves.cmc_figure(self.target.results, self.survey)
        drawn["distances"] = curves.distances_figure(self.survey, self.metric)
        if self.curve:
            results = self.target.results
            drawn["queries"] = curves.queries_figure(
                results["query_curve"], results["adversarial"]["mAP"]
            )
        return drawn


def build_section(target: TargetReport, model: str) -> Section:
    """Rank the target's queries before and after the attack, choose what to show and read it.

    Raises:
        DataError: an image is missing or cannot be read.
    """
    survey = survey_target(target)
    lists, triples = ranking_lists(target, survey), noise_triples(target)
    probe, pulled = build_probe(target, survey), pulled_lists(target, survey)
    return Section(target, model, survey, lists, triples, probe, pulled)


def write_report(out: Path, results: dict[str, Any], targets: Sequence[TargetReport]) -> Path:
    """Write ``out/report.html`` and ``out/figures/*.png``, each whole or not at all.

    Args:
        out: folder of the run.
        results: the content of ``results.json``.
        targets: one per attacked data set, in the order in which they are shown.

    Returns:
        the path of the page: one file that needs nothing else, neither network nor scripts.

    Raises:
        DataError: an image is missing or cannot be read; the message names the file.
        OSError: the folder cannot be written.
    """
    sections = [build_section(target, str(results["model"]["name"])) for target in targets]
    prefixes = figure_prefixes([target.name for target in targets])
    for prefix, section in zip(prefixes, sections, strict=True):
        for name, content in section.figures.items():
            write_bytes(out / "figures" / f"{prefix}{name}.png", content)
    path = out / "report.html"
    write_text(path, render(results, sections))
    return path


def render(results: dict[str, Any], sections: Sequence[Section]) -> str:
    """Fill the template."""
    config = text.config_lines(results.get("config"))
    template = environment().get_template("report.html")
    return template.render(results=results, sections=sections, config=config)
