"""The page of a card: one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchreid_adv.experiments.card import figures
from torchreid_adv.experiments.card.content import label_of, version_in
from torchreid_adv.experiments.card.failures import Failure, failures_figure
from torchreid_adv.experiments.card.numbers import CONDITIONS, corruption_errors
from torchreid_adv.experiments.card.tables import interval_cell, overview_table, people_table
from torchreid_adv.registry import CORRUPTIONS
from torchreid_adv.report.page import Page, PageFigure, Section
from torchreid_adv.report.table import Cell, ResultTable, TableRow, rate
from torchreid_adv.report.text import number, percent
from torchreid_adv.report.units import DASH
from torchreid_adv.standard.page_tables import span

Content = Mapping[str, Any]
_PEOPLE = (
    "The mean over queries hides who is found and who is not. Here the queries of each identity "
    "are averaged first. The worst tenth is the lowest tenth of the identities in that condition, "
    "at least four. Not found: identities whose mean is at or below twice that of a random order."
)
_FAIL = (
    "The identities with the lowest clean average precision, each by its worst query and the first "
    "five images that the model returns for it. Below a query: mean average precision of its "
    "identity, clean / corrupted / robust."
)
_CHECKED = (
    "Every number above follows from the average precision of single queries in card.json, and is "
    "computed again when the card is read. The command below also compares these with "
    "standard.json, its stored images and the data set. With the flags of the run it scores every "
    "condition again with the model. Speed, times and the environment are as the run reports them."
)


def card_page(
    card: Content,
    *,
    people: Sequence[Failure],
    reference: Content | None = None,
    command: str = "",
    verify: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Page:
    """Return the page of a card.

    Args:
        card: content of ``card.json``.
        people: who fails, in pictures; none = the section has none.
        reference: another model's card of the same data and version.
        command: that made it, "" where it was none.
        verify: command that checks it.
        settings: the config.
    """
    numbers, data = card["numbers"], card["data"]
    return Page(
        title=label_of(card),
        kicker=f"Robustness card, version {card['card']['name']} · {data['name']}, "
        f"{number(numbers['queries'])} queries, {number(numbers['identities'])} identities, "
        f"{number(data['gallery'])} gallery images",
        lead=[summary(numbers)],
        sections=[
            _overview(card, reference),
            _corruptions(card, reference),
            _occlusion(card),
            *_cross(numbers),
            _people(card, people),
            _cameras(numbers),
            _flags(card),
            _cost(card),
            Section("How to check it", [_CHECKED, *([verify] if verify else [])]),
        ],
        config=dict(settings) if settings else None,
        provenance=provenance_of(card, command),
        written_by=f"torchreid_adv {card['version']}, schema {card['schema']}",
    )


def provenance_of(card: Content, command: str) -> dict[str, Any]:
    """Return where a card comes from."""
    known = {"torchreid_adv": card["version"], **card["environment"]}
    names = ("torchreid_adv", "torch", "numpy", "python")
    return {
        "command": command,
        "device": known.get("gpu") or f"cpu ({known.get('machine', 'unknown')})",
        "versions": {name: known[name] for name in names if known.get(name)},
        **(card.get("provenance") or {}),
    }


def summary(numbers: Content) -> str:
    """Say in two sentences how the model fares."""
    robust, worst = numbers["robust"][numbers["main"]], numbers["grid"]["worst_kind"]
    track, eps = numbers["main"].split("-eps")
    attacked = "queries" if track == "Q" else "gallery images"
    tenth = numbers["people"]["clean"]
    return (
        f"Of {percent(numbers['clean']['mAP'])} clean mAP, drawn corruptions leave "
        f"{percent(numbers['corrupted']['mAP'])}, the worst kind ({_name(worst['kind'])}) leaves "
        f"{percent(worst['mAP'])}, occlusion {percent(numbers['occluded']['mAP'])}, and the worst "
        f"attacks on {attacked} at {eps} gray levels {percent(robust['mAP'])}. Even on clean "
        f"images the worst tenth of the identities has {percent(tenth['worst_tenth'])}."
    )


def _name(kind: str) -> str:
    """Return the name of a kind as it is read."""
    return kind.replace("_", " ")


def _overview(card: Content, reference: Content | None) -> Section:
    shown = [card] if reference is None else [card, reference]
    drawn = PageFigure(
        figures.strip_figure(shown),
        "mAP of every measure with its interval",
        "Dots: mAP. Lines: 95 % intervals, identities drawn with replacement.",
        wide=True,
    )
    return Section(
        "At a glance", tables=[overview_table(card, reference)], figures={"strip": drawn}
    )


def _corruptions(card: Content, reference: Content | None) -> Section:
    numbers, version = card["numbers"], version_in(card)
    grid, drawn = numbers["grid"], numbers["corrupted"]
    spread = "" if drawn["deviation"] is None else f", deviation {percent(drawn['deviation'])}"
    severities = ", ".join(map(str, version.severities))
    sentences = [
        f"Drawn: every image of both sides gets one of 20 kinds and one of 5 severities; mean of "
        f"{version.draws} draws{spread}. By kind: the queries get each kind at severity "
        f"{severities}, the gallery is clean.",
        f"Worst family: {grid['worst_family']['family']}, {percent(grid['worst_family']['mAP'])}. "
        f"Worst kind: {_name(grid['worst_kind']['kind'])}, "
        f"{percent(grid['worst_kind']['mAP'])}. Mean over queries of each query's own worst kind "
        f"at severity {version.middle}: {percent(grid['worst_per_query']['mAP'])}; it is a minimum "
        "over 20 kinds and cannot lie above any of them.",
    ]
    if reference is not None:
        sentences.append(errors_sentence(card, reference))
    figure = PageFigure(
        figures.grid_figure(card),
        "mAP by kind and severity",
        "The stronger the color, the more mAP is left.",
    )
    return Section("Corruptions", sentences, [_kind_table(numbers)], {"grid": figure})


def _kind_table(numbers: Content) -> ResultTable:
    """Return the mean of each family, followed by its kinds."""
    grid, clean = numbers["grid"], numbers["clean"]["mAP"]
    rows = []
    for family, mean in grid["families"].items():
        members = {kind: cell for kind, cell in grid["kinds"].items() if _family(kind) == family}
        rows += [
            TableRow(
                _name(name),
                [rate(cell["mAP"]), interval_cell(cell["interval"]), rate(clean - cell["mAP"])],
                group=family,
            )
            for name, cell in {"mean": mean, **members}.items()
        ]
    return ResultTable("Families and kinds", ["mAP", "95 % interval", "lost of clean mAP"], rows)


def _family(kind: str) -> str:
    return str(CORRUPTIONS.facts(kind)["family"])


def errors_sentence(card: Content, reference: Content) -> str:
    """Say the corruption errors relative to a reference model."""
    errors = corruption_errors(card["numbers"], reference["numbers"], version_in(card))
    mean, relative = (
        DASH if value is None else percent(value)
        for value in (errors["mCE"], errors["relative_mCE"])
    )
    left_out = ", ".join(map(_name, errors["left_out"]))
    return (
        f"Relative to {label_of(reference)} (weights {reference['model']['sha256'][:10]}): mean "
        f"corruption error {mean}, relative mean corruption error {relative}; below 100 % is "
        "better."
        + (
            f" Left out of the relative one, where the reference loses nothing: {left_out}."
            if left_out
            else ""
        )
    )


def _occlusion(card: Content) -> Section:
    sweep = card["numbers"]["occluded"]["sweep"]
    shares = list(next(iter(sweep.values())))
    rows = [
        TableRow(
            kind.removeprefix("occlusion_"),
            [rate(cells[share]["mAP"], span(cells[share]["interval"])) for share in shares],
        )
        for kind, cells in sweep.items()
    ]
    table = ResultTable(
        "mAP of occluded queries",
        [f"{share} % hidden" for share in shares],
        rows,
        note="Small numbers are 95 % intervals.",
    )
    figure = PageFigure(
        figures.occlusion_figure([card]),
        "mAP against the percentage that is hidden",
        "",
        wide=False,
    )
    sentence = (
        "Part of every query is hidden: by its mean color, the scene next to the person, or "
        "another person of the same camera. A model trained with random erasing has seen the first."
    )
    return Section("Occlusion", [sentence], [table], {"occlusion": figure})


def _cross(numbers: Content) -> list[Section]:
    if not numbers["cross"]:
        return []
    rows = [
        TableRow(
            name,
            [
                rate(scores["mAP"], strong=True),
                interval_cell(scores["interval"]),
                rate(scores["rank1"]),
                interval_cell(scores["rank1_interval"]),
                Cell(number(scores["queries"]), scores["queries"]),
            ],
        )
        for name, scores in numbers["cross"].items()
    ]
    columns = ["mAP", "95 % interval", "Rank-1", "95 % interval", "queries"]
    table = ResultTable("Clean images of other data sets", columns, rows)
    sentence = "The same model on data sets that this card is not of, without attack or corruption."
    return [Section("Other data sets", [sentence], [table])]


def _people(card: Content, people: Sequence[Failure]) -> Section:
    numbers = card["numbers"]
    rho, count = numbers["people"]["rho"], numbers["people"]["clean"]["worst_count"]
    sentences = [_PEOPLE, f"Here the worst tenth is {count} of {numbers['identities']} identities."]
    if rho is not None:
        sentences.append(
            f"Rank correlation of identities between corrupted and robust: {rho:.2f} (Spearman). "
            "Near 1 the same people fail under both, near 0 different ones."
        )
    drawn = {
        "people": PageFigure(
            figures.people_figure(card),
            "Average precision of identities from the worst to the best",
            "Identities from the worst to the best, in each condition by itself. Dotted: a tenth.",
        ),
        "scatter": PageFigure(
            figures.scatter_figure(card),
            "Average precision of each identity, robust against corrupted",
            "Each dot is an identity.",
        ),
    }
    if people:
        drawn["failures"] = PageFigure(
            failures_figure(people),
            "Worst queries of the worst identities",
            _FAIL,
            photo=True,
        )
    return Section("By person", sentences, [people_table(numbers)], drawn)


def _cameras(numbers: Content) -> Section:
    rows = [
        TableRow(
            camera,
            [
                Cell(number(camera_numbers["queries"]), camera_numbers["queries"]),
                Cell(number(camera_numbers["identities"]), camera_numbers["identities"]),
                *(
                    rate(camera_numbers[name]["mAP"], span(camera_numbers[name]["interval"]))
                    for name in CONDITIONS
                ),
            ],
        )
        for camera, camera_numbers in numbers["cameras"].items()
    ]
    table = ResultTable(
        "mAP by the camera of the query",
        ["queries", "identities", *CONDITIONS],
        rows,
        head="camera",
        note="Small numbers are 95 % intervals over the identities of that camera's queries.",
    )
    return Section("By camera", [], [table])


def _flags(card: Content) -> Section:
    standard = card["standard"]
    called = "may be called" if standard["called_standard"] else "may not be called"
    sentences = [
        f"The robust numbers {called} {standard['name']}; standard.json in the same folder "
        "lists the reasons."
    ]
    for flag in standard["flags"]:
        where = f" ({flag['where']})" if flag["where"] else ""
        sentences.append(f"{flag['level']} {flag['name']}{where}.")
    if not standard["flags"]:
        sentences.append("No check of the standard evaluation raised a flag.")
    return Section("Flags", sentences)


def _cost(card: Content) -> Section:
    cost = card["cost"]
    height, width = (cost["size"] or [None, None])[:2]
    parameters, rate_of = cost["parameters"], cost["images_per_second"]
    rows = [
        ("parameters", DASH if parameters is None else number(parameters)),
        ("input", f"{height} x {width}" if height else DASH),
        ("feature", number(cost["feature"])),
        ("images a second, from file to feature", DASH if rate_of is None else number(rate_of)),
    ]
    rows += [
        (f"seconds for: {name}", DASH if seconds is None else number(round(seconds)))
        for name, seconds in cost["seconds"].items()
    ]
    table = ResultTable(
        "Cost", ["value"], [TableRow(name, [Cell(text, "")]) for name, text in rows]
    )
    return Section("Cost", ["Times were measured on the machine that made the card."], [table])
