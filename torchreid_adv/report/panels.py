"""The pictures of a report as figures for papers: ranking lists, noise, the probe."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from torchreid_adv.report.cards import Card
from torchreid_adv.report.noise import Triple
from torchreid_adv.report.probe import Match, Probe, Scene
from torchreid_adv.report.ranking_lists import ListRow, RankingLists, TargetedLists
from torchreid_adv.report.style import ATTACKED, INK, MUTED, RIGHT, WRONG
from torchreid_adv.report.text import fixed, moved, percent

GAP = 0.1  # inches, as all lengths here
LINE = 0.2
FONT = 7


class Sheet:
    """A figure of cells of one size: an image each, with a line of text above and below.

    Args:
        rows: of cells.
        columns: of cells.
        cell: width and height of an image; images of other shapes are centered in it.
        left: room for labels of the rows.
        head: room for the text above.
        top: further room above the first row, for text that only the first row has.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        cell: tuple[float, float] = (0.72, 1.44),
        left: float = 0,
        head: float = LINE,
        top: float = 0,
    ) -> None:
        self._cell, self._left = cell, left + GAP
        self._line = head + cell[1] + LINE + GAP
        self._rows = rows * self._line
        self._height = self._rows + top
        width = self._left + columns * (cell[0] + GAP)
        self.figure = Figure(figsize=(width, self._height))
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(0, self._height), autoscale_on=False)

    def show(
        self,
        row: int,
        column: int,
        picture: Image.Image,
        *,
        frame: str | None = None,
        above: str = "",
        below: tuple[str, str] = ("", INK),
        crisp: bool = False,
    ) -> None:
        """Draw an image with its frame's color, the text above and (text, color) below."""
        x, y = self._corner(row, column)
        width, height = self._cell
        scale = min(width / picture.width, height / picture.height)
        w, h = picture.width * scale, picture.height * scale
        left, bottom = x + (width - w) / 2, y + (height - h) / 2
        self._axes.imshow(
            picture,
            extent=(left, left + w, bottom, bottom + h),
            interpolation="nearest" if crisp else "bicubic",
            aspect="auto",
        )
        if frame:
            box = Rectangle((x, y), width, height, fill=False, edgecolor=frame, linewidth=2)
            self._axes.add_patch(box)
        self._text(x + width / 2, y + height + LINE / 2, above, MUTED)
        self._text(x + width / 2, y - LINE / 2, *below)

    def label(self, row: int, text: str) -> None:
        """Write a row's label up its left side."""
        _, y = self._corner(row, 0)
        self._text(self._left / 2, y + self._cell[1] / 2, text, INK, rotation=90)

    def _corner(self, row: int, column: int) -> tuple[float, float]:
        across = self._left + column * (self._cell[0] + GAP)
        return across, self._rows - (row + 1) * self._line + LINE

    def _text(self, x: float, y: float, text: str, color: str, *, rotation: float = 0) -> None:
        self._axes.text(
            x, y, text, color=color, fontsize=FONT, ha="center", va="center", rotation=rotation
        )


def ranking_figure(*lists: RankingLists) -> Figure:
    """Draw each query at the left of its clean list above its adversarial list."""
    rows = [row for query_lists in lists for row in (query_lists.before, query_lists.after)]
    precisions = [precision for query_lists in lists for precision in query_lists.precision]
    sheet = Sheet(len(rows), 1 + max(len(row.found) for row in rows), left=0.15)
    for place, (row, precision) in enumerate(zip(rows, precisions, strict=True)):
        draw_list(sheet, place, row, percent(precision))
    return sheet.figure


def draw_list(sheet: Sheet, place: int, row: ListRow, precision: str) -> None:
    """Draw a query and its list as a row of a sheet.

    Args:
        sheet: to draw on.
        place: row of the sheet.
        row: the list.
        precision: the query's AP as text; "" = its identity is shown.
    """
    sheet.label(place, row.label)
    below = (f"AP {precision}" if precision else f"identity {row.query.pid}", INK)
    sheet.show(place, 0, row.query.picture, frame=INK, above="query", below=below)
    for rank, card in enumerate(row.found, start=1):
        _draw_found(sheet, place, rank, card, str(rank))


def _draw_found(sheet: Sheet, place: int, column: int, card: Card, above: str) -> None:
    color = _color(card)
    below = fixed(card.distance) if card.positions is None else moved(card.positions)
    sheet.show(place, column, card.picture, frame=color, above=above, below=(below, color))


def targeted_figure(lists: TargetedLists) -> Figure:
    """Draw the pulled images, with their positions, between the lists before and after."""
    longest = max(len(cards) for cards in (lists.before.found, lists.after.found, lists.pulled))
    sheet = Sheet(3, 1 + longest, left=0.15)
    for place, row in ((0, lists.before), (2, lists.after)):
        draw_list(sheet, place, row, "")
    sheet.label(1, lists.label)
    for column, card in enumerate(lists.pulled, start=1):
        _draw_found(sheet, 1, column, card, "")
    return sheet.figure


def noise_figure(triples: Sequence[Triple]) -> Figure:
    """Draw original, amplified noise and adversarial image, two such triples per row."""
    sheet = Sheet((len(triples) + 1) // 2, 3 * min(2, len(triples)), cell=(1, 2), head=0)
    for i, triple in enumerate(triples):
        pictures = (triple.original, triple.noise, triple.adversarial)
        captions = ("original", _noise_caption(triple), "adversarial")
        for column, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            place = 3 * (i % 2) + column
            sheet.show(i // 2, place, picture, below=(caption, INK), crisp=True)
    return sheet.figure


def _noise_caption(triple: Triple) -> str:
    return "noise" if triple.largest is None else f"noise, at most {triple.largest}"


def probe_figure(probe: Probe) -> Figure:
    """Draw the probe with a correct and an incorrect match: before the attack, after it below."""
    sheet = Sheet(2, 3, cell=(1, 2), left=0.15)
    for place, scene in enumerate((probe.before, probe.after)):
        _draw_scene(sheet, place, scene)
    return sheet.figure


def _draw_scene(sheet: Sheet, place: int, scene: Scene) -> None:
    sheet.label(place, scene.label)
    sheet.show(place, 0, scene.probe.picture, frame=INK, above="probe")
    for column, match in enumerate(scene.matches, start=1):
        color = _color(match.card)
        below = (_reading(match), color)
        sheet.show(place, column, match.card.picture, frame=color, above=match.title, below=below)


def _reading(match: Match) -> str:
    if match.similarity is None:
        return f"distance {fixed(match.card.distance)}"
    return f"similarity {fixed(match.similarity)}"


def _color(card: Card) -> str:
    if card.positions is not None:
        return ATTACKED
    return RIGHT if card.right else WRONG
