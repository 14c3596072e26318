"""``adv.card``: robustness cards of models, from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.core.provenance import call
from torchreid_adv.core.speaking import Listener
from torchreid_adv.core.tabular import ResultList, Tabular
from torchreid_adv.experiments.card.content import CARD, label_of, read_card
from torchreid_adv.experiments.card.measures import measures_of
from torchreid_adv.experiments.card.run import PAGE, PICTURE
from torchreid_adv.experiments.card.run import cards as run_cards
from torchreid_adv.python.configured import (
    Datas,
    Inputs,
    Models,
    Settings,
    calling,
    configured,
    distance_keys,
    place_keys,
)


@dataclass(frozen=True)
class CardResult(Tabular):
    """The robustness card of one model on one data set.

    Args:
        path: of ``card.json``.
        content: what it holds.
    """

    path: Path
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> CardResult:
        """Read a ``card.json``.

        Raises:
            DataError: it is none, or was changed by hand.
        """
        return cls(Path(path), read_card(Path(path)))

    def __repr__(self) -> str:
        rates = ", ".join(f"{row['measure']} {row['mAP']:.1%}" for row in self.rows())
        return (
            f"CardResult({self.content['card']['name']}, {label_of(self.content)} on "
            f"{self.content['data']['name']}, mAP {rates})"
        )

    @property
    def report(self) -> Path:
        """The page of the card."""
        return self.path.with_name(PAGE)

    @property
    def numbers(self) -> Mapping[str, Any]:
        """All numbers of the card: by kind, by person, by camera."""
        numbers: Mapping[str, Any] = self.content["numbers"]
        return numbers

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each measure, clean first; shares in [0, 1]."""
        about = {"model": label_of(self.content), "data": self.content["data"]["name"]}
        return [
            {
                **about,
                "measure": measure.name,
                "mAP": measure.value,
                "from": measure.interval[0],
                "to": measure.interval[1],
                "rank-1": measure.rank1,
                "of": measure.note,
            }
            for measure in measures_of(self.numbers)
        ]

    def shares(self) -> tuple[str, ...]:
        """Return the measures."""
        return ("mAP", "from", "to", "rank-1")

    def pictures(self) -> Mapping[str, bytes]:
        """Return the figure of the card, if its file is still there."""
        path = self.path.with_name(PICTURE)
        return {"Robustness card": path.read_bytes()} if path.is_file() else {}


class CardResults(ResultList[CardResult]):
    """Cards of several models, in their order."""


def card(
    models: Models,
    data: Datas,
    *,
    version: str | None = None,
    reference: str | Path | None = None,
    surrogates: Models = (),
    distance: str | None = None,
    out: str | Path = "card",
    root: str | Path | None = None,
    size: tuple[int, int] | None = None,
    workers: int = 0,
    device: str | torch.device | None = None,
    page: bool = True,
    config_file: str | Path = "",
    settings: Settings | None = None,
    quiet: bool = False,
    progress: Listener | None = None,
) -> CardResults:
    """Make the robustness card of each model: attacked, corrupted, occluded, by person, by camera.

    It is what ``torchreid-adv card`` does, and writes the same files. A card that was stopped
    continues with the same call.

    Args:
        models: entries such as ``osnet_x1_0:model.pth``, or modules; a mapping says their labels.
        data: name, path, data set or records by side; of several, the first is the cards', and the
            clean models are also tested on the others.
        version: ``full`` or ``lite``; None = ``full``.
        reference: ``card.json`` of another model, or its folder, for comparison with each card.
        surrogates: two other models or more, on which transferred attacks are made.
        distance: that ranks galleries, of normalized features; None = Euclidean, unless
            ``config_file`` or ``settings`` say another one.
        out: folder, below which each card has its own: ``out/DATA/LABEL``.
        root: data root; None = ``reid-data``.
        size: height and width for models that do not say theirs.
        workers: processes that read images.
        device: ``cpu`` or ``cuda``; None = the GPU if there is one. Modules stay where they are.
        page: write the page of the standard evaluation, too.
        config_file: YAML file, merged first.
        settings: further config keys.
        quiet: nothing is printed.
        progress: called as ``progress(description, done, total)``.

    Raises:
        ConfigError: a model, name, key or reference that cannot be used.
        DataError: a data set or an image that cannot be used.

    Example:
        >>> (result,) = adv.card("osnet_x1_0:model.pth", "market1501", version="lite")
        >>> result.to_frame()
    """
    shown = {"models": models, "data": data, "version": version, "out": out}
    with calling("card", quiet=quiet, progress=progress, **shown, **(settings or {})):
        inputs = Inputs()
        keys = {
            "adv.standard.models": inputs.entries(models),
            "adv.standard.surrogates": inputs.entries(surrogates),
            "adv.card.version": version,
            "adv.card.reference": None if reference is None else str(reference),
            "adv.report.page": page,
            **distance_keys(distance),
            **place_keys(out, root, workers, size),
        }
        inputs.add_data(data)
        with configured(
            keys, inputs, config_file=config_file, settings=settings, device=device
        ) as cfg:
            paths = run_cards(cfg, call(), loaded=inputs.given)
    return CardResults(tuple(CardResult.read(path) for path in paths if path.name == CARD))
