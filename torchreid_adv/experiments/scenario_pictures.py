"""Pictures of the scenarios' page: queries under all attacks and bounds, and failed lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, read_json
from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.data.images import read_image
from torchreid_adv.experiments.learned import (
    LearnedAttack,
    SourceModel,
    last_recipe,
)
from torchreid_adv.experiments.scenario_tables import Picture
from torchreid_adv.experiments.universal_scores import UniversalScores
from torchreid_adv.report.choice import choose_images, choose_worst, turned
from torchreid_adv.report.noise import compared
from torchreid_adv.report.panels import LINE, Sheet, ranking_figure
from torchreid_adv.report.ranking_lists import lists_of
from torchreid_adv.report.style import ATTACKED, INK, to_png
from torchreid_adv.report.survey import survey_target

QUERIES = 2  # per picture
PICTURE, COUNTS = "lists.png", "counts.json"  # of failed queries


def pictures(
    cfg: AdvConfig, attacks: Sequence[LearnedAttack], scores: UniversalScores
) -> list[Picture]:
    """Draw some queries of the first attacked model under all attacks, and under all bounds."""
    first, eps = attacks[0].on, float(cfg.adv.attack.eps)
    of_first = [attack for attack in attacks if attack.on == first]
    last = [attack for attack in of_first if attack.way == last_recipe(cfg, eps).name]
    drawn = [
        _picture(
            "Color, delta and both",
            f"Queries of {first.data} under perturbations learned against {first.model}; below, "
            "the perturbation around mid-gray, all with the same amplification.",
            {attack.way: attack for attack in of_first if attack.eps == eps},
            scores,
            out=Path(cfg.data.save_dir) / "figures" / "ways.png",
        )
    ]
    if len(last) > 1:
        last.sort(key=lambda attack: attack.eps)
        drawn.append(
            _picture(
                "The bound",
                f"The same queries under '{last[0].way}' with several bounds, all with the same "
                "amplification.",
                {f"eps {attack.eps:g}": attack for attack in last},
                scores,
                out=Path(cfg.data.save_dir) / "figures" / "bounds.png",
            )
        )
    under = [attack for attack in of_first if attack.eps == eps][-1]
    listed = (_failed(under, tested, scores, Path(cfg.data.save_dir)) for tested in scores.known)
    return [*drawn, *(picture for picture in listed if picture)]


def _failed(
    attack: LearnedAttack, tested: SourceModel, scores: UniversalScores, out: Path
) -> Picture | None:
    """Draw lists of queries that fail under an attack; None if no query fails.

    The figure and its sentence are cached, so repeating the page extracts no features.
    """
    key = scores.key(attack, tested)

    def draw(folder: Path) -> None:
        target = scores.ranked(attack, tested)
        survey = survey_target(target)
        failed, pids = turned(survey.before, survey.after), target.query.pids[survey.rows].tolist()
        worst = choose_worst(survey.before, survey.after, pids, count=QUERIES, among=failed)
        if worst:
            figure = ranking_figure(*lists_of(target, survey, worst))
            write_bytes(folder / PICTURE, to_png(figure))
        counts = {"failed": int(failed.sum()), "right": int((survey.before.first == 0).sum())}
        write_text(folder / COUNTS, json.dumps(counts) + "\n")

    place = Cache(out / "figures").folder(f"failed_{tested.spec.label}", key, draw)
    image, counts = place / PICTURE, read_json(place / COUNTS)
    if not image.exists():
        return None
    sentence = (
        f"Of {counts['right']} queries of {tested.data} that {tested.model} ranks correctly, "
        f"{counts['failed']} fail under '{attack.way}', learned against {attack.on.model} on "
        f"{attack.on.data}. The largest losses of different people, clean and attacked:"
    )
    title = f"Queries that fail: {tested.model}, {tested.data}"
    return Picture(title, sentence, image.read_bytes())


def _picture(
    title: str,
    sentence: str,
    columns: Mapping[str, LearnedAttack],
    scores: UniversalScores,
    *,
    out: Path,
) -> Picture:
    forms: dict[str, dict[str, Path]] = {}
    originals: dict[str, Path] = {}
    for name, attack in columns.items():
        pairs = scores.pairs(attack, attack.on)
        forms[name] = {record.image_id: path for record, path in pairs}
        originals = {record.image_id: record.path for record, _ in pairs}
    shown = {
        image_id: originals[image_id] for image_id in choose_images(list(originals), count=QUERIES)
    }
    largest = max(attack.eps for attack in columns.values())
    content = to_png(attacked_figure(shown, forms, largest))
    write_bytes(out, content)
    return Picture(title, sentence, content)


_CELL = (0.9, 1.8)
Column = Mapping[str, Path]  # image_id -> stored adversarial form


def attacked_figure(
    originals: Mapping[str, Path], columns: Mapping[str, Column], eps: float
) -> Figure:
    """Draw each query and its adversarial forms, with the perturbations below.

    Args:
        originals: image_id -> file of a query.
        columns: heading of a column -> the queries' adversarial forms.
        eps: bound, gray levels, which all perturbations are scaled by.
    """
    sheet = Sheet(2 * len(originals), 1 + len(columns), cell=_CELL, left=0.15, head=0, top=LINE)
    for place, (image_id, path) in enumerate(originals.items()):
        sheet.label(2 * place, "attacked")
        sheet.label(2 * place + 1, "perturbation")
        original = read_image(path)
        for number, (name, column) in enumerate(columns.items(), start=1):
            triple = compared(
                image_id, original, read_image(column[image_id]), eps=from_levels(eps)
            )
            heads = ("query", name) if not place else ("", "")
            if number == 1:
                sheet.show(2 * place, 0, triple.original, frame=INK, above=heads[0], crisp=True)
            adversarial = triple.adversarial
            sheet.show(2 * place, number, adversarial, frame=ATTACKED, above=heads[1], crisp=True)
            sheet.show(2 * place + 1, number, triple.noise, crisp=True)
    return sheet.figure
